// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/task.h"

#include <fmt/format.h>

#include <set>

#include "base/strings.h"
#include "ci/tekton/pipeline.h"

namespace slipway::tekton {
namespace {

constexpr std::size_t max_steps = 100;

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.items()) out.push_back(item.str());
  return out;
}

// The template's fields where the step has none; its lists of env and mounts go before the step's.
Json over_template(const Json& step, const Json& base) {
  Json out = step;
  for (const auto& member : base.members()) {
    const Json& own = step[member.key()];
    if (own.is_null()) {
      out = out.with(member.key(), member.value);
    } else if (member.key() == "env" || member.key() == "volumeMounts" || member.key() == "envFrom") {
      std::vector<Json> both(member.value.items().begin(), member.value.items().end());
      both.insert(both.end(), own.items().begin(), own.items().end());
      out = out.with(member.key(), Json::array(std::move(both)));
    }
  }
  return out;
}

Result<TaskStep> decode_step(const Json& value, std::size_t index) {
  TRY(only_fields(value, {"name", "displayName", "image", "script", "command", "args", "workingDir", "env", "envFrom", "volumeMounts", "securityContext", "computeResources", "resources",
                          "imagePullPolicy", "onError", "timeout", "results"}, "steps"));
  if (!value["results"].empty()) return fail(ErrorCode::invalid, "the field steps.results is not supported; use results of the task");
  TaskStep step{.name = value["name"].str(fmt::format("unnamed-{}", index)), .image = value["image"].str(), .script = value["script"].str(), .working_dir = value["workingDir"].str(),
                .command = strings_of(value["command"]), .args = strings_of(value["args"]), .env = value["env"], .env_from = value["envFrom"], .volume_mounts = value["volumeMounts"],
                .security_context = value["securityContext"], .resources = value["computeResources"].is_null() ? value["resources"] : value["computeResources"],
                .image_pull_policy = value["imagePullPolicy"]};
  step.timeout_seconds = TRY(parse_duration(value["timeout"].as_string(), 0));
  if (step.name.empty()) step.name = fmt::format("unnamed-{}", index);
  if (step.image.empty()) return fail(ErrorCode::invalid, fmt::format("missing field(s): steps[{}].image", index));
  if (!step.script.empty() && !step.command.empty()) return fail(ErrorCode::invalid, fmt::format("script cannot be used with command: steps[{}].script", index));
  const std::string_view on_error = value["onError"].as_string("stopAndFail");
  if (on_error != "stopAndFail" && on_error != "continue") return fail(ErrorCode::invalid, fmt::format("invalid value: {}: steps[{}].onError; use continue or stopAndFail", printable(on_error), index));
  step.continue_on_error = on_error == "continue";
  if (step.script.starts_with("#!win")) return fail(ErrorCode::invalid, fmt::format("steps[{}].script is for Windows; nodes are Linux", index));
  return step;
}

}  // namespace

Result<std::vector<TaskWorkspace>> Task::workspaces_of(const Json& spec) {
  std::vector<TaskWorkspace> out;
  for (const Json& value : spec["workspaces"].items()) {
    TRY(only_fields(value, {"name", "description", "mountPath", "readOnly", "optional"}, "workspaces"));
    const std::string name = value["name"].str();
    if (name.empty() || name.find('/') != name.npos) return fail(ErrorCode::invalid, "missing field(s): workspaces.name");
    out.push_back({name, value["mountPath"].str("/workspace/" + name), value["optional"].as_bool(), value["readOnly"].as_bool()});
  }
  return out;
}

Result<std::vector<std::string>> Task::results_of(const Json& spec) {
  std::vector<std::string> out;
  for (const Json& value : spec["results"].items()) {
    TRY(only_fields(value, {"name", "description", "type", "properties"}, "results"));
    const std::string name = value["name"].str();
    if (name.empty() || name.find('/') != name.npos || name.starts_with('.')) return fail(ErrorCode::invalid, "invalid value: a result's name");
    out.push_back(name);
  }
  return out;
}

Result<Task> Task::decode(const Json& spec) {
  TRY(only_fields(spec, {"description", "displayName", "params", "steps", "stepTemplate", "results", "workspaces", "volumes"}, "taskSpec"));
  Task task{.params = spec["params"], .steps = {}, .workspaces = {}, .results = {}, .volumes = spec["volumes"]};
  task.workspaces = TRY(workspaces_of(spec));
  task.results = TRY(results_of(spec));
  if (spec["steps"].empty()) return fail(ErrorCode::invalid, "missing field(s): steps");
  if (spec["steps"].size() > max_steps) return fail(ErrorCode::too_large, fmt::format("more than {} steps", max_steps));
  std::set<std::string> names;
  for (std::size_t i = 0; i < spec["steps"].size(); ++i) {
    task.steps.push_back(TRY(decode_step(over_template(spec["steps"][i], spec["stepTemplate"]), i)));
    if (!names.insert(task.steps.back().name).second) return fail(ErrorCode::invalid, fmt::format("invalid value: two steps are named {}", task.steps.back().name));
  }
  return task;
}

}  // namespace slipway::tekton
