// SPDX-License-Identifier: Apache-2.0
// The node's images: those of the local store first, then from a registry.
#pragma once

#include <memory>

#include "base/executor.h"
#include "cluster/node/images.h"
#include "main/data_folder.h"

namespace slipway::app {

Result<std::unique_ptr<cluster::ImageProvider>> make_images(const DataFolder& data, Executor& executor);

}  // namespace slipway::app
