// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/graph.h"

namespace slipway::dockerfile {

Result<run::Graph> graph_of(const Build& build) {
  std::vector<run::Node> nodes;
  for (const Stage& stage : build.stages) {
    run::Node node{.name = stage.name};
    for (const std::size_t need : stage.needs) node.needs.push_back({{static_cast<std::uint32_t>(need)}, run::Need::data});
    nodes.push_back(std::move(node));
  }
  return run::Graph::make(std::move(nodes), {});
}

}  // namespace slipway::dockerfile
