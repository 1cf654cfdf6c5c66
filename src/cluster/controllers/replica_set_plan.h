// SPDX-License-Identifier: Apache-2.0
// What a ReplicaSet's controller does next: pure. Rules: pkg/controller/replicaset and controller_utils.go
// (ActivePodsWithRanks: which pod goes first).
#pragma once

#include "cluster/controllers/workloads.h"

namespace slipway::cluster {

struct ReplicaSetPlan {
  std::int64_t create = 0;             // so many pods, at most 50 in one go
  std::vector<std::string> remove;     // names, in the order in which they go
  std::vector<std::string> adopt;      // names of pods that match and have no controller
  std::vector<std::string> let_go;     // names of own pods that no longer match
  Json status;
  std::optional<std::chrono::nanoseconds> look_again;  // when minReadySeconds of a pod are over
};

// `own`: controlled by the set. `orphans`: of its namespace, without controller.
ReplicaSetPlan plan_replica_set(const ReplicaSetView& set, const std::vector<PodView>& own, const std::vector<PodView>& orphans, Wall now);

// The pod of a template: labels, annotations, finalizers and spec of it, owned by the set.
Json pod_from_template(const Json& replica_set);

}  // namespace slipway::cluster
