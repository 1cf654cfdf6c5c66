// SPDX-License-Identifier: Apache-2.0
#include "sandbox/monitor_state.h"

#include <algorithm>

namespace slipway::sandbox {
namespace {

using text::Json;

constexpr const char* phase_names[] = {"starting", "running", "exited"};

std::int64_t nanoseconds(Wall time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}
Wall from_nanoseconds(std::int64_t count) {
  return Wall(std::chrono::duration_cast<Wall::duration>(std::chrono::nanoseconds(count)));
}

Json record_json(const ContainerRecord& record) {
  return Json::object({{"id", record.id},
                       {"name", record.name},
                       {"attempt", record.attempt},
                       {"phase", phase_names[static_cast<int>(record.phase)]},
                       {"cgroup", record.cgroup},
                       {"pid", record.pid},
                       {"started", nanoseconds(record.started)},
                       {"finished", nanoseconds(record.finished)},
                       {"exitCode", record.exit_code},
                       {"reason", record.reason},
                       {"message", record.message}});
}

Result<ContainerRecord> parse_record(const Json& value) {
  ContainerRecord record;
  const auto phase = std::ranges::find(phase_names, value["phase"].as_string());
  if (phase == std::end(phase_names)) return fail(ErrorCode::invalid, "monitor state has an unknown phase");
  record.id = value["id"].str();
  record.name = value["name"].str();
  record.attempt = value["attempt"].as_int();
  record.phase = static_cast<Phase>(phase - std::begin(phase_names));
  record.cgroup = value["cgroup"].str();
  record.pid = value["pid"].as_int();
  record.started = from_nanoseconds(value["started"].as_int());
  record.finished = from_nanoseconds(value["finished"].as_int());
  record.exit_code = static_cast<int>(value["exitCode"].as_int());
  record.reason = value["reason"].str();
  record.message = value["message"].str();
  return record;
}

}  // namespace

ContainerRecord* MonitorState::find(std::string_view id) {
  const auto found = std::ranges::find(containers, id, &ContainerRecord::id);
  return found == containers.end() ? nullptr : &*found;
}

const ContainerRecord* MonitorState::newest(std::string_view name) const {
  const ContainerRecord* best = nullptr;
  for (const ContainerRecord& record : containers)
    if (record.name == name && (!best || record.attempt > best->attempt)) best = &record;
  return best;
}

const ContainerRecord* MonitorState::before_newest(std::string_view name) const {
  const ContainerRecord* last = newest(name);
  const ContainerRecord* best = nullptr;
  for (const ContainerRecord& record : containers)
    if (record.name == name && &record != last && (!best || record.attempt > best->attempt)) best = &record;
  return best;
}

Json to_json(const MonitorState& state) {
  std::vector<Json> containers;
  for (const ContainerRecord& record : state.containers) containers.push_back(record_json(record));
  return Json::object({{"version", 1}, {"containers", Json::array(std::move(containers))}});
}

Result<MonitorState> parse_monitor_state(std::string_view text) {
  const Json value = TRY(text::parse_json(text));
  if (value["version"].as_int() != 1) return fail(ErrorCode::invalid, "monitor state has an unknown version");
  MonitorState state;
  for (const Json& item : value["containers"].items()) state.containers.push_back(TRY(parse_record(item)));
  return state;
}

void forget_old_attempts(MonitorState& state) {
  std::erase_if(state.containers, [&, copy = state](const ContainerRecord& record) {
    if (record.phase != Phase::exited) return false;
    const auto newer = std::ranges::count_if(copy.containers, [&](const ContainerRecord& other) {
      return other.name == record.name && other.attempt > record.attempt;
    });
    return newer >= static_cast<std::ptrdiff_t>(kept_attempts);
  });
}

std::string to_line(const MonitorCommand& command) {
  Json line;
  if (command.start)
    line = Json::object({{"op", "start"},
                         {"id", command.start->id},
                         {"name", command.start->name},
                         {"attempt", command.start->attempt},
                         {"bundle", command.start->bundle},
                         {"log", command.start->log_file},
                         {"cgroup", command.start->cgroup}});
  if (command.signal) line = Json::object({{"op", "signal"}, {"id", command.signal->id}, {"signal", command.signal->signal}});
  if (command.quit) line = Json::object({{"op", "quit"}});
  return text::to_json(line) + "\n";
}

Result<MonitorCommand> parse_command(std::string_view line) {
  const Json value = TRY(text::parse_json(line));
  const std::string op = value["op"].str();
  MonitorCommand command;
  if (op == "start")
    command.start = StartContainer{value["id"].str(),     value["name"].str(), value["attempt"].as_int(),
                                   value["bundle"].str(), value["log"].str(),  value["cgroup"].str()};
  else if (op == "signal")
    command.signal = SignalContainer{value["id"].str(), static_cast<int>(value["signal"].as_int())};
  else if (op == "quit")
    command.quit = QuitMonitor{};
  else
    return fail(ErrorCode::invalid, "unknown monitor command: " + op);
  return command;
}

}  // namespace slipway::sandbox
