// SPDX-License-Identifier: Apache-2.0
// The run graph: what any pipeline format compiles to.
//
// A graph is a value: immutable after make(), serialisable, without closures, so that a run survives a restart. Formats
// differ in what a failure or a skip means to the nodes behind it; the difference is a Policy here, stated by the
// front-end, and no engine ever asks which format a graph came from.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace slipway::run {

struct NodeId {
  std::uint32_t index = 0;  // position in Graph::nodes()
  auto operator<=>(const NodeId&) const = default;
};

// What a node waits for. Data: it reads a result of the other, and cannot run without it. Order: it only comes after.
enum class Need { order, data };

struct Edge {
  NodeId from;
  Need need = Need::order;
};

// A condition in the words of its format, parsed when the graph is made, evaluated when all that it reads is settled.
// (The real one also carries the parsed tree; it is left out here.)
struct Expression {
  std::string dialect;  // "tekton", "actions", "jenkins", "cel"
  std::string source;
  std::string span;  // where it stands: "pipeline.yaml:12:9"
  auto operator<=>(const Expression&) const = default;
};

enum class Phase { main, final };  // final nodes start when every main node is settled, whatever became of it

struct Node {
  std::string name;
  std::vector<Edge> needs;
  std::optional<Expression> condition;
  Phase phase = Phase::main;
  std::uint32_t retries = 0;  // further attempts after the first
};

struct Policy {
  enum class OnFailure {
    stop,      // start nothing new in the main phase (Tekton)
    carry_on,  // only what needs the failed node is skipped (GitHub Actions)
  };
  enum class OnSkip {
    false_condition_continues,  // a node skipped by its own condition satisfies order, not data; other skips spread (Tekton)
    all_skip,                   // whatever needs a skipped node is skipped (GitHub Actions)
  };
  OnFailure on_failure = OnFailure::stop;
  OnSkip on_skip = OnSkip::false_condition_continues;
};

class Graph {
 public:
  // Refuses a need that points at a later node or at itself: nodes come in topological order, so a graph has no cycle
  // by construction. Front-ends sort, and report a cycle in their own terms with file and line.
  static Result<Graph> make(std::vector<Node> nodes, Policy policy);

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& operator[](NodeId id) const { return nodes_[id.index]; }
  const Policy& policy() const { return policy_; }

 private:
  Graph(std::vector<Node> nodes, Policy policy) : nodes_(std::move(nodes)), policy_(policy) {}

  std::vector<Node> nodes_;
  Policy policy_;
};

}  // namespace slipway::run
