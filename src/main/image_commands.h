// SPDX-License-Identifier: Apache-2.0
// `slipway image pull`, `push` and `list`: the local image store and registries elsewhere.
#pragma once

#include "cli/command.h"

namespace slipway::app {

std::vector<cli::Command> image_commands();

// --data, --creds-file and what else names a registry and its credentials.
std::vector<cli::Flag> registry_flags(std::vector<cli::Flag> flags);
// Pushes an image of the local store as the flags above say; its digest there.
Result<std::string> push_from_store(const cli::Invocation& invocation, const std::string& image, const std::string& destination);

}  // namespace slipway::app
