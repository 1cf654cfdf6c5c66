// SPDX-License-Identifier: Apache-2.0
#include "run/plan.h"

#include <doctest/doctest.h>

namespace slipway::run {
namespace {

constexpr Policy tekton{Policy::OnFailure::stop, Policy::OnSkip::false_condition_continues};
constexpr Policy actions{Policy::OnFailure::carry_on, Policy::OnSkip::all_skip};
constexpr std::size_t no_limit = 100;

struct Always final : Evaluator {
  explicit Always(bool answer) : answer(answer) {}
  Result<bool> holds(const Expression&) const override { return answer; }
  bool answer;
};

// Reads as the history of a run: Run(graph).succeeded("build").failed("test").next()
class Run {
 public:
  Run(std::vector<Node> nodes, Policy policy) : graph_(Graph::make(std::move(nodes), policy).value()), progress_(graph_.nodes().size()) {}

  Run& running(std::string_view name) { return set(name, State::running); }
  Run& succeeded(std::string_view name) { return set(name, State::succeeded); }
  Run& failed(std::string_view name) { return set(name, State::failed); }
  Run& conditions(bool answer) { evaluator_.answer = answer; return *this; }

  Plan next(std::size_t limit = no_limit) const { return plan(graph_, progress_, evaluator_, limit).value(); }

 private:
  Run& set(std::string_view name, State state) {
    for (std::size_t i = 0; i < progress_.size(); ++i)
      if (graph_.nodes()[i].name == name) progress_[i] = {state, progress_[i].attempts + (state != State::running), std::nullopt};
    return *this;
  }

  Graph graph_;
  Progress progress_;
  Always evaluator_{true};
};

Node node(std::string name, std::vector<Edge> needs = {}) { return {.name = std::move(name), .needs = std::move(needs)}; }
Edge after(std::uint32_t index) { return {{index}, Need::order}; }
Edge reads(std::uint32_t index) { return {{index}, Need::data}; }

const std::vector<Node> chain{node("build"), node("test", {after(0)}), node("deploy", {after(1)})};

TEST_CASE("what needs nothing starts at once, and nothing else") {
  CHECK(Run({node("unit"), node("lint"), node("image", {after(0), after(1)})}, tekton).next() == Plan{.start = {{0}, {1}}});
}

TEST_CASE("a node starts when all that it needs has succeeded") {
  CHECK(Run(chain, tekton).succeeded("build").next() == Plan{.start = {{1}}});
}

TEST_CASE("no more nodes start than the limit allows, counting those that run") {
  CHECK(Run({node("a"), node("b"), node("c")}, tekton).running("a").next(2).start == std::vector<NodeId>{{1}});
}

TEST_CASE("a failed node with an attempt left starts again; without one it stays failed") {
  Node flaky = node("flaky");
  flaky.retries = 1;
  Run run({flaky}, tekton);
  CHECK(run.failed("flaky").next() == Plan{.start = {{0}}});
  CHECK(run.failed("flaky").next() == Plan{.finished = Outcome::failed});
}

TEST_CASE("after a failure Tekton starts nothing new; Actions skips only what needed the failed job") {
  const std::vector<Node> nodes{node("test"), node("slow"), node("report", {after(1)}), node("deploy", {after(0)})};
  CHECK(Run(nodes, tekton).failed("test").succeeded("slow").next() ==
        Plan{.skip = {{{2}, SkipReason::stopping}, {{3}, SkipReason::stopping}}, .finished = Outcome::failed});
  CHECK(Run(nodes, actions).failed("test").succeeded("slow").next() ==
        Plan{.start = {{2}}, .skip = {{{3}, SkipReason::need_failed}}});
}

TEST_CASE("behind a false condition Tekton keeps the order and skips readers of its results; Actions skips both") {
  Node guarded = node("guarded");
  guarded.condition = Expression{"tekton", "input in values", "pipeline.yaml:7:5"};
  const std::vector<Node> nodes{guarded, node("next", {after(0)}), node("reader", {reads(0)})};
  CHECK(Run(nodes, tekton).conditions(false).next() ==
        Plan{.start = {{1}}, .skip = {{{0}, SkipReason::condition_false}, {{2}, SkipReason::need_skipped}}});
  CHECK(Run(nodes, actions).conditions(false).next() ==
        Plan{.skip = {{{0}, SkipReason::condition_false}, {{1}, SkipReason::need_skipped}, {{2}, SkipReason::need_skipped}},
             .finished = Outcome::succeeded});
}

TEST_CASE("any other skip spreads, in Tekton too: only a false condition lets the order go on") {
  Node guarded = node("guarded");
  guarded.condition = Expression{"tekton", "input in values", "pipeline.yaml:7:5"};
  CHECK(Run({guarded, node("reader", {reads(0)}), node("last", {after(1)})}, tekton).conditions(false).next().skip ==
        std::vector<Skip>{{{0}, SkipReason::condition_false}, {{1}, SkipReason::need_skipped}, {{2}, SkipReason::need_skipped}});
}

TEST_CASE("final nodes start when the main phase is settled, also after a failure, and the run still fails") {
  Node notify = node("notify");
  notify.phase = Phase::final;
  Run run({node("test"), notify}, tekton);
  CHECK(run.running("test").next() == Plan{});
  CHECK(run.failed("test").next() == Plan{.start = {{1}}});
  CHECK(run.succeeded("notify").next() == Plan{.finished = Outcome::failed});
}

TEST_CASE("a need that points forward is refused, by the name of the node that has it") {
  auto graph = Graph::make({node("test", {after(1)}), node("build")}, tekton);
  REQUIRE(!graph);
  CHECK(graph.error().to_string() == "needs a node that does not come before it (test)");
}

}  // namespace
}  // namespace slipway::run
