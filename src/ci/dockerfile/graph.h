// SPDX-License-Identifier: Apache-2.0
// A planned build as a run graph: the stages as nodes that need each other. Pure.
#pragma once

#include "ci/dockerfile/plan.h"
#include "run/graph.h"

namespace slipway::dockerfile {

Result<run::Graph> graph_of(const Build& build);

}  // namespace slipway::dockerfile
