// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_stages.h"

#include "ci/dockerfile/graph.h"
#include "run/plan.h"

namespace slipway::cluster {
namespace {

class Unconditional final : public run::Evaluator {
  Result<bool> holds(const run::Expression&) const override { return true; }
};

class Stages final {
 public:
  Stages(run::Graph graph, Executor& executor, std::size_t at_once, const StageBody& body)
      : graph_(std::move(graph)), executor_(executor), at_once_(at_once), body_(body), monitor_(executor.make_monitor()), progress_(graph_.nodes().size()) {}

  Result<> run(std::stop_token stop) {
    for (;;) {
      const auto plan = TRY(next());
      for (const run::NodeId node : plan.start) start(node.index);
      if (plan.finished) break;
      Guard guard(*monitor_);
      guard.wait_until([this] { return changed_; }, stop, std::nullopt, executor_.clock());
      if (stop.stop_requested() || !result_) break;
      changed_ = false;
    }
    for (const auto& task : tasks_) task->request_stop();
    tasks_.clear();
    if (stop.stop_requested()) return fail(ErrorCode::unavailable, "the build was stopped");
    return result_;
  }

 private:
  Result<run::Plan> next() {
    Guard guard(*monitor_);
    auto plan = TRY(run::plan(graph_, progress_, Unconditional(), at_once_));
    for (const run::NodeId node : plan.start) progress_[node.index] = {run::State::running, 1, {}};
    for (const run::Skip& skip : plan.skip) progress_[skip.node.index] = {run::State::skipped, 0, skip.reason};
    return plan;
  }

  void start(std::size_t stage) {
    tasks_.push_back(executor_.spawn("build-stage", [this, stage](std::stop_token stop) {
      Result<> done = body_(stage, stop);
      Guard guard(*monitor_);
      progress_[stage].state = done ? run::State::succeeded : run::State::failed;
      if (!done && result_) result_ = std::move(done);
      changed_ = true;
      monitor_->notify_all();
    }));
  }

  const run::Graph graph_;
  Executor& executor_;
  const std::size_t at_once_;
  const StageBody& body_;
  std::unique_ptr<Monitor> monitor_;
  run::Progress progress_;
  Result<> result_;
  bool changed_ = false;
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace

Result<> run_stages(const dockerfile::Build& build, Executor& executor, std::size_t at_once, const StageBody& body, std::stop_token stop) {
  return Stages(TRY(dockerfile::graph_of(build)), executor, at_once, body).run(stop);
}

}  // namespace slipway::cluster
