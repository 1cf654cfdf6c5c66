// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/pod.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ci/tekton/pipeline.h"
#include "kube/control.h"

namespace slipway::tekton {
namespace {

const BoundWorkspace* find(const std::vector<BoundWorkspace>& bound, const std::string& name) {
  const auto found = std::ranges::find(bound, name, &BoundWorkspace::name);
  return found == bound.end() ? nullptr : &*found;
}

std::string volume_name(const std::string& workspace) { return "ws-" + workspace.substr(0, 60); }

Json mount(std::string_view volume, std::string_view path, bool read_only = false) {
  Json out = Json::object({{"name", volume}, {"mountPath", path}});
  return read_only ? out.with("readOnly", true) : out;
}

// In every container: the shim, the capability, and the folders that steps share.
std::vector<Json> common_mounts() {
  return {mount("slipway-shim", "/slipway/shim", true), mount("slipway-capability", wire::capability_folder, true), mount("slipway-run", wire::run_folder),
          mount("slipway-results", wire::results_folder), mount("slipway-scripts", wire::scripts_folder)};
}

std::vector<Json> common_volumes(const PodRequest& request) {
  const Json empty = Json::object();
  const auto empty_dir = [&](std::string_view name) { return Json::object({{"name", name}, {"emptyDir", empty}}); };
  return {Json::object({{"name", "slipway-shim"}, {"image", Json::object({{"reference", request.shim_image}, {"pullPolicy", "IfNotPresent"}})}}),
          Json::object({{"name", "slipway-capability"}, {"secret", Json::object({{"secretName", request.pod_name}, {"defaultMode", 0444}})}}),
          empty_dir("slipway-run"), empty_dir("slipway-results"), empty_dir("slipway-scripts")};
}

Result<> add_workspaces(const PodRequest& request, std::vector<Json>& volumes, std::vector<Json>& mounts, wire::Plan& plan) {
  for (const TaskWorkspace& declared : request.task.workspaces) {
    const BoundWorkspace* bound = find(request.workspaces, declared.name);
    if (!bound && declared.optional) continue;
    if (!bound) return fail(ErrorCode::invalid, fmt::format("expected workspace \"{}\" to be provided by the TaskRun", declared.name));
    const Json source = bound->is_tree ? Json::object({{"emptyDir", Json::object()}}) : bound->volume;
    Json volume = Json::object({{"name", volume_name(declared.name)}});
    for (const auto& member : source.members()) volume = volume.with(member.key(), member.value);
    volumes.push_back(volume);
    Json place = mount(volume_name(declared.name), declared.mount_path, declared.read_only && !bound->is_tree);
    if (!bound->sub_path.empty()) place = place.with("subPath", bound->sub_path);
    mounts.push_back(place);
    if (bound->is_tree) {
      const std::string whole = fmt::format("{}/{}", wire::workspaces_folder, declared.name);
      mounts.push_back(mount(volume_name(declared.name), whole));
      plan.workspaces.push_back({declared.name, whole, bound->blobs});
    }
    if (source.contains("secret")) plan.secret_folders.push_back(declared.mount_path);
  }
  return {};
}

// What the step's environment takes from Secrets must not show in its log.
void note_secrets(const TaskStep& step, wire::Plan& plan) {
  for (const Json& variable : step.env.items())
    if (!variable["valueFrom"]["secretKeyRef"].is_null()) plan.secret_variables.push_back(variable["name"].str());
}

Result<wire::Step> step_of(const TaskStep& step, const PodRequest& request) {
  wire::Step out{.name = step.name, .script = step.script, .command = step.command, .timeout_seconds = step.timeout_seconds, .continue_on_error = step.continue_on_error};
  if (step.script.empty() && step.command.empty()) {
    const auto known = request.image_commands.find(step.image);
    if (known == request.image_commands.end() || (known->second.entrypoint.empty() && known->second.command.empty()))
      return fail(ErrorCode::invalid, fmt::format("step {} has neither a script nor a command, and the entrypoint of its image {} is not known here", step.name, step.image));
    out.command = known->second.entrypoint;
    // The image's arguments stand only where the step has none, as in a pod.
    if (step.args.empty()) out.command.insert(out.command.end(), known->second.command.begin(), known->second.command.end());
  }
  out.command.insert(out.command.end(), step.args.begin(), step.args.end());
  return out;
}

Json container_of(const TaskStep& step, std::size_t index, const std::vector<Json>& mounts) {
  std::vector<Json> all = mounts;
  for (const Json& own : step.volume_mounts.items()) all.push_back(own);
  Json out = Json::object({{"name", "step-" + step.name}, {"image", step.image},
                           {"command", Json::array({"/slipway/shim/slipway-shim", "step", "--index", std::to_string(index)})},
                           {"volumeMounts", Json::array(std::move(all))}, {"terminationMessagePolicy", "File"}});
  if (!step.working_dir.empty()) out = out.with("workingDir", step.working_dir);
  const std::pair<std::string_view, const Json*> optional[] = {{"env", &step.env}, {"envFrom", &step.env_from}, {"securityContext", &step.security_context},
                                                               {"resources", &step.resources}, {"imagePullPolicy", &step.image_pull_policy}};
  for (const auto& [key, value] : optional)
    if (!value->is_null()) out = out.with(key, *value);
  return out;
}

Json metadata_of(const PodRequest& request) {
  const Json& run = request.task_run["metadata"];
  Json labels = Json::object();
  for (const auto& member : run["labels"].members()) labels = labels.with(member.key(), member.value);
  labels = labels.with("tekton.dev/taskRun", run["name"]).with("tekton.dev/taskRunUID", run["uid"]).with("app.kubernetes.io/managed-by", "slipway");
  if (!request.task_name.empty()) labels = labels.with("tekton.dev/task", request.task_name);
  return Json::object({{"name", request.pod_name}, {"namespace", run["namespace"]}, {"labels", labels},
                       {"ownerReferences", Json::array({kube::controller_reference(kube::resources::task_runs, request.task_run)})}});
}

Result<Json> with_template(Json spec, const Json& pod_template) {
  TRY(only_fields(pod_template, {"securityContext", "nodeSelector", "tolerations", "imagePullSecrets", "hostAliases", "schedulerName", "env"}, "podTemplate"));
  for (const auto& member : pod_template.members())
    if (member.key() != "env") spec = spec.with(member.key(), member.value);
  return spec;
}

}  // namespace

Result<PodAndPlan> make_pod(const PodRequest& request) {
  wire::Plan plan{.attempt = request.attempt, .hub = request.hub, .pin = request.pin, .results = request.task.results, .reports = request.reports};
  std::vector<Json> volumes = common_volumes(request), mounts = common_mounts();
  TRY(add_workspaces(request, volumes, mounts, plan));
  for (const Json& volume : request.task.volumes.items()) {
    volumes.push_back(volume);
    if (volume.contains("persistentVolumeClaim")) return fail(ErrorCode::invalid, fmt::format("volume {}: persistentVolumeClaim is not supported; use a workspace", volume["name"].as_string()));
  }
  std::vector<Json> containers;
  const Json& pod_template = request.task_run["spec"]["podTemplate"];
  for (std::size_t i = 0; i < request.task.steps.size(); ++i) {
    TaskStep step = request.task.steps[i];
    if (!pod_template["env"].empty()) {
      std::vector<Json> both(pod_template["env"].items().begin(), pod_template["env"].items().end());
      both.insert(both.end(), step.env.items().begin(), step.env.items().end());
      step.env = Json::array(std::move(both));
    }
    plan.steps.push_back(TRY(step_of(step, request)));
    note_secrets(step, plan);
    containers.push_back(container_of(step, i, mounts));
  }
  Json spec = Json::object({{"restartPolicy", "Never"}, {"automountServiceAccountToken", false}, {"containers", Json::array(std::move(containers))},
                            {"volumes", Json::array(std::move(volumes))}, {"serviceAccountName", request.task_run["spec"]["serviceAccountName"].str("default")}});
  spec = TRY(with_template(std::move(spec), pod_template));
  const Json pod = Json::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata_of(request)}, {"spec", spec}});
  if (text::to_json(plan.to_json()).size() > wire::max_plan) return fail(ErrorCode::too_large, fmt::format("the task's scripts are larger than {} bytes", wire::max_plan));
  return PodAndPlan{pod, std::move(plan)};
}

Json make_capability(const PodRequest& request, const wire::Plan& plan, const std::string& token) {
  const Json& run = request.task_run["metadata"];
  return Json::object({{"apiVersion", "v1"}, {"kind", "Secret"}, {"type", "slipway.dev/capability"},
                       {"metadata", Json::object({{"name", request.pod_name}, {"namespace", run["namespace"]}, {"labels", Json::object({{"app.kubernetes.io/managed-by", "slipway"}})},
                                                  {"ownerReferences", Json::array({kube::controller_reference(kube::resources::task_runs, request.task_run)})}})},
                       {"stringData", Json::object({{"token", token}, {"plan.json", text::to_json(plan.to_json())}})}});
}

void set_workspace_variables(Variables& variables, const std::vector<TaskWorkspace>& declared, const std::vector<BoundWorkspace>& bound) {
  for (const TaskWorkspace& workspace : declared) {
    const BoundWorkspace* own = find(bound, workspace.name);
    const std::string prefix = "workspaces." + workspace.name;
    variables.set(prefix + ".path", own ? workspace.mount_path : std::string());
    variables.set(prefix + ".bound", own ? "true" : "false");
    variables.set(prefix + ".volume", own ? volume_name(workspace.name) : std::string());
    variables.set(prefix + ".claim", "");
  }
}

}  // namespace slipway::tekton
