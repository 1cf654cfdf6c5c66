// SPDX-License-Identifier: Apache-2.0
#include "run/plan.h"

#include <algorithm>
#include <cassert>

namespace slipway::run {
namespace {

// One pass in graph order, linear in nodes and edges. Nodes are topologically sorted, so a skip that is decided here is
// seen by everything that needs it.
class Planner {
 public:
  Planner(const Graph& graph, const Progress& progress, const Evaluator& evaluator, std::size_t limit)
      : graph_(graph), now_(progress), evaluator_(evaluator), limit_(limit) {
    assert(progress.size() == graph.nodes().size());
    running_ = std::size_t(std::ranges::count(now_, State::running, &NodeProgress::state));
    for (std::uint32_t i = 0; i < now_.size(); ++i) any_failed_ |= failed_for_good({i});
  }

  Result<Plan> make() {
    TRY(decide_phase(Phase::main));
    if (!settled(Phase::main)) return std::move(plan_);
    TRY(decide_phase(Phase::final));
    if (settled(Phase::final)) plan_.finished = any_failed_ ? Outcome::failed : Outcome::succeeded;
    return std::move(plan_);
  }

 private:
  Result<> decide_phase(Phase phase) {
    for (std::uint32_t i = 0; i < now_.size(); ++i)
      if (graph_[{i}].phase == phase) TRY(at(decide({i}), graph_[{i}].name));
    return {};
  }

  Result<> decide(NodeId id) {
    if (is_settled(id) || now_[id.index].state == State::running) return {};
    if (now_[id.index].state == State::failed) return start(id);  // an attempt is left, and it once was allowed to run
    if (stopping() && graph_[id].phase == Phase::main) return skip(id, SkipReason::stopping);

    for (const Edge& edge : graph_[id].needs) {
      if (!is_settled(edge.from)) return {};
      if (const auto reason = blocks(edge)) return skip(id, *reason);
    }
    if (const auto& condition = graph_[id].condition)
      if (!TRY(evaluator_.holds(*condition))) return skip(id, SkipReason::condition_false);
    return start(id);
  }

  std::optional<SkipReason> blocks(const Edge& edge) const {
    const NodeProgress& from = now_[edge.from.index];
    if (from.state == State::failed) return SkipReason::need_failed;
    if (from.state == State::skipped && !continues_behind(*from.skip_reason, edge.need)) return SkipReason::need_skipped;
    return std::nullopt;
  }

  bool continues_behind(SkipReason reason, Need need) const {
    return graph_.policy().on_skip == Policy::OnSkip::false_condition_continues && reason == SkipReason::condition_false &&
           need == Need::order;
  }

  Result<> start(NodeId id) {
    if (running_ >= limit_) return {};
    ++running_;
    now_[id.index].state = State::running;
    plan_.start.push_back(id);
    return {};
  }

  Result<> skip(NodeId id, SkipReason reason) {
    now_[id.index].state = State::skipped;
    now_[id.index].skip_reason = reason;
    plan_.skip.push_back({id, reason});
    return {};
  }

  bool is_settled(NodeId id) const {
    const State state = now_[id.index].state;
    return state == State::succeeded || state == State::skipped || failed_for_good(id);
  }

  bool failed_for_good(NodeId id) const {
    return now_[id.index].state == State::failed && now_[id.index].attempts > graph_[id].retries;
  }

  bool settled(Phase phase) const {
    for (std::uint32_t i = 0; i < now_.size(); ++i)
      if (graph_[{i}].phase == phase && !is_settled({i})) return false;
    return true;
  }

  bool stopping() const { return any_failed_ && graph_.policy().on_failure == Policy::OnFailure::stop; }

  const Graph& graph_;
  Progress now_;  // what is recorded, and what this plan adds to it
  const Evaluator& evaluator_;
  const std::size_t limit_;
  std::size_t running_ = 0;
  bool any_failed_ = false;  // a plan never fails a node, so this holds for the whole pass
  Plan plan_;
};

}  // namespace

Result<Plan> plan(const Graph& graph, const Progress& progress, const Evaluator& evaluator, std::size_t limit) {
  return Planner(graph, progress, evaluator, limit).make();
}

}  // namespace slipway::run
