// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/task_status.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/plan.h"

namespace slipway::tekton {
namespace {

constexpr std::string_view step_prefix = "step-";

const Json& status_of(const Json& pod, std::string_view container) {
  static const Json none;
  for (const Json& status : pod["status"]["containerStatuses"].items())
    if (status["name"].as_string() == container) return status;
  return none;
}

// What the shim said of the step; where it said nothing, what the node knows of the container.
wire::Termination termination_of(const Json& ended) {
  if (auto said = wire::Termination::parse(ended["message"].as_string())) return *said;
  return {static_cast<int>(ended["exitCode"].as_int(-1)), ended["reason"].str("Error"), {}, ended["message"].str()};
}

Json step_json(const Json& container, const Json& status) {
  const std::string name(container["name"].as_string().substr(step_prefix.size()));
  Json out = Json::object({{"container", container["name"]}, {"name", name}});
  if (!status["imageID"].is_null()) out = out.with("imageID", status["imageID"]);
  const Json& state = status["state"];
  if (!state["terminated"].is_null()) {
    const auto said = termination_of(state["terminated"]);
    Json ended = state["terminated"].without("message").with("exitCode", said.exit_code).with("reason", said.exit_code == 0 ? "Completed" : "Error");
    if (!said.message.empty()) ended = ended.with("message", said.message);
    return out.with("terminated", ended).with("terminationReason", said.reason.empty() ? "Completed" : said.reason);
  }
  for (const char* kind : {"running", "waiting"})
    if (!state[kind].is_null()) out = out.with(kind, state[kind]);
  return out;
}

// Reasons of a container that never starts by itself.
std::string_view hopeless(std::string_view reason) {
  if (reason == "ImagePullBackOff" || reason == "InvalidImageName" || reason == "ErrImageNeverPull") return "TaskRunImagePullFailed";
  if (reason == "CreateContainerConfigError" || reason == "CreateContainerError") return "CreateContainerConfigError";
  return {};
}

Json results_of(const std::map<std::string, std::string>& values, const Json& declared) {
  std::vector<Json> out;
  for (const Json& result : declared.items()) {
    const auto found = values.find(result["name"].str());
    if (found == values.end()) continue;
    const std::string type = result["type"].str("string");
    Json value(found->second);
    if (type != "string")
      if (auto parsed = text::parse_json(found->second)) value = *parsed;
    out.push_back(Json::object({{"name", found->first}, {"type", type}, {"value", value}}));
  }
  return Json::array(std::move(out));
}

}  // namespace

TaskState judge_pod(const Json& pod, const Json& declared) {
  TaskState out;
  std::vector<Json> steps;
  std::map<std::string, std::string> values;
  std::string failure;
  bool all_ended = true;
  for (const Json& container : pod["spec"]["containers"].items()) {
    if (!container["name"].as_string().starts_with(step_prefix)) continue;
    const Json& status = status_of(pod, container["name"].as_string());
    steps.push_back(step_json(container, status));
    const Json& ended = status["state"]["terminated"];
    const Json& waiting = status["state"]["waiting"];
    if (const auto reason = hopeless(waiting["reason"].as_string()); !reason.empty()) {
      out.progress = Progress::failed;
      out.reason = reason;
      out.message = fmt::format("the step \"{}\" cannot start: {}", steps.back()["name"].as_string(), waiting["message"].as_string(waiting["reason"].as_string()));
    }
    all_ended &= !ended.is_null();
    if (ended.is_null()) continue;
    const auto said = termination_of(ended);
    for (const auto& [name, value] : said.results) values[name] = value;
    if (ended["exitCode"].as_int() == 0 || said.reason == "Skipped" || !failure.empty()) continue;
    failure = fmt::format("\"{}\" exited with code {}", container["name"].as_string(), said.exit_code);
    if (!said.message.empty()) failure += ": " + said.message;
    if (said.reason == "TimeoutExceeded") out.reason = "TaskRunTimeout";
  }
  out.steps = Json::array(std::move(steps));
  if (out.progress == Progress::failed) return out;
  const std::string_view phase = pod["status"]["phase"].as_string();
  const bool ended = phase == "Succeeded" || phase == "Failed";
  if (!ended && !(all_ended && !out.steps.empty())) {
    out.reason = phase == "Running" ? "Running" : "Pending";
    out.message = phase == "Running" ? "Not all Steps in the Task have finished executing" : "the pod is starting";
    return out;
  }
  out.results = results_of(values, declared);
  if (phase == "Succeeded" || (!ended && failure.empty())) {
    out.progress = Progress::succeeded;
    out.reason = "Succeeded";
    out.message = "All Steps have completed executing";
    return out;
  }
  out.progress = Progress::failed;
  if (out.reason.empty()) out.reason = "Failed";
  out.message = !failure.empty() ? failure : pod["status"]["message"].str(fmt::format("the pod failed: {}", pod["status"]["reason"].as_string("for no given reason")));
  return out;
}

const Json& succeeded_of(const Json& run) {
  static const Json none;
  for (const Json& condition : run["status"]["conditions"].items())
    if (condition["type"].as_string() == "Succeeded") return condition;
  return none;
}

bool is_done(const Json& run) {
  const std::string_view status = succeeded_of(run)["status"].as_string();
  return status == "True" || status == "False";
}

Json succeeded_condition(const Json& before, std::string_view status, std::string_view reason, std::string_view message, Wall now) {
  const bool same = before["status"].as_string() == status && !before["lastTransitionTime"].is_null();
  return Json::object({{"type", "Succeeded"}, {"status", status}, {"reason", reason}, {"message", message},
                       {"lastTransitionTime", same ? before["lastTransitionTime"] : Json(format_rfc3339(now))}});
}

}  // namespace slipway::tekton
