// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace slipway::tekton {
namespace {

constexpr std::size_t max_tasks = 256;

Result<PipelineTask> decode_task(const Json& value, bool is_final) {
  PipelineTask task;
  task.name = value["name"].str();
  if (task.name.empty()) return fail(ErrorCode::invalid, "invalid value: a pipeline task has no name");
  TRY(at(only_fields(value, {"name", "displayName", "description", "taskRef", "taskSpec", "params", "workspaces", "when", "runAfter", "retries", "timeout"}, "tasks"), task.name));
  task.task_ref = value["taskRef"];
  task.task_spec = value["taskSpec"];
  if (task.task_ref.is_null() == task.task_spec.is_null()) return fail(ErrorCode::invalid, fmt::format("expected exactly one, got {}: tasks[{}].taskRef, tasks[{}].taskSpec", task.task_ref.is_null() ? "neither" : "both", task.name, task.name));
  if (!task.task_ref.is_null()) TRY(at(only_fields(task.task_ref, {"name", "kind", "apiVersion"}, "taskRef"), task.name));
  task.params = value["params"];
  task.workspaces = value["workspaces"];
  task.when = value["when"];
  for (const Json& when : task.when.items()) TRY(at(only_fields(when, {"input", "operator", "values"}, "when"), task.name));
  for (const Json& one : value["runAfter"].items()) task.run_after.push_back(one.str());
  task.retries = value["retries"].as_int();
  task.timeout = value["timeout"].str();
  task.is_final = is_final;
  if (is_final && !task.run_after.empty()) return fail(ErrorCode::invalid, fmt::format("no runAfter allowed under spec.finally, final task {} has runAfter specified", task.name));
  return task;
}

// Depth first over what each task needs: an order in which no task stands before its needs, or the cycle.
class Sorter final {
 public:
  explicit Sorter(const std::vector<PipelineTask>& tasks) : tasks_(tasks), state_(tasks.size(), State::unseen) {}

  Result<std::vector<std::size_t>> sort() {
    for (std::size_t i = 0; i < tasks_.size(); ++i) TRY(visit(i));
    return std::move(order_);
  }

  static std::set<std::string> needs(const PipelineTask& task) {
    std::set<std::string> out(task.run_after.begin(), task.run_after.end());
    for (const Json* value : {&task.params, &task.when})
      for (const auto& name : tasks_read_by(*value)) out.insert(name);
    return out;
  }

 private:
  enum class State { unseen, open, done };

  Result<> visit(std::size_t index) {
    if (state_[index] == State::done) return {};
    if (state_[index] == State::open) return fail(ErrorCode::invalid, fmt::format("cycle detected; task \"{}\" depends on itself", tasks_[index].name));
    state_[index] = State::open;
    for (const std::string& need : needs(tasks_[index])) {
      const auto found = std::ranges::find(tasks_, need, &PipelineTask::name);
      if (found == tasks_.end()) return fail(ErrorCode::invalid, fmt::format("task {} depends on {} but {} wasn't present in Pipeline", tasks_[index].name, need, need));
      if (found->is_final && !tasks_[index].is_final) return fail(ErrorCode::invalid, fmt::format("task {} cannot depend on the final task {}", tasks_[index].name, need));
      TRY(visit(static_cast<std::size_t>(found - tasks_.begin())));
    }
    state_[index] = State::done;
    order_.push_back(index);
    return {};
  }

  const std::vector<PipelineTask>& tasks_;
  std::vector<State> state_;
  std::vector<std::size_t> order_;
};

run::Node node_of(const PipelineTask& task, const std::vector<PipelineTask>& sorted) {
  // Retries are the TaskRun's own affair (its retriesStatus).
  run::Node node{.name = task.name, .phase = task.is_final ? run::Phase::final : run::Phase::main};
  std::set<std::string> data;
  for (const Json* value : {&task.params, &task.when})
    for (const auto& name : tasks_read_by(*value)) data.insert(name);
  for (const std::string& need : Sorter::needs(task)) {
    const auto index = std::ranges::find(sorted, need, &PipelineTask::name) - sorted.begin();
    // A final task only waits for the main phase; that one of its results is missing is seen when it is started.
    if (!task.is_final) node.needs.push_back({{static_cast<std::uint32_t>(index)}, data.contains(need) ? run::Need::data : run::Need::order});
  }
  if (!task.when.empty()) node.condition = run::Expression{"tekton", text::to_json(task.when), task.name};
  return node;
}

}  // namespace

Result<> only_fields(const Json& object, std::initializer_list<std::string_view> known, std::string_view where) {
  for (const auto& member : object.members())
    if (std::ranges::find(known, member.key()) == known.end())
      return fail(ErrorCode::invalid, fmt::format("the field {}.{} is not supported", where, printable(member.key())));
  return {};
}

Result<Pipeline> Pipeline::decode(const Json& spec) {
  TRY(only_fields(spec, {"description", "displayName", "params", "results", "workspaces", "tasks", "finally"}, "pipelineSpec"));
  std::vector<PipelineTask> tasks;
  for (const Json& task : spec["tasks"].items()) tasks.push_back(TRY(decode_task(task, false)));
  for (const Json& task : spec["finally"].items()) tasks.push_back(TRY(decode_task(task, true)));
  if (tasks.empty()) return fail(ErrorCode::invalid, "missing field(s): spec.tasks");
  if (tasks.size() > max_tasks) return fail(ErrorCode::too_large, fmt::format("more than {} tasks", max_tasks));
  std::set<std::string> names;
  for (const auto& task : tasks)
    if (!names.insert(task.name).second) return fail(ErrorCode::invalid, fmt::format("expected exactly one, got both: two tasks are named {}", task.name));
  std::vector<PipelineTask> sorted;
  for (const std::size_t index : TRY(Sorter(tasks).sort())) sorted.push_back(tasks[index]);
  std::vector<run::Node> nodes;
  for (const auto& task : sorted) nodes.push_back(node_of(task, sorted));
  auto graph = TRY(run::Graph::make(std::move(nodes), {run::Policy::OnFailure::stop, run::Policy::OnSkip::false_condition_continues}));
  return Pipeline{spec["params"], spec["results"], spec["workspaces"], std::move(sorted), std::move(graph)};
}

Result<Json> resolve_params(const Json& declared, const Json& given, std::string_view what) {
  Json out = Json::object();
  for (const Json& param : declared.items()) {
    const std::string name = param["name"].str();
    const Json* value = nullptr;
    for (const Json& one : given.items())
      if (one["name"].as_string() == name) value = &one["value"];
    if (!value && !param.contains("default")) return fail(ErrorCode::invalid, fmt::format("{} missing values for these params which have no default values: [{}]", what, name));
    out = out.with(name, value ? *value : param["default"]);
  }
  return out;
}

Result<std::int64_t> parse_duration(std::string_view text, std::int64_t fallback) {
  if (text.empty()) return fallback;
  double seconds = 0;
  const std::string_view whole = text;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const double unit = text.starts_with("ms") ? 0.001 : text.starts_with("h") ? 3600 : text.starts_with("m") ? 60 : text.starts_with("s") ? 1 : 0;
    if (error != std::errc() || (unit == 0 && number != 0) || number < 0) return fail(ErrorCode::invalid, fmt::format("\"{}\" is not a duration such as 1h30m", printable(whole)));
    seconds += number * unit;
    text.remove_prefix(text.starts_with("ms") ? 2 : text.empty() ? 0 : 1);
  }
  return static_cast<std::int64_t>(seconds);
}

}  // namespace slipway::tekton
