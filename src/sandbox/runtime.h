// SPDX-License-Identifier: Apache-2.0
// The OCI runtime program (runc or crun), by argument arrays. Any thread.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "sandbox/cgroup.h"

namespace slipway::sandbox {

struct Runtime {
  std::string program;      // path
  std::string root_folder;  // its state; below the agent's data folder

  // Detached: its stdio becomes the container's. It returns once the container's process runs.
  Command start_command(const std::string& id, const std::string& bundle, const std::string& pid_file,
                        const std::string& error_log) const;
  Command remove_command(const std::string& id) const;  // kills what is left of it
};

constexpr std::chrono::seconds runtime_timeout{60};

// runc where it is there; else crun, which refuses hybrid control groups. The error names what to install.
Result<Runtime> find_runtime(const CgroupTree& tree, const std::string& root_folder);

// Runs a command in a running container; exit code and output (at most 10 KiB of each stream, as probes need).
Result<Finished> exec_in_container(const Runtime& runtime, const std::string& id, const std::vector<std::string>& command,
                                   std::chrono::milliseconds timeout, std::stop_token stop = {});
constexpr std::size_t max_exec_output = 64 * 1024;

// The last error in a runtime's JSON log, else the fallback. Pure.
std::string runtime_error(std::string_view json_log, std::string_view fallback);

}  // namespace slipway::sandbox
