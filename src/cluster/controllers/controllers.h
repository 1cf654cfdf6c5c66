// SPDX-License-Identifier: Apache-2.0
// The controllers of the one-machine control plane: what kube-controller-manager and kube-scheduler do on a cluster.
// They speak through kube::Client alone, so that they also run against a real kube-apiserver.
#pragma once

#include "kube/control.h"

namespace slipway::cluster {

struct ControllerOptions {
  std::string ca_pem;  // published as ConfigMap kube-root-ca.crt in each namespace; empty: not published
};

// Registers every controller with the manager; call before Manager::start().
void register_controllers(kube::Manager& manager, const ControllerOptions& options);

// One each, for tests and for a plane that has some of them already.
void register_deployments(kube::Manager& manager);
void register_replica_sets(kube::Manager& manager);
void register_endpoint_slices(kube::Manager& manager);
void register_namespaces(kube::Manager& manager);
void register_service_accounts(kube::Manager& manager, std::string ca_pem);
void register_scheduler(kube::Manager& manager);
void register_garbage_collector(kube::Manager& manager);

}  // namespace slipway::cluster
