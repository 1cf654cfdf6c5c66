// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/pod_status.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "base/strings.h"

namespace slipway::cluster {
namespace {

using sandbox::Phase;

Json terminated_json(const ContainerRecord& record, const std::string& termination_message) {
  std::string reason = record.reason;
  if (reason.empty()) reason = record.exit_code == 0 ? "Completed" : "Error";
  Json state = Json::object({{"exitCode", record.exit_code},
                             {"reason", reason},
                             {"startedAt", format_rfc3339(record.started)},
                             {"finishedAt", format_rfc3339(record.finished)},
                             {"containerID", "slipway://" + record.id}});
  const std::string& message = termination_message.empty() ? record.message : termination_message;
  return message.empty() ? state : state.with("message", message);
}

class StatusWriter {
 public:
  explicit StatusWriter(const StatusInput& input) : in_(input) {}

  Json write() {
    const Json& old = in_.pod["status"];
    const Json& spec = in_.pod["spec"];
    const Json main = containers(spec["containers"], false);
    const Json init = containers(spec["initContainers"], true);
    Json status = Json::object({{"phase", phase_name()},
                                {"conditions", conditions(main)},
                                {"qosClass", old["qosClass"].as_string(qos_class(in_.pod))},
                                {"startTime", old["startTime"].as_string(format_rfc3339(in_.now))},
                                {"hostIP", in_.host_ip},
                                {"hostIPs", Json::array({Json::object({{"ip", in_.host_ip}})})},
                                {"containerStatuses", main}});
    if (!init.empty()) status = status.with("initContainerStatuses", init);
    if (!in_.pod_ip.empty())
      status = status.with("podIP", in_.pod_ip).with("podIPs", Json::array({Json::object({{"ip", in_.pod_ip}})}));
    if (const Json& generation = in_.pod["metadata"]["generation"]; generation.is_int())
      status = status.with("observedGeneration", generation);
    return status;
  }

 private:
  const char* phase_name() const {
    switch (in_.plan.phase) {
      case PodPhase::pending: return "Pending";
      case PodPhase::running: return "Running";
      case PodPhase::succeeded: return "Succeeded";
      case PodPhase::failed: return "Failed";
    }
    return "Unknown";
  }

  Json containers(const Json& list, bool init) {
    std::vector<Json> items;
    for (const Json& container : list.items()) items.push_back(container_status(container, init));
    return Json::array(std::move(items));
  }

  Json container_status(const Json& container, bool init) {
    const std::string name = container["name"].str();
    const ContainerRecord* last = in_.state.newest(name);
    const ContainerRecord* previous = in_.state.before_newest(name);
    const bool running = last && last->phase == Phase::running;
    const ContainerHealth health = health_of(name);
    const bool sidecar = container["restartPolicy"].as_string() == "Always";
    const bool done = last && last->phase == Phase::exited && last->exit_code == 0;
    const bool ready = init && !sidecar ? done : running && health.started && health.ready && !in_.stopping;
    const auto digest = in_.images.find(name);
    const std::string image = container["image"].str();
    Json status = Json::object({{"name", name},
                                {"image", image},
                                {"imageID", digest == in_.images.end() ? std::string() : digest->second},
                                {"restartCount", last ? last->attempt : 0},
                                {"ready", ready},
                                {"started", running && health.started},
                                {"state", state_of(name, last)}});
    if (last) status = status.with("containerID", "slipway://" + last->id);
    const ContainerRecord* ended = last && waits_again(name, *last) ? last : previous;
    return ended ? status.with("lastState", Json::object({{"terminated", terminated_json(*ended, message_of(*ended))}}))
                 : status.with("lastState", Json::object());
  }

  bool waits_again(const std::string& name, const ContainerRecord& last) const {
    return last.phase == Phase::exited && (in_.plan.in_back_off.contains(name) || in_.waiting.contains(name));
  }

  Json state_of(const std::string& name, const ContainerRecord* last) const {
    if (last && last->phase == Phase::running)
      return Json::object({{"running", Json::object({{"startedAt", format_rfc3339(last->started)}})}});
    if (last && last->phase == Phase::exited && !waits_again(name, *last))
      return Json::object({{"terminated", terminated_json(*last, message_of(*last))}});
    const auto waiting = in_.waiting.find(name);
    if (waiting != in_.waiting.end()) return waiting_json(waiting->second.reason, waiting->second.message);
    if (in_.plan.in_back_off.contains(name))
      return waiting_json("CrashLoopBackOff", fmt::format("back-off {}s restarting failed container={}",
                                                          back_off_after(last->attempt).count(), name));
    return waiting_json(in_.plan.initialized ? "ContainerCreating" : "PodInitializing", "");
  }

  static Json waiting_json(std::string_view reason, std::string_view message) {
    const Json waiting = Json::object({{"reason", reason}});
    return Json::object({{"waiting", message.empty() ? waiting : waiting.with("message", message)}});
  }

  std::string message_of(const ContainerRecord& record) const {
    const auto found = in_.messages.find(record.id);
    return found == in_.messages.end() ? std::string() : found->second;
  }

  ContainerHealth health_of(const std::string& name) const {
    const auto found = in_.health.find(name);
    return found == in_.health.end() ? ContainerHealth{} : found->second;
  }

  Json conditions(const Json& containers) {
    bool all_ready = true;
    std::string unready;
    for (const Json& container : containers.items())
      if (!container["ready"].as_bool()) all_ready = false, unready += (unready.empty() ? "" : " ") + container["name"].str();
    const bool over = in_.plan.phase == PodPhase::succeeded || in_.plan.phase == PodPhase::failed;
    const std::string reason = all_ready ? "" : over ? "PodCompleted" : "ContainersNotReady";
    const std::string message = all_ready || over ? "" : fmt::format("containers with unready status: [{}]", unready);
    const bool gates = gates_hold();
    std::vector<Json> list{
        condition("PodReadyToStartContainers", in_.sandbox_ready, "", ""),
        condition("Initialized", in_.plan.initialized, in_.plan.initialized ? "" : "ContainersNotInitialized", ""),
        condition("Ready", all_ready && gates, all_ready && !gates ? "ReadinessGatesNotReady" : reason, message),
        condition("ContainersReady", all_ready, reason, message), condition("PodScheduled", true, "", "")};
    for (const Json& other : in_.pod["status"]["conditions"].items()) {  // of others: readiness gates, DisruptionTarget
      bool ours = false;
      for (const Json& own : list) ours |= own["type"] == other["type"];
      if (!ours) list.push_back(other);
    }
    return Json::array(std::move(list));
  }

  bool gates_hold() const {
    for (const Json& gate : in_.pod["spec"]["readinessGates"].items())
      if (old_condition(gate["conditionType"].as_string())["status"].as_string() != "True") return false;
    return true;
  }

  const Json& old_condition(std::string_view type) const {
    static const Json none;
    for (const Json& condition : in_.pod["status"]["conditions"].items())
      if (condition["type"].as_string() == type) return condition;
    return none;
  }

  Json condition(std::string_view type, bool holds, std::string_view reason, std::string_view message) const {
    const Json& old = old_condition(type);
    const char* status = holds ? "True" : "False";
    const bool same = old["status"].as_string() == status && old["lastTransitionTime"].is_string();
    Json result = Json::object({{"type", type},
                                {"status", status},
                                {"lastTransitionTime", same ? old["lastTransitionTime"] : Json(format_rfc3339(in_.now))}});
    if (!reason.empty()) result = result.with("reason", reason);
    return message.empty() ? result : result.with("message", message);
  }

  const StatusInput& in_;
};

}  // namespace

Json make_pod_status(const StatusInput& input) { return StatusWriter(input).write(); }

std::string qos_class(const Json& pod) {
  bool any = false, guaranteed = true;
  const auto look = [&](const Json& container) {
    const Json& resources = container["resources"];
    for (const char* name : {"cpu", "memory"}) {
      const Json& limit = resources["limits"][name];
      const Json& request = resources["requests"][name];
      any |= !limit.is_null() || !request.is_null();
      const auto a = parse_milli(limit), b = parse_milli(request.is_null() ? limit : request);
      guaranteed &= a && b && *a == *b;
    }
  };
  for (const Json& container : pod["spec"]["containers"].items()) look(container);
  for (const Json& container : pod["spec"]["initContainers"].items()) look(container);
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

Result<std::int64_t> parse_milli(const Json& quantity) {
  if (quantity.is_int()) return quantity.as_int() * 1000;
  const std::string text = quantity.is_number() ? text::to_json(quantity) : quantity.str();
  char* rest = nullptr;
  const double number = std::strtod(text.c_str(), &rest);
  if (text.empty() || rest == text.c_str() || !std::isfinite(number)) return fail(ErrorCode::invalid, "not a quantity: " + printable(text));
  static const std::map<std::string_view, double> scale{
      {"", 1e3}, {"n", 1e-6}, {"u", 1e-3}, {"m", 1}, {"k", 1e6}, {"M", 1e9}, {"G", 1e12}, {"T", 1e15},
      {"Ki", 1e3 * 1024}, {"Mi", 1e3 * 1048576}, {"Gi", 1e3 * 1073741824}, {"Ti", 1e3 * 1099511627776}};
  const auto found = scale.find(rest);
  if (found == scale.end()) return fail(ErrorCode::invalid, "not a quantity: " + printable(text));
  return static_cast<std::int64_t>(std::ceil(number * found->second));
}

}  // namespace slipway::cluster
