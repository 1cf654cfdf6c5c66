// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "ci/tekton/builtin.h"
#include "ci/tekton/pipeline.h"
#include "ci/tekton/pod.h"
#include "ci/tekton/runs.h"
#include "ci/tekton/task_status.h"
#include "hub/trees.h"
#include "kube/events.h"

namespace slipway::tekton {
namespace {

using kube::Next;
using kube::ObjectKey;

constexpr std::int64_t default_timeout = 3600;

std::string pod_name_of(const Json& run) {
  const std::size_t retries = run["status"]["retriesStatus"].size();
  const std::string name = run["metadata"]["name"].str();
  return retries == 0 ? name + "-pod" : fmt::format("{}-pod-retry{}", name, retries);
}

// What a reconcile has found out about its run.
struct Job {
  Json run;
  ObjectKey key;
  std::string task_name;  // of a reference
  Json spec;              // of the task, its variables filled in
  Json params;
  std::vector<BoundWorkspace> workspaces;
  bool builtin() const { return spec["steps"].is_null(); }
};

Result<std::vector<BoundWorkspace>> bind_workspaces(const Json& run) {
  const auto trees = text::parse_json(run["metadata"]["annotations"][trees_annotation].as_string("{}"));
  if (!trees) return fail(ErrorCode::invalid, "the annotation slipway.dev/trees is not JSON");
  std::vector<BoundWorkspace> out;
  for (const Json& binding : run["spec"]["workspaces"].items()) {
    TRY(only_fields(binding, {"name", "subPath", "emptyDir", "configMap", "secret", "projected", "volumeClaimTemplate"}, "workspaces"));
    BoundWorkspace bound{.name = binding["name"].str(), .sub_path = binding["subPath"].str(), .is_tree = false, .blobs = {}, .volume = {}};
    for (const char* kind : {"emptyDir", "configMap", "secret", "projected"})
      if (binding.contains(kind)) bound.volume = Json::object({{kind, binding[kind]}});
    if (const Json* tree = trees->find(bound.name)) {
      bound.is_tree = true;
      for (const Json& blob : tree->items()) bound.blobs.push_back(blob.str());
    } else if (binding.contains("volumeClaimTemplate")) {
      bound.volume = Json::object({{"emptyDir", Json::object()}});
    }
    if (!bound.is_tree && bound.volume.is_null()) return fail(ErrorCode::invalid, fmt::format("workspace {} is bound to nothing", bound.name));
    out.push_back(std::move(bound));
  }
  return out;
}

class TaskRuns final {
 public:
  TaskRuns(kube::Manager& manager, RunDependencies dependencies)
      : manager_(manager), dependencies_(std::move(dependencies)), runs_(manager.informer(kube::resources::task_runs)), pods_(manager.informer(kube::resources::pods)),
        builds_(manager.informer(kube::resources::image_builds)), tasks_(manager.informer(kube::resources::tasks)), events_(manager, "slipway-taskrun") {}

  Result<Next> reconcile(const ObjectKey& key) {
    Job job{.run = runs_.get(key), .key = key, .task_name = {}, .spec = {}, .params = {}, .workspaces = {}};
    if (job.run.is_null() || !job.run["metadata"]["deletionTimestamp"].is_null() || is_done(job.run)) return Next::done();
    if (job.run["spec"]["status"].as_string() == "TaskRunCancelled") return stop(job, "TaskRunCancelled", fmt::format("TaskRun \"{}\" was cancelled", key.name));
    if (job.run["status"]["startTime"].is_null()) TRY(begin(job));
    const auto left = time_left(job);
    if (!left) return finish_failed(job, "TaskRunValidationFailed", left.error().to_string(), {});
    if (*left && (*left)->count() <= 0) return stop(job, "TaskRunTimeout", fmt::format("TaskRun \"{}\" failed to finish within \"{}\"", key.name, timeout_text(job)));
    if (auto resolved = resolve(job); !resolved) return give_up(job, resolved.error());
    auto next = job.builtin() ? run_builtin(job) : run_pod(job);
    if (!next) return give_up(job, next.error());
    if (next->delay || !*left) return next;
    return is_done(runs_.get(key)) ? Next::done() : Next::after(**left);
  }

 private:
  static std::string timeout_text(const Job& job) { return job.run["spec"]["timeout"].str("1h0m0s"); }

  // Of the author's making: the run fails with the reason. Of the plane's: it is tried again.
  Result<Next> give_up(const Job& job, const Error& error) {
    switch (error.code) {
      case ErrorCode::invalid: case ErrorCode::not_found: case ErrorCode::forbidden: case ErrorCode::too_large:
        return finish_failed(job, error.code == ErrorCode::not_found ? "CouldntGetTask" : "TaskRunValidationFailed", error.to_string(), {});
      default: return std::unexpected(error);
    }
  }

  Result<> begin(Job& job) {
    const Json status = Json::object({{"startTime", format_rfc3339(manager_.clock().now())},
                                      {"conditions", Json::array({succeeded_condition({}, "Unknown", "Started", "", manager_.clock().now())})}});
    return write(job, status);
  }

  // Nothing: it has no time-out.
  Result<std::optional<std::chrono::seconds>> time_left(const Job& job) const {
    const std::int64_t limit = TRY(parse_duration(job.run["spec"]["timeout"].as_string(), default_timeout));
    if (limit == 0) return std::nullopt;
    const auto started = parse_rfc3339(job.run["status"]["startTime"].as_string());
    if (!started) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::seconds>(*started + std::chrono::seconds(limit) - manager_.clock().now() + std::chrono::milliseconds(999));
  }

  // The spec is frozen in the status: a Task that changes under way does not change the run.
  Result<> resolve(Job& job) {
    TRY(only_fields(job.run["spec"], {"params", "serviceAccountName", "taskRef", "taskSpec", "status", "statusMessage", "retries", "timeout", "podTemplate", "workspaces", "computeResources"}, "spec"));
    Json spec = job.run["status"]["taskSpec"];
    job.task_name = job.run["spec"]["taskRef"]["name"].str();
    if (spec.is_null()) {
      spec = TRY(find_spec(job));
      TRY(write(job, Json::object({{"taskSpec", spec}})));
    }
    job.params = TRY(resolve_params(spec["params"], job.run["spec"]["params"], fmt::format("TaskRun {}", job.key.name)));
    job.workspaces = TRY(bind_workspaces(job.run));
    job.spec = TRY(fill_in(job, spec));
    return {};
  }

  Result<Json> find_spec(const Job& job) {
    const Json& own = job.run["spec"]["taskSpec"];
    if (!own.is_null()) return own;
    const Json& reference = job.run["spec"]["taskRef"];
    TRY(only_fields(reference, {"name", "kind", "apiVersion"}, "taskRef"));
    if (const std::string_view kind = reference["kind"].as_string("Task"); kind != "Task" && kind != "ClusterTask") return fail(ErrorCode::invalid, fmt::format("taskRef.kind {} is not supported", printable(kind)));
    const Json task = tasks_.get({job.key.ns, job.task_name});
    if (!task.is_null()) return task["spec"];
    Json builtin = builtin_spec(job.task_name);
    if (builtin.is_null())
      return fail(ErrorCode::not_found, fmt::format("failed to get task: tasks.tekton.dev \"{}\" not found; it is neither in .tekton/, nor in the namespace {}, nor built in (git-clone, buildah, kaniko)",
                                                    job.task_name, job.key.ns));
    return builtin;
  }

  Result<Json> fill_in(const Job& job, const Json& spec) {
    Variables variables;
    for (const auto& member : job.params.members()) variables.set_param(std::string(member.key()), member.value);
    set_workspace_variables(variables, TRY(Task::workspaces_of(spec)), job.workspaces);
    for (const std::string& name : TRY(Task::results_of(spec))) {
      variables.set(fmt::format("results.{}.path", name), fmt::format("{}/{}", wire::results_folder, name));
      variables.set(fmt::format("results['{}'].path", name), fmt::format("{}/{}", wire::results_folder, name));
    }
    variables.set("context.taskRun.name", job.key.name);
    variables.set("context.taskRun.namespace", job.key.ns);
    variables.set("context.taskRun.uid", job.run["metadata"]["uid"]);
    variables.set("context.task.name", job.task_name.empty() ? job.key.name : job.task_name);
    variables.set("context.task.retry-count", std::to_string(job.run["status"]["retriesStatus"].size()));
    variables.set("credentials.path", "/tekton/creds");
    Json filled = spec;
    for (const char* part : {"steps", "stepTemplate", "volumes", "workspaces"})
      if (!spec[part].is_null()) filled = filled.with(part, variables.apply(spec[part]));
    return filled;
  }

  // --- a pod

  Result<Next> run_pod(Job& job) {
    const Json pod = pods_.get({job.key.ns, pod_name_of(job.run)});
    if (pod.is_null()) {
      // A pod that was there and is gone took its step with it: a step never runs a second time by itself.
      if (job.run["status"]["podName"].as_string() == pod_name_of(job.run)) return finish_failed(job, "PodDeleted", "the pod of the run was deleted", {});
      return start_pod(job);
    }
    const TaskState state = judge_pod(pod, job.spec["results"]);
    if (state.progress == Progress::under_way) return report(job, state);
    return finish_pod(job, state);
  }

  Result<Next> start_pod(Job& job) {
    Task task = TRY(Task::decode(job.spec));
    PodRequest request{.task_run = job.run, .task_name = job.task_name, .task = std::move(task), .workspaces = job.workspaces, .attempt = attempt_of(job.run),
                       .pod_name = pod_name_of(job.run), .shim_image = dependencies_.shim_image, .hub = dependencies_.hub, .pin = dependencies_.pin, .reports = {}, .image_commands = {}};
    for (const auto glob : split(job.run["metadata"]["annotations"][reports_annotation].as_string(), ','))
      if (!trim(glob).empty()) request.reports.emplace_back(trim(glob));
    for (const TaskStep& step : request.task.steps)
      if (step.script.empty() && step.command.empty())
        if (auto known = dependencies_.image_command(step.image)) request.image_commands[step.image] = *known;
    const PodAndPlan made = TRY(make_pod(request));
    std::vector<std::string> readable;
    for (const auto& workspace : made.plan.workspaces) readable.insert(readable.end(), workspace.blobs.begin(), workspace.blobs.end());
    // A capability is only known here: one that an earlier try left behind ends, and its Secret is written anew.
    const std::string token = TRY(dependencies_.attempts.open(request.attempt, readable));
    TRY(write_secret(make_capability(request, made.plan, token)));
    auto created = manager_.client().create(kube::resources::pods, made.pod);
    if (!created && created.error().code != ErrorCode::already_exists) {
      if (created.error().code == ErrorCode::forbidden || created.error().code == ErrorCode::invalid)
        return finish_failed(job, "PodCreationFailed", fmt::format("failed to create task run pod \"{}\": {}", request.pod_name, created.error().message), {});
      return std::unexpected(std::move(created.error()));
    }
    if (created) pods_.observed(*created);
    TRY(write(job, Json::object({{"podName", request.pod_name}, {"conditions", Json::array({succeeded_condition(succeeded_of(job.run), "Unknown", "Pending", "the pod is starting", manager_.clock().now())})}})));
    return Next::done();
  }

  Result<> write_secret(const Json& secret) {
    auto created = manager_.client().create(kube::resources::secrets, secret);
    if (created || created.error().code != ErrorCode::already_exists) return created ? Result<>{} : std::unexpected(std::move(created.error()));
    TRY(manager_.client().patch(kube::resources::secrets, kube::key_of(secret), kube::PatchType::merge, Json::object({{"stringData", secret["stringData"]}})));
    return {};
  }

  Result<Next> report(Job& job, const TaskState& state) {
    Json status = Json::object({{"podName", pod_name_of(job.run)}, {"steps", state.steps},
                                {"conditions", Json::array({succeeded_condition(succeeded_of(job.run), "Unknown", state.reason, state.message, manager_.clock().now())})}});
    TRY(write(job, status));
    return Next::done();
  }

  Result<Next> finish_pod(Job& job, TaskState state) {
    const hub::AttemptOutcome outcome = TRY(dependencies_.attempts.outcome(attempt_of(job.run)));
    Json changes = Json::object();
    for (const auto& [workspace, digest] : outcome.changes) changes = changes.with(workspace, digest);
    const hub::TestSummary& tests = outcome.tests;
    Json annotations = Json::object({{changes_annotation, text::to_json(changes)}});
    if (tests.tests > 0) {
      const std::string failing = tests.failing.empty() ? "" : tests.failing[0].name;
      annotations = annotations.with(tests_annotation, text::to_json(Json::object({{"tests", tests.tests}, {"failures", tests.failures}, {"errors", tests.errors}, {"skipped", tests.skipped}, {"failing", failing}})));
      if (!failing.empty() && state.progress == Progress::failed) state.message += fmt::format("; failing test {} ({} of {} failed)", failing, tests.failures + tests.errors, tests.tests);
    }
    TRY(annotate(job, annotations));
    TRY(dependencies_.attempts.close(attempt_of(job.run)));
    (void)manager_.client().remove(kube::resources::secrets, {job.key.ns, pod_name_of(job.run)});
    return state.progress == Progress::succeeded ? finish_succeeded(job, state.results, state.steps) : finish_failed(job, state.reason, state.message, state.steps, state.results);
  }

  // --- built-in tasks

  Result<Next> run_builtin(Job& job) { return job.task_name == "git-clone" ? run_clone(job) : run_build(job); }

  Result<Next> run_clone(Job& job) {
    Clone done = TRY(clone(dependencies_, job.key.ns, job.params));
    const auto output = std::ranges::find(job.workspaces, std::string("output"), &BoundWorkspace::name);
    if (output == job.workspaces.end() || !output->is_tree) return fail(ErrorCode::invalid, "git-clone: the workspace output must be shared by the run (a volumeClaimTemplate of the PipelineRun)");
    if (!output->sub_path.empty()) done.tree = TRY(hub::moved_below(dependencies_.blobs, done.tree, output->sub_path));
    TRY(dependencies_.blobs.lease("attempt-" + attempt_of(job.run), done.tree, std::chrono::hours(24)));
    TRY(annotate(job, Json::object({{changes_annotation, text::to_json(Json::object({{"output", done.tree.value}}))}})));
    return finish_succeeded(job, results_json(done.results), Json::array());
  }

  static Json results_json(const std::map<std::string, std::string>& values) {
    std::vector<Json> out;
    for (const auto& [name, value] : values) out.push_back(Json::object({{"name", name}, {"type", "string"}, {"value", value}}));
    return Json::array(std::move(out));
  }

  Result<Next> run_build(Job& job) {
    const Json build = builds_.get(job.key);
    if (build.is_null()) return start_build(job);
    const Json& status = build["status"];
    const std::string_view phase = status["phase"].as_string();
    if (phase == "Succeeded") {
      const Json url = status["imageUrl"].is_null() ? build["spec"]["image"] : status["imageUrl"];
      return finish_succeeded(job, results_json({{"IMAGE_DIGEST", status["digest"].str()}, {"IMAGE_URL", url.str()}}), build_steps(build, 0));
    }
    if (phase == "Failed") return finish_failed(job, "Failed", fmt::format("image build failed: {}", status["message"].as_string()), build_steps(build, 1));
    TaskState state{.reason = phase.empty() || phase == "Pending" ? "Pending" : "Running", .message = status["message"].str("the image is being built")};
    Json next = Json::object({{"steps", build_steps(build, -1)}, {"conditions", Json::array({succeeded_condition(succeeded_of(job.run), "Unknown", state.reason, state.message, manager_.clock().now())})}});
    TRY(write(job, next));
    return Next::done();
  }

  Result<Next> start_build(Job& job) {
    if (job.run["status"]["imageBuild"].as_string() == job.key.name) return finish_failed(job, "ImageBuildDeleted", "the ImageBuild of the run was deleted", {});
    const auto source = std::ranges::find(job.workspaces, std::string("source"), &BoundWorkspace::name);
    if (source == job.workspaces.end() || !source->is_tree || source->blobs.empty())
      return fail(ErrorCode::invalid, fmt::format("{}: the workspace source holds no tree of this run; a task before it (git-clone) fills it", job.task_name));
    store::Digest context = TRY(hub::flatten(dependencies_.blobs, source->blobs));
    if (const std::string& folder = source->sub_path; !folder.empty()) return fail(ErrorCode::invalid, fmt::format("{}: subPath of the workspace source is not supported; use CONTEXT", job.task_name));
    TRY(dependencies_.blobs.lease("attempt-" + attempt_of(job.run), context, std::chrono::hours(24)));
    auto created = manager_.client().create(kube::resources::image_builds, TRY(image_build(job.task_name, job.run, job.params, context)));
    if (!created && created.error().code != ErrorCode::already_exists) return std::unexpected(std::move(created.error()));
    if (created) builds_.observed(*created);
    TRY(write(job, Json::object({{"imageBuild", job.key.name}})));
    return Next::done();
  }

  static Json build_steps(const Json& build, int exit_code) {
    Json step = Json::object({{"name", "build"}, {"container", "step-build"}});
    if (exit_code >= 0)
      step = step.with("terminated", Json::object({{"exitCode", exit_code}, {"reason", exit_code == 0 ? "Completed" : "Error"}, {"startedAt", build["status"]["startTime"]}, {"finishedAt", build["status"]["completionTime"]}}));
    else
      step = step.with("running", Json::object({{"startedAt", build["status"]["startTime"]}}));
    return Json::array({step});
  }

  // --- ends

  Result<Next> finish_succeeded(Job& job, const Json& results, const Json& steps) {
    TRY(finish(job, "True", "Succeeded", "All Steps have completed executing", steps, results));
    events_.normal(job.run, "Succeeded", "All Steps have completed executing");
    return Next::done();
  }

  Result<Next> finish_failed(const Job& job, std::string_view reason, const std::string& message, const Json& steps, const Json& results = {}) {
    Job own = job;
    const std::int64_t retries = job.run["spec"]["retries"].as_int();
    const Json& earlier = job.run["status"]["retriesStatus"];
    if (static_cast<std::int64_t>(earlier.size()) < retries && reason != "TaskRunValidationFailed" && reason != "CouldntGetTask") return try_again(own, reason, message, steps);
    TRY(finish(own, "False", reason, message, steps, results));
    events_.warning(own.run, "Failed", message);
    return Next::done();
  }

  Result<Next> try_again(Job& job, std::string_view reason, const std::string& message, const Json& steps) {
    const Json now = job.run["status"];
    const Json past = now.without("retriesStatus").without("taskSpec").with("steps", steps.is_null() ? now["steps"] : steps)
                          .with("completionTime", format_rfc3339(manager_.clock().now()))
                          .with("conditions", Json::array({succeeded_condition(succeeded_of(job.run), "False", reason, message, manager_.clock().now())}));
    const Json list = now["retriesStatus"].with_item(past);
    TRY(write(job, Json::object({{"retriesStatus", list}, {"startTime", format_rfc3339(manager_.clock().now())}, {"podName", nullptr}, {"steps", nullptr}, {"imageBuild", nullptr},
                                 {"conditions", Json::array({succeeded_condition({}, "Unknown", "ToBeRetried", message, manager_.clock().now())})}})));
    return Next::after(std::chrono::milliseconds(1));
  }

  Result<> finish(Job& job, std::string_view status, std::string_view reason, std::string_view message, const Json& steps, const Json& results) {
    Json out = Json::object({{"completionTime", format_rfc3339(manager_.clock().now())}, {"conditions", Json::array({succeeded_condition(succeeded_of(job.run), status, reason, message, manager_.clock().now())})}});
    if (!steps.is_null()) out = out.with("steps", steps);
    if (!results.empty()) out = out.with("results", results);
    return write(job, out);
  }

  // Cancelled or out of time: the pod goes, and with it what runs in it.
  Result<Next> stop(Job& job, std::string_view reason, const std::string& message) {
    const ObjectKey pod{job.key.ns, pod_name_of(job.run)};
    for (const auto& [resource, key] : {std::pair{kube::resources::pods, pod}, std::pair{kube::resources::image_builds, job.key}}) {
      auto removed = manager_.client().remove(resource, key);
      if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(std::move(removed.error()));
    }
    TRY(dependencies_.attempts.close(attempt_of(job.run)));
    TRY(finish(job, "False", reason, message, {}, {}));
    events_.warning(job.run, "Failed", message);
    return Next::done();
  }

  Result<> annotate(Job& job, const Json& annotations) {
    job.run = TRY(manager_.client().patch(kube::resources::task_runs, job.key, kube::PatchType::merge, Json::object({{"metadata", Json::object({{"annotations", annotations}})}})));
    runs_.observed(job.run);
    return {};
  }

  Result<> write(Job& job, const Json& status) {
    bool same = true;
    for (const auto& member : status.members()) same &= job.run["status"][member.key()] == member.value;
    if (same) return {};
    job.run = TRY(manager_.client().patch(kube::resources::task_runs, job.key, kube::PatchType::merge, Json::object({{"status", status}}), {}, "status"));
    runs_.observed(job.run);
    return {};
  }

  kube::Manager& manager_;
  const RunDependencies dependencies_;
  kube::Informer& runs_;
  kube::Informer& pods_;
  kube::Informer& builds_;
  kube::Informer& tasks_;
  kube::EventRecorder events_;
};

}  // namespace

std::string attempt_of(const Json& task_run) { return fmt::format("{}-{}", task_run["metadata"]["uid"].as_string(), task_run["status"]["retriesStatus"].size()); }

void register_task_runs(kube::Manager& manager, const RunDependencies& dependencies) {
  const auto state = std::make_shared<TaskRuns>(manager, dependencies);
  auto& controller = manager.controller("taskrun", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); }, 4);
  manager.informer(kube::resources::task_runs).on_change([&controller](const Json& before, const Json& after) {
    if (!after.is_null()) controller.enqueue(kube::key_of(after));
    (void)before;
  });
  const auto owner_changed = [&controller](const Json& before, const Json& after) {
    const Json& object = after.is_null() ? before : after;
    const Json owner = kube::controller_of(object);
    if (owner["kind"].as_string() == "TaskRun") controller.enqueue({kube::key_of(object).ns, owner["name"].str()});
  };
  manager.informer(kube::resources::pods).on_change(owner_changed);
  manager.informer(kube::resources::image_builds).on_change(owner_changed);
}

}  // namespace slipway::tekton
