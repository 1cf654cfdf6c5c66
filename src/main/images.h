// SPDX-License-Identifier: Apache-2.0
// The node's images: those of the local store, and what it pulls into it. An image that no registry gives is named, with
// the command that brings it in.
#pragma once

#include <memory>

#include "cluster/node/images.h"
#include "main/data_folder.h"
#include "oci/client.h"

namespace slipway::app {

// Both outlive what uses them. `registry` is this machine's own ("127.0.0.1:5000"): its images are the store's.
Result<std::unique_ptr<cluster::ImageProvider>> make_images(const DataFolder& data, Executor& executor, oci::Client& client, const std::string& registry);

// The docker configurations of secrets; what cannot be read is told in the log and passed over.
oci::Keys keys_of(const std::vector<std::string>& docker_configs);

bool is_own_registry(std::string_view image_registry, std::string_view own);

}  // namespace slipway::app
