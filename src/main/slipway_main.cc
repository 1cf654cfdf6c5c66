// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include "cli/commands.h"
#include "main/image_commands.h"
#include "main/processes.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<slipway::cli::Command> commands = slipway::app::machine_commands();
  for (auto make : {slipway::cli::repository_commands, slipway::cli::run_commands, slipway::cli::app_commands, slipway::cli::status_commands, slipway::cli::wait_commands,
                    slipway::cli::kustomize_commands, slipway::cli::helm_commands, slipway::app::process_commands,
                    slipway::app::image_commands})
    for (auto& command : make()) commands.push_back(std::move(command));
  return slipway::cli::run_command_line(commands, argc, argv);
}
