// SPDX-License-Identifier: Apache-2.0
// The commands that speak to a plane through its public API.
#pragma once

#include "cli/command.h"

namespace slipway::cli {

std::vector<Command> app_commands();
std::vector<Command> helm_commands();  // contact no plane
std::vector<Command> status_commands();
std::vector<Command> wait_commands();
std::vector<Command> repository_commands();
std::vector<Command> run_commands();
std::vector<Command> kustomize_commands();

}  // namespace slipway::cli
