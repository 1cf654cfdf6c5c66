// SPDX-License-Identifier: Apache-2.0
#include "run/graph.h"

namespace slipway::run {

Result<Graph> Graph::make(std::vector<Node> nodes, Policy policy) {
  for (std::uint32_t i = 0; i < nodes.size(); ++i)
    for (const Edge& edge : nodes[i].needs)
      if (edge.from.index >= i) return at(Result<Graph>(fail(ErrorCode::invalid, "needs a node that does not come before it")), nodes[i].name);
  return Graph(std::move(nodes), policy);
}

}  // namespace slipway::run
