// SPDX-License-Identifier: Apache-2.0
// What a pod's monitor knows about its containers: the record of every attempt, kept in a file that survives both the
// monitor and the node agent. Values and their JSON; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "text/json.h"

namespace slipway::sandbox {

enum class Phase { starting, running, exited };

struct ContainerRecord {
  std::string id;    // of the runtime; one for each attempt
  std::string name;  // of the container in its pod
  std::int64_t attempt = 0;
  Phase phase = Phase::starting;
  std::string cgroup;  // path, for OOM kills and for the end of what a dead monitor left
  std::int64_t pid = 0;
  Wall started{};   // of the process; zero while it starts
  Wall finished{};  // zero until it exited
  int exit_code = 0;
  std::string reason;   // "", "OOMKilled", "StartError", "MonitorLost"
  std::string message;  // of the runtime, where it did not start
  bool operator==(const ContainerRecord&) const = default;
};

struct MonitorState {
  std::vector<ContainerRecord> containers;  // in the order of their start
  bool operator==(const MonitorState&) const = default;

  ContainerRecord* find(std::string_view id);
  const ContainerRecord* newest(std::string_view name) const;  // the last attempt
  const ContainerRecord* before_newest(std::string_view name) const;
};

constexpr std::size_t max_state_bytes = 4 * 1024 * 1024;
constexpr std::size_t kept_attempts = 2;  // records of each container that stay

text::Json to_json(const MonitorState& state);
Result<MonitorState> parse_monitor_state(std::string_view text);

// Drops the oldest records of every container beyond kept_attempts; running ones stay.
void forget_old_attempts(MonitorState& state);

// What the agent asks a monitor to do. Every command may be sent twice.
struct StartContainer {
  std::string id, name;
  std::int64_t attempt = 0;
  std::string bundle;    // folder with config.json
  std::string log_file;
  std::string cgroup;
};
struct SignalContainer {
  std::string id;
  int signal = 0;
};
struct QuitMonitor {};  // once nothing runs

struct MonitorCommand {
  std::optional<StartContainer> start;
  std::optional<SignalContainer> signal;
  std::optional<QuitMonitor> quit;
};
std::string to_line(const MonitorCommand& command);
Result<MonitorCommand> parse_command(std::string_view line);

}  // namespace slipway::sandbox
