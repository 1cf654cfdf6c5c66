// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/pipeline_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "ci/tekton/runs.h"
#include "ci/tekton/task_status.h"

namespace slipway::tekton {
namespace {

constexpr std::size_t max_name = 58;  // "-pod" still fits a label

std::string task_status(const RunView& view, const std::string& task) {
  const auto child = view.children.find(task);
  if (child == view.children.end() || !is_done(child->second)) return "None";
  return succeeded_of(child->second)["status"].as_string() == "True" ? "Succeeded" : "Failed";
}

std::string whole_status(const RunView& view) {
  bool any = false, failed = false, left_out = false;
  for (const PipelineTask& task : view.pipeline.tasks) {
    if (task.is_final) continue;
    const std::string status = task_status(view, task.name);
    any |= status == "Succeeded", failed |= status == "Failed", left_out |= status == "None";
  }
  return failed ? "Failed" : !any ? "None" : left_out ? "Completed" : "Succeeded";
}

const Json& binding_of(const RunView& view, const std::string& workspace) {
  static const Json none;
  for (const Json& binding : view.run["spec"]["workspaces"].items())
    if (binding["name"].as_string() == workspace) return binding;
  return none;
}

bool mentions(const Json& value, const std::string& text) {
  if (value.is_string()) return value.as_string().find(text) != std::string_view::npos;
  for (const Json& item : value.items())
    if (mentions(item, text)) return true;
  for (const auto& member : value.members())
    if (mentions(member.value, text)) return true;
  return false;
}

// An inline task sees the workspaces of the run without declaring them, where it names them.
void propagate_workspaces(const RunView& view, const PipelineTask& task, Json& spec, std::vector<Json>& bindings) {
  for (const Json& workspace : view.run["spec"]["workspaces"].items()) {
    const std::string name = workspace["name"].str();
    if (!mentions(spec, "$(workspaces." + name + ".")) continue;
    bool declared = false, bound = false;
    for (const Json& own : spec["workspaces"].items()) declared |= own["name"].as_string() == name;
    for (const Json& own : task.workspaces.items()) bound |= own["name"].as_string() == name;
    if (!declared) spec = spec.with("workspaces", spec["workspaces"].with_item(Json::object({{"name", name}})));
    if (!bound) bindings.push_back(Json::object({{"name", name}, {"workspace", name}}));
  }
}

struct Bound {
  Json workspaces = Json::array();  // of the TaskRun
  Json trees = Json::object();
};

Result<Bound> bind_workspaces(const RunView& view, const PipelineTask& task, const std::vector<Json>& bindings) {
  Bound out;
  for (const Json& wanted : bindings) {
    TRY(only_fields(wanted, {"name", "workspace", "subPath"}, "tasks.workspaces"));
    const std::string name = wanted["name"].str(), source = wanted["workspace"].str(name);
    const Json& binding = binding_of(view, source);
    if (binding.is_null()) {
      bool optional = false;
      for (const Json& declared : view.pipeline.workspaces.items()) optional |= declared["name"].as_string() == source && declared["optional"].as_bool();
      if (optional) continue;
      return fail(ErrorCode::invalid, fmt::format("pipeline requires workspace with name \"{}\" be provided by pipelinerun (task {})", source, task.name));
    }
    if (binding.contains("persistentVolumeClaim"))
      return fail(ErrorCode::invalid, fmt::format("workspace {}: persistentVolumeClaim is not supported; a volumeClaimTemplate gives a workspace that the run's tasks share", source));
    Json own = binding.with("name", name);
    std::string sub_path = binding["subPath"].str();
    if (const std::string inner = wanted["subPath"].str(); !inner.empty()) sub_path = sub_path.empty() ? inner : sub_path + "/" + inner;
    if (is_tree_workspace(binding)) {
      own = Json::object({{"name", name}, {"emptyDir", Json::object()}});
      out.trees = out.trees.with(name, Json::strings(tree_of(view, source)));
    }
    own = sub_path.empty() ? own.without("subPath") : own.with("subPath", sub_path);
    out.workspaces = out.workspaces.with_item(own);
  }
  return out;
}

// The variables that an inline task inherits: its own params go before the pipeline's.
Json inherit(const RunView& view, const Json& spec, ForFinal final) {
  RunView outer = view;
  for (const Json& own : spec["params"].items()) outer.params = outer.params.without(own["name"].as_string());
  return variables_of(outer, final).apply(spec);
}

Json metadata_of(const RunView& view, const PipelineTask& task, const Json& trees, const Json& task_metadata) {
  const Json& run = view.run["metadata"];
  Json labels = Json::object(), annotations = Json::object();
  for (const Json* from : {&run["labels"], &task_metadata["labels"]})
    for (const auto& member : from->members()) labels = labels.with(member.key(), member.value);
  for (const Json* from : {&run["annotations"], &task_metadata["annotations"]})
    for (const auto& member : from->members())
      if (!member.key().starts_with("kubectl.kubernetes.io/")) annotations = annotations.with(member.key(), member.value);
  labels = labels.with("tekton.dev/pipelineRun", run["name"]).with("tekton.dev/pipelineRunUID", run["uid"]).with("tekton.dev/pipelineTask", task.name)
               .with("tekton.dev/memberOf", task.is_final ? "finally" : "tasks")
               .with("tekton.dev/pipeline", view.run["spec"]["pipelineRef"]["name"].str(run["name"].str()));
  if (!trees.members().empty()) annotations = annotations.with(trees_annotation, text::to_json(trees));
  return Json::object({{"name", child_name(run["name"].str(), task.name)}, {"namespace", run["namespace"]}, {"labels", labels}, {"annotations", annotations},
                       {"ownerReferences", Json::array({kube::controller_reference(kube::resources::pipeline_runs, view.run)})}});
}

// The most exact of the run's words on one task.
Json template_of(const RunView& view, const std::string& task) {
  Json out = view.run["spec"]["taskRunTemplate"];
  if (out.is_null()) out = Json::object();
  for (const Json& one : view.run["spec"]["taskRunSpecs"].items()) {
    if (one["pipelineTaskName"].as_string() != task) continue;
    if (!one["serviceAccountName"].is_null()) out = out.with("serviceAccountName", one["serviceAccountName"]);
    if (!one["podTemplate"].is_null()) out = out.with("podTemplate", one["podTemplate"]);
  }
  return out;
}

}  // namespace

std::string child_name(const std::string& run, const std::string& task) {
  const std::string whole = run + "-" + task;
  return whole.size() <= max_name ? whole : whole.substr(0, max_name - 9) + "-" + sha256_hex(whole).substr(0, 8);
}

run::Progress progress_of(const RunView& view) {
  run::Progress out(view.pipeline.tasks.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto child = view.children.find(view.pipeline.tasks[i].name);
    if (child == view.children.end()) continue;
    out[i].attempts = 1;
    out[i].state = !is_done(child->second) ? run::State::running : succeeded_of(child->second)["status"].as_string() == "True" ? run::State::succeeded : run::State::failed;
  }
  return out;
}

Variables variables_of(const RunView& view, ForFinal final) {
  Variables out;
  for (const auto& member : view.params.members()) out.set_param(std::string(member.key()), member.value);
  const Json& metadata = view.run["metadata"];
  out.set("context.pipelineRun.name", metadata["name"]);
  out.set("context.pipelineRun.namespace", metadata["namespace"]);
  out.set("context.pipelineRun.uid", metadata["uid"]);
  out.set("context.pipeline.name", view.run["spec"]["pipelineRef"]["name"].str(metadata["name"].str()));
  for (const auto& [task, child] : view.children) {
    if (!is_done(child)) continue;
    for (const Json& result : child["status"]["results"].items()) {
      const std::string name = result["name"].str();
      const Json& value = result["value"];
      for (const std::string& base : {fmt::format("tasks.{}.results.{}", task, name), fmt::format("tasks.{}.results['{}']", task, name)}) {
        out.set(base, value);
        if (value.is_array()) {
          out.set(base + "[*]", value);
          for (std::size_t i = 0; i < value.size(); ++i) out.set(fmt::format("{}[{}]", base, i), value[i]);
        }
        for (const auto& member : value.members()) out.set(fmt::format("{}.{}", base, member.key()), member.value);
      }
    }
  }
  if (final == ForFinal::no) return out;
  for (const PipelineTask& task : view.pipeline.tasks) {
    out.set(fmt::format("tasks.{}.status", task.name), task_status(view, task.name));
    const auto child = view.children.find(task.name);
    out.set(fmt::format("tasks.{}.reason", task.name), child == view.children.end() ? "None" : succeeded_of(child->second)["reason"].str("None"));
  }
  out.set("tasks.status", whole_status(view));
  return out;
}

std::string missing_result(const Json& value) {
  if (value.is_string()) {
    const std::string_view text = value.as_string();
    for (auto at = text.find("$(tasks."); at != text.npos; at = text.find("$(tasks.", at + 1)) {
      const auto close = text.find(')', at);
      const std::string_view name = close == text.npos ? "" : text.substr(at + 2, close - at - 2);
      if (name.find(".results") != name.npos) return std::string(name);
    }
  }
  for (const Json& item : value.items())
    if (auto found = missing_result(item); !found.empty()) return found;
  for (const auto& member : value.members())
    if (auto found = missing_result(member.value); !found.empty()) return found;
  return {};
}

Result<bool> when_holds(const Json& when) {
  for (const Json& one : when.items()) {
    const std::string_view how = one["operator"].as_string();
    if (how != "in" && how != "notin") return fail(ErrorCode::invalid, fmt::format("invalid value: operator \"{}\" is not recognized. valid operators: in, notin", how));
    const bool found = std::ranges::any_of(one["values"].items(), [&](const Json& value) { return value == one["input"]; });
    if (found != (how == "in")) return false;
  }
  return true;
}

bool is_tree_workspace(const Json& binding) { return binding.contains("volumeClaimTemplate"); }

std::vector<std::string> tree_of(const RunView& view, const std::string& workspace) {
  struct Change {
    std::string when, task, blob;
  };
  std::vector<Change> changes;
  for (const PipelineTask& task : view.pipeline.tasks) {
    const auto child = view.children.find(task.name);
    if (child == view.children.end() || !is_done(child->second)) continue;
    const auto made = text::parse_json(child->second["metadata"]["annotations"][changes_annotation].as_string("{}"));
    if (!made) continue;
    for (const auto& member : made->members()) {
      std::string source(member.key());
      for (const Json& binding : task.workspaces.items())
        if (binding["name"].as_string() == member.key()) source = binding["workspace"].str(source);
      if (source == workspace) changes.push_back({child->second["status"]["completionTime"].str(), task.name, member.value.str()});
    }
  }
  // Tasks of one second are in the order of the pipeline: what is needed stands before.
  std::ranges::stable_sort(changes, {}, &Change::when);
  std::vector<std::string> out;
  for (const Change& change : changes) out.push_back(change.blob);
  return out;
}

Result<Json> make_task_run(const RunView& view, const PipelineTask& task) {
  const ForFinal final = task.is_final ? ForFinal::yes : ForFinal::no;
  const Variables variables = variables_of(view, final);
  std::vector<Json> bindings(task.workspaces.items().begin(), task.workspaces.items().end());
  Json inline_spec = task.task_spec.is_null() ? Json() : inherit(view, task.task_spec.without("metadata"), final);
  if (!inline_spec.is_null()) propagate_workspaces(view, task, inline_spec, bindings);
  for (Json& binding : bindings) binding = variables.apply(binding);
  const Bound bound = TRY(bind_workspaces(view, task, bindings));
  const Json params = variables.apply(task.params);
  for (const Json& value : {params, inline_spec})
    if (const std::string missing = missing_result(value); !missing.empty())
      return fail(ErrorCode::invalid, fmt::format("invalid result reference in pipeline task \"{}\": {} was not produced", task.name, missing));
  const Json settings = template_of(view, task.name);
  Json spec = Json::object({{"serviceAccountName", settings["serviceAccountName"].str("default")}, {"timeout", variables.apply_text(task.timeout.empty() ? "1h0m0s" : task.timeout)}});
  if (!params.empty()) spec = spec.with("params", params);
  if (!bound.workspaces.empty()) spec = spec.with("workspaces", bound.workspaces);
  if (!settings["podTemplate"].is_null()) spec = spec.with("podTemplate", settings["podTemplate"]);
  if (task.retries > 0) spec = spec.with("retries", task.retries);
  spec = inline_spec.is_null() ? spec.with("taskRef", variables.apply(task.task_ref)) : spec.with("taskSpec", inline_spec);
  return Json::object({{"apiVersion", "tekton.dev/v1"}, {"kind", "TaskRun"}, {"metadata", metadata_of(view, task, bound.trees, task.task_spec["metadata"])}, {"spec", spec}});
}

}  // namespace slipway::tekton
