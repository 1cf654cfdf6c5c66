// SPDX-License-Identifier: Apache-2.0
// The monitor of a pod: one small process that is the parent of the pod's containers.
//
// It holds their output pipes, writes their log files, starts them through the runtime on command and records every
// exit durably before it tells anybody. The node agent may die and come back: nothing is lost, nothing stops. If the
// monitor itself dies, the next one for the same folder ends what the first left running and records it as
// MonitorLost; the state file is the truth.
//
// Agent and monitor talk over a unix socket in the folder: the agent writes commands, a JSON line each; the monitor
// writes its whole state as one line at connect and after every change.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "sandbox/cri_log.h"
#include "sandbox/monitor_state.h"
#include "sandbox/runtime.h"

namespace slipway::sandbox {

struct MonitorConfig {
  std::string folder;  // of the monitor: state.json, socket
  Runtime runtime;
  LogLimits logs;
};

constexpr std::size_t max_command_bytes = 64 * 1024;
constexpr std::size_t max_monitor_peers = 16;
constexpr std::size_t max_containers_a_pod = 64;

// The body of `slipway monitor`: forks into the background, answers (0) once the socket listens.
int monitor_main(const std::vector<std::string>& arguments);

// Starts one, with `program` = {"/proc/self/exe", "monitor"}; returns once it listens.
Result<> spawn_monitor(const std::vector<std::string>& program, const MonitorConfig& config);

// The agent's end of the socket; `unavailable` where no monitor listens.
Result<UniqueFd> connect_monitor(const std::string& folder);
Result<> send_command(int socket, const MonitorCommand& command);

// Asks the monitor to end and waits, at most five seconds, until it has; fine where none listens.
void quit_monitor(const std::string& folder);

// What the file says, whoever is alive; empty where there is none yet.
Result<MonitorState> read_monitor_state(const std::string& folder);

}  // namespace slipway::sandbox
