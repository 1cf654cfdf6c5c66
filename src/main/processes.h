// SPDX-License-Identifier: Apache-2.0
// The bodies of the processes that the supervisor starts. Each runs until SIGTERM and answers its exit code.
#pragma once

#include "cli/command.h"

namespace slipway::app {

// serve, node, monitor: hidden commands.
std::vector<cli::Command> process_commands();
// up, down, doctor, kubeconfig, version, …
std::vector<cli::Command> machine_commands();

inline constexpr const char* version = "0.1.0";

// Blocks SIGTERM and SIGINT for all threads of the process and waits for one of them.
class StopSignals final {
 public:
  StopSignals();
  void wait() const;
};

}  // namespace slipway::app
