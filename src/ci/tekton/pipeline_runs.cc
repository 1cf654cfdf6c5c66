// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "ci/tekton/pipeline_state.h"
#include "ci/tekton/runs.h"
#include "ci/tekton/task_status.h"
#include "kube/events.h"

namespace slipway::tekton {
namespace {

using kube::Next;
using kube::ObjectKey;

constexpr std::int64_t default_timeout = 3600;
constexpr std::size_t max_running = 64;  // tasks of one run at once

enum class Stop { none, cancel, cancel_run_finally, stop_run_finally };

Result<Stop> stop_of(const Json& run) {
  const std::string_view asked = run["spec"]["status"].as_string();
  if (asked.empty() || asked == "PipelineRunPending") return Stop::none;
  if (asked == "Cancelled" || asked == "PipelineRunCancelled") return Stop::cancel;
  if (asked == "CancelledRunFinally") return Stop::cancel_run_finally;
  if (asked == "StoppedRunFinally") return Stop::stop_run_finally;
  return fail(ErrorCode::invalid, fmt::format("spec.status \"{}\" is not Cancelled, CancelledRunFinally, StoppedRunFinally or PipelineRunPending", asked));
}

class Conditions final : public run::Evaluator {
 public:
  Conditions(const RunView& view) : main_(variables_of(view, ForFinal::no)), final_(variables_of(view, ForFinal::yes)) {}
  Result<bool> holds(const run::Expression& condition) const override {
    // The status of tasks is known to final tasks alone; elsewhere such a variable stays as it is and holds nothing.
    return when_holds(final_.apply(TRY(text::parse_json(condition.source))));
  }

 private:
  const Variables main_, final_;
};

std::string_view skip_text(run::SkipReason reason) {
  switch (reason) {
    case run::SkipReason::condition_false: return "When Expressions evaluated to false";
    case run::SkipReason::need_failed: return "Parent Tasks failed";
    case run::SkipReason::need_skipped: return "Parent Tasks were skipped";
    case run::SkipReason::stopping: return "PipelineRun was stopping";
  }
  return "None";
}

class PipelineRuns final {
 public:
  explicit PipelineRuns(kube::Manager& manager)
      : manager_(manager), runs_(manager.informer(kube::resources::pipeline_runs)), tasks_(manager.informer(kube::resources::task_runs)),
        pipelines_(manager.informer(kube::resources::pipelines)), events_(manager, "slipway-pipelinerun") {}

  Result<Next> reconcile(const ObjectKey& key) {
    Json run = runs_.get(key);
    if (run.is_null() || !run["metadata"]["deletionTimestamp"].is_null() || is_done(run)) return Next::done();
    if (run["spec"]["status"].as_string() == "PipelineRunPending") return wait(run);
    if (run["status"]["startTime"].is_null()) TRY(begin(run));
    auto view = resolve(run);
    if (!view) return give_up(run, view.error());
    auto next = step(*view);
    return next ? next : give_up(run, next.error());
  }

 private:
  Result<Next> give_up(const Json& run, const Error& error) {
    switch (error.code) {
      case ErrorCode::invalid: case ErrorCode::not_found: case ErrorCode::too_large: break;
      default: return std::unexpected(error);
    }
    Json own = run;
    for (const Json& child : tasks_.owned_by(run["metadata"]["uid"].as_string())) TRY(cancel(child));
    const std::string_view reason = error.code == ErrorCode::not_found ? "CouldntGetPipeline" : "PipelineValidationFailed";
    TRY(finish(own, Json::object(), "False", reason, error.to_string()));
    return Next::done();
  }

  Result<Next> wait(Json& run) {
    TRY(write(run, Json::object({{"conditions", Json::array({succeeded_condition(succeeded_of(run), "Unknown", "PipelineRunPending", "PipelineRun is pending", now())})}})));
    return Next::done();
  }

  Result<> begin(Json& run) {
    return write(run, Json::object({{"startTime", format_rfc3339(now())}, {"conditions", Json::array({succeeded_condition({}, "Unknown", "Started", "", now())})}}));
  }

  Result<RunView> resolve(Json& run) {
    TRY(only_fields(run["spec"], {"params", "pipelineRef", "pipelineSpec", "status", "timeouts", "workspaces", "taskRunTemplate", "taskRunSpecs"}, "spec"));
    TRY(only_fields(run["spec"]["taskRunTemplate"], {"serviceAccountName", "podTemplate"}, "spec.taskRunTemplate"));
    for (const Json& one : run["spec"]["taskRunSpecs"].items()) TRY(only_fields(one, {"pipelineTaskName", "serviceAccountName", "podTemplate"}, "spec.taskRunSpecs"));
    Json spec = run["status"]["pipelineSpec"];
    if (spec.is_null()) {
      spec = TRY(find_spec(run));
      TRY(write(run, Json::object({{"pipelineSpec", spec}})));
    }
    const std::string name = run["metadata"]["name"].str();
    // Without declarations the given params are the pipeline's own: inline specs see them all.
    Json params = TRY(resolve_params(spec["params"], run["spec"]["params"], fmt::format("PipelineRun {}", name)));
    for (const Json& given : run["spec"]["params"].items())
      if (!params.contains(given["name"].as_string())) params = params.with(given["name"].as_string(), given["value"]);
    Pipeline pipeline = TRY(Pipeline::decode(spec));
    RunView view{run, std::move(pipeline), std::move(params), {}};
    for (const Json& child : tasks_.owned_by(run["metadata"]["uid"].as_string())) view.children[child["metadata"]["labels"]["tekton.dev/pipelineTask"].str()] = child;
    return view;
  }

  Result<Json> find_spec(const Json& run) {
    if (!run["spec"]["pipelineSpec"].is_null()) return run["spec"]["pipelineSpec"];
    TRY(only_fields(run["spec"]["pipelineRef"], {"name", "apiVersion"}, "pipelineRef"));
    const ObjectKey key{run["metadata"]["namespace"].str(), run["spec"]["pipelineRef"]["name"].str()};
    if (key.name.empty()) return fail(ErrorCode::invalid, "expected exactly one, got neither: spec.pipelineRef, spec.pipelineSpec");
    const Json pipeline = pipelines_.get(key);
    if (pipeline.is_null()) return fail(ErrorCode::not_found, fmt::format("failed to get Pipeline {}: pipelines.tekton.dev \"{}\" not found; it is neither in .tekton/ nor in the namespace {}", key.name, key.name, key.ns));
    return pipeline["spec"];
  }

  // When the run's time is over; nothing: never.
  Result<std::optional<Wall>> deadline(const Json& run, std::string_view which, std::int64_t fallback) const {
    const std::int64_t seconds = TRY(parse_duration(run["spec"]["timeouts"][which].as_string(), fallback));
    const auto started = parse_rfc3339(run["status"]["startTime"].as_string());
    if (seconds == 0 || !started) return std::nullopt;
    return *started + std::chrono::seconds(seconds);
  }

  Result<Next> step(RunView& view) {
    const Stop stop = TRY(stop_of(view.run));
    if (stop == Stop::cancel) return end_early(view, "Cancelled", fmt::format("PipelineRun \"{}\" was cancelled", name_of(view)));
    const auto end = TRY(deadline(view.run, "pipeline", default_timeout));
    if (end && now() >= *end)
      return end_early(view, "PipelineRunTimeout", fmt::format("PipelineRun \"{}\" failed to finish within \"{}\"", name_of(view), view.run["spec"]["timeouts"]["pipeline"].as_string("1h0m0s")));
    const auto tasks_end = TRY(deadline(view.run, "tasks", 0));
    const bool tasks_over = tasks_end && now() >= *tasks_end;
    if (tasks_over || stop == Stop::cancel_run_finally) TRY(cancel_main(view));

    run::Progress progress = progress_of(view);
    std::vector<run::Skip> skipped;
    if (tasks_over || stop != Stop::none) hold_main(view, progress, skipped);
    const run::Plan plan = TRY(run::plan(view.pipeline.graph, progress, Conditions(view), max_running));
    skipped.insert(skipped.end(), plan.skip.begin(), plan.skip.end());
    for (const run::NodeId id : plan.start) TRY(start(view, view.pipeline[id], skipped, id));
    TRY(report(view, plan, skipped, stop));
    if (is_done(view.run) || (!end && !tasks_end)) return Next::done();
    const Wall next = tasks_end && !tasks_over && (!end || *tasks_end < *end) ? *tasks_end : *end;
    return Next::after(std::max<std::chrono::nanoseconds>(next - now(), std::chrono::milliseconds(10)));
  }

  // Nothing new in the main phase.
  static void hold_main(const RunView& view, run::Progress& progress, std::vector<run::Skip>& skipped) {
    for (std::uint32_t i = 0; i < progress.size(); ++i) {
      if (view.pipeline.tasks[i].is_final || progress[i].state != run::State::pending) continue;
      progress[i].state = run::State::skipped;
      progress[i].skip_reason = run::SkipReason::stopping;
      skipped.push_back({{i}, run::SkipReason::stopping});
    }
  }

  Result<> start(RunView& view, const PipelineTask& task, std::vector<run::Skip>& skipped, run::NodeId id) {
    auto wanted = make_task_run(view, task);
    if (!wanted && task.is_final && !missing_result(variables_of(view, ForFinal::yes).apply(task.params)).empty()) {
      skipped.push_back({id, run::SkipReason::need_skipped});  // a final task whose input never came
      return {};
    }
    auto created = manager_.client().create(kube::resources::task_runs, TRY(std::move(wanted)));
    if (!created && created.error().code == ErrorCode::already_exists) created = manager_.client().get(kube::resources::task_runs, {kube::key_of(view.run).ns, child_name(name_of(view), task.name)});
    const Json child = TRY(std::move(created));
    tasks_.observed(child);
    view.children[task.name] = child;
    return {};
  }

  Result<> cancel(const Json& child) {
    if (is_done(child) || !child["spec"]["status"].is_null()) return {};
    auto patched = manager_.client().patch(kube::resources::task_runs, kube::key_of(child), kube::PatchType::merge, Json::object({{"spec", Json::object({{"status", "TaskRunCancelled"}})}}));
    if (patched) tasks_.observed(*patched);
    if (!patched && patched.error().code != ErrorCode::not_found) return std::unexpected(std::move(patched.error()));
    return {};
  }

  Result<> cancel_main(const RunView& view) {
    for (const auto& [name, child] : view.children)
      if (child["metadata"]["labels"]["tekton.dev/memberOf"].as_string() != "finally") TRY(cancel(child));
    return {};
  }

  Result<Next> end_early(RunView& view, std::string_view reason, const std::string& message) {
    for (const auto& [name, child] : view.children) TRY(cancel(child));
    TRY(finish(view.run, Json::object({{"childReferences", references(view)}}), "False", reason, message));
    return Next::done();
  }

  static Json references(const RunView& view) {
    std::vector<Json> out;
    for (const PipelineTask& task : view.pipeline.tasks) {
      const auto child = view.children.find(task.name);
      if (child == view.children.end()) continue;
      out.push_back(Json::object({{"apiVersion", "tekton.dev/v1"}, {"kind", "TaskRun"}, {"name", child->second["metadata"]["name"]}, {"pipelineTaskName", task.name}}));
    }
    return Json::array(std::move(out));
  }

  static Json skipped_json(const RunView& view, const std::vector<run::Skip>& skipped) {
    std::vector<Json> out;
    for (const run::Skip& one : skipped) {
      Json entry = Json::object({{"name", view.pipeline[one.node].name}, {"reason", skip_text(one.reason)}});
      if (one.reason == run::SkipReason::condition_false) entry = entry.with("whenExpressions", variables_of(view, ForFinal::yes).apply(view.pipeline[one.node].when));
      out.push_back(entry);
    }
    return Json::array(std::move(out));
  }

  struct Counts {
    int completed = 0, failed = 0, cancelled = 0, incomplete = 0;
  };
  static Counts count(const RunView& view) {
    Counts out;
    for (const auto& [name, child] : view.children) {
      const Json& condition = succeeded_of(child);
      if (!is_done(child)) ++out.incomplete;
      else if (condition["reason"].as_string() == "TaskRunCancelled") ++out.cancelled;
      else if (condition["status"].as_string() == "False") ++out.failed;
      else ++out.completed;
    }
    return out;
  }

  Result<> report(RunView& view, const run::Plan& plan, const std::vector<run::Skip>& skipped, Stop stop) {
    const Counts counts = count(view);
    Json status = Json::object({{"childReferences", references(view)}});
    if (!skipped.empty()) status = status.with("skippedTasks", skipped_json(view, skipped));
    const int done = counts.completed + counts.failed + counts.cancelled;
    if (plan.finished && counts.incomplete == 0) {
      const std::string message = fmt::format("Tasks Completed: {} (Failed: {}, Cancelled {}), Skipped: {}", done, counts.failed, counts.cancelled, skipped.size());
      const Json results = results_of(view);
      if (!results.empty()) status = status.with("results", results);
      if (stop != Stop::none) return finish(view.run, status, "False", "Cancelled", message);
      if (*plan.finished == run::Outcome::failed) return finish(view.run, status, "False", "Failed", first_failure(view, message));
      return finish(view.run, status, "True", skipped.empty() ? "Succeeded" : "Completed", message);
    }
    const std::string message = fmt::format("Tasks Completed: {} (Failed: {}, Cancelled {}), Incomplete: {}, Skipped: {}", done, counts.failed, counts.cancelled,
                                            view.pipeline.tasks.size() - static_cast<std::size_t>(done) - skipped.size(), skipped.size());
    return write(view.run, status.with("conditions", Json::array({succeeded_condition(succeeded_of(view.run), "Unknown", "Running", message, now())})));
  }

  // Upstream's counts, and what a person wants to know first.
  static std::string first_failure(const RunView& view, const std::string& message) {
    for (const PipelineTask& task : view.pipeline.tasks) {
      const auto child = view.children.find(task.name);
      if (child != view.children.end() && succeeded_of(child->second)["status"].as_string() == "False")
        return fmt::format("{}; task {}: {}", message, task.name, succeeded_of(child->second)["message"].as_string());
    }
    return message;
  }

  static Json results_of(const RunView& view) {
    const Variables variables = variables_of(view, ForFinal::yes);
    std::vector<Json> out;
    for (const Json& result : view.pipeline.results.items()) {
      const Json value = variables.apply(result["value"]);
      if (missing_result(value).empty()) out.push_back(Json::object({{"name", result["name"]}, {"value", value}}));
    }
    return Json::array(std::move(out));
  }

  Result<> finish(Json& run, const Json& status, std::string_view outcome, std::string_view reason, const std::string& message) {
    TRY(write(run, status.with("completionTime", format_rfc3339(now())).with("conditions", Json::array({succeeded_condition(succeeded_of(run), outcome, reason, message, now())}))));
    if (outcome == "True") events_.normal(run, reason, message);
    else events_.warning(run, reason, message);
    return {};
  }

  Result<> write(Json& run, const Json& status) {
    bool same = true;
    for (const auto& member : status.members()) same &= run["status"][member.key()] == member.value;
    if (same) return {};
    run = TRY(manager_.client().patch(kube::resources::pipeline_runs, kube::key_of(run), kube::PatchType::merge, Json::object({{"status", status}}), {}, "status"));
    runs_.observed(run);
    return {};
  }

  static std::string name_of(const RunView& view) { return view.run["metadata"]["name"].str(); }
  Wall now() const { return manager_.clock().now(); }

  kube::Manager& manager_;
  kube::Informer& runs_;
  kube::Informer& tasks_;
  kube::Informer& pipelines_;
  kube::EventRecorder events_;
};

}  // namespace

void register_pipeline_runs(kube::Manager& manager) {
  const auto state = std::make_shared<PipelineRuns>(manager);
  auto& controller = manager.controller("pipelinerun", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); }, 2);
  manager.informer(kube::resources::pipeline_runs).on_change([&controller](const Json&, const Json& after) {
    if (!after.is_null()) controller.enqueue(kube::key_of(after));
  });
  manager.informer(kube::resources::task_runs).on_change([&controller](const Json& before, const Json& after) {
    const Json& object = after.is_null() ? before : after;
    const Json owner = kube::controller_of(object);
    if (owner["kind"].as_string() == "PipelineRun") controller.enqueue({kube::key_of(object).ns, owner["name"].str()});
  });
}

}  // namespace slipway::tekton
