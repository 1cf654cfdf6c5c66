// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include "main/processes.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<slipway::cli::Command> commands = slipway::app::machine_commands();
  for (auto& command : slipway::app::process_commands()) commands.push_back(std::move(command));
  return slipway::cli::run_command_line(commands, argc, argv);
}
