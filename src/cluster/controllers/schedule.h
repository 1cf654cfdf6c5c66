// SPDX-License-Identifier: Apache-2.0
// Where a pod goes: pure. The one-machine plane has one node, so this is a filter rather than a ranking: ready,
// schedulable, tolerated, wanted by nodeSelector, and with room for the pod's requests.
#pragma once

#include "cluster/controllers/workloads.h"

namespace slipway::cluster {

struct Placement {
  std::string node;     // empty: none fits
  std::string message;  // then why, in the scheduler's words: "0/1 nodes are available: 1 Insufficient cpu."
};

Placement place(const Json& pod, const std::vector<Json>& nodes, const std::vector<Json>& pods);

}  // namespace slipway::cluster
