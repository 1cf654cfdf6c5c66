// SPDX-License-Identifier: Apache-2.0
// node: the agent, the pods' network and the cluster's DNS, in one process that is root. Killing it disturbs no pod.
#pragma once

#include <functional>

#include "main/data_folder.h"

namespace slipway::app {

struct NodeOptions {
  DataFolder data;
  std::string name = "local";
  std::string kubeconfig;
  bool foreign = false;  // the plane is not the embedded one: its API server calls as it calls a kubelet
  std::string registry = "127.0.0.1:5000";  // this machine's own
};

Result<> run_node(const NodeOptions& options, const std::function<void()>& wait_for_stop);

// Ends every pod and takes back what the node made on this machine: mounts, namespaces, links, packet rules.
Result<> purge_node(const DataFolder& data);

}  // namespace slipway::app
