// SPDX-License-Identifier: Apache-2.0
// The planner: from a graph and how far it got, what to do next.
//
// Pure: no clock, no I/O, no state between calls. The engine carries a Plan out, records what happens in Progress, and
// asks again; after a restart it asks with the recorded Progress and gets the same answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "run/graph.h"

namespace slipway::run {

enum class State { pending, running, succeeded, failed, skipped };
enum class SkipReason { condition_false, need_failed, need_skipped, stopping };
enum class Outcome { succeeded, failed };

struct NodeProgress {
  State state = State::pending;
  std::uint32_t attempts = 0;             // started so far
  std::optional<SkipReason> skip_reason;  // of a skipped node; what follows it depends on the reason
};

using Progress = std::vector<NodeProgress>;  // one for each node of the graph, in its order

// Answers a condition from the results of settled nodes. Implemented once per dialect, outside this folder.
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual Result<bool> holds(const Expression& condition) const = 0;
};

struct Skip {
  NodeId node;
  SkipReason reason;
  auto operator<=>(const Skip&) const = default;
};

struct Plan {
  std::vector<NodeId> start;        // in graph order; a node whose attempt failed and may be retried is here again
  std::vector<Skip> skip;           // to be recorded as skipped
  std::optional<Outcome> finished;  // set once every node is settled, counting `skip`

  bool operator==(const Plan&) const = default;
};

// Plans the next step of a run of which at most `limit` nodes may run at once. An error is a condition that cannot be
// evaluated; its place is the node's name.
Result<Plan> plan(const Graph& graph, const Progress& progress, const Evaluator& evaluator, std::size_t limit);

}  // namespace slipway::run
