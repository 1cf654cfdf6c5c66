// SPDX-License-Identifier: Apache-2.0
// The node agent: what a kubelet is to the API. It speaks to the plane through kube::Client alone.
//
// All that must survive it is on disk below `data` and in the pods' monitors; after a kill it finds them again and
// goes on. Stopping it leaves the pods running.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/executor.h"
#include "cluster/node/images.h"
#include "cluster/node/volumes.h"
#include "kube/client.h"
#include "sandbox/cri_log.h"
#include "sandbox/pod_network.h"

namespace slipway::cluster {

struct NodeConfig {
  std::string name;
  std::string data;               // folder
  std::string host_ip;
  std::string cgroup_root = "/slipway";
  std::vector<std::string> monitor_program{"/proc/self/exe", "monitor"};
  HostAccess host_access = HostAccess::refused;
  std::int64_t max_pods = 110;
  int kubelet_port = 10250;       // told in daemonEndpoints; who serves it is not this folder's
  std::string version = "v1.36.3";
  std::string cluster_ca_pem;     // put into pods as ca.crt where the plane has no kube-root-ca.crt
  std::string api_host, api_port; // KUBERNETES_SERVICE_HOST and _PORT in pods; empty: not set
  std::vector<std::string> host_nameservers;  // for pods with dnsPolicy Default
  std::string pod_cidr;
  sandbox::LogLimits logs;
  std::chrono::milliseconds endpoint_leave_limit{2'000};  // SIGTERM waits so long for Services to let go
};

constexpr std::chrono::seconds lease_period{10};
constexpr std::chrono::seconds lease_duration{40};
constexpr std::chrono::seconds node_status_period{60};
constexpr std::chrono::seconds volume_refresh_period{60};
constexpr int pod_workers = 8;
constexpr int probe_workers = 8;

struct PodLogOptions {
  sandbox::LogOptions read;
  bool previous = false;
};

class NodeAgent {
 public:
  virtual ~NodeAgent() = default;
  // Any thread. `container` may be empty where the pod has one.
  virtual Result<> read_logs(const kube::ObjectKey& pod, const std::string& container, const PodLogOptions& options,
                             const sandbox::LogSink& sink, std::stop_token stop) = 0;

  static Result<std::unique_ptr<NodeAgent>> start(NodeConfig config, kube::Client& client, Executor& executor, ImageProvider& images,
                                                  sandbox::PodNetworkDriver& network, Metrics* metrics);
};

// Ends every pod of the data folder and removes what they left on this machine: processes, control groups, namespaces,
// mounts, folders. The agent must not run.
Result<> purge_pods(const NodeConfig& config, sandbox::PodNetworkDriver* network);

}  // namespace slipway::cluster
