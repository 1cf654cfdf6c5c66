// SPDX-License-Identifier: Apache-2.0
// What a Deployment's controller does next: pure, from the Deployment, its ReplicaSets and Pods and the time.
//
// Rules: Kubernetes' deployment controller (pkg/controller/deployment: sync.go, rolling.go, recreate.go, progress.go):
// never fewer than replicas - maxUnavailable available pods by our doing, never more than replicas + maxSurge pods.
#pragma once

#include "cluster/controllers/workloads.h"

namespace slipway::cluster {

struct Scale {
  std::string replica_set;
  std::int64_t replicas = 0;
  bool operator==(const Scale&) const = default;
};

struct DeploymentPlan {
  Json create;                      // a new ReplicaSet, or null
  std::vector<Scale> scale;         // each ReplicaSet at most once; with the annotations below, also where only they change
  std::int64_t desired = 0, most = 0;  // the annotations desired-replicas and max-replicas of each that is scaled
  std::vector<std::string> remove;  // ReplicaSets beyond the history limit
  std::optional<std::int64_t> revision;      // the Deployment's annotation, where it must change
  std::optional<std::int64_t> set_revision;  // the new ReplicaSet's annotation, where it must change
  std::string new_set;              // name of the ReplicaSet of the present template, also when it is being created
  Json status;                      // the whole status, to be written where it differs
  std::optional<std::chrono::nanoseconds> look_again;  // when the progress deadline is due
};

DeploymentPlan plan_deployment(const DeploymentView& deployment, const std::vector<ReplicaSetView>& sets,
                               const std::vector<PodView>& pods, Wall now);

}  // namespace slipway::cluster
