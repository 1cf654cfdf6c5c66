// SPDX-License-Identifier: Apache-2.0
// The node's images: those of the local store. Nothing is pulled: an image that is not there is named, with the command
// that brings it in.
#pragma once

#include <memory>

#include "cluster/node/images.h"
#include "main/data_folder.h"

namespace slipway::app {

Result<std::unique_ptr<cluster::ImageProvider>> make_images(const DataFolder& data);

}  // namespace slipway::app
