// SPDX-License-Identifier: Apache-2.0
// Keeps the packet rules and the cluster's DNS as the Services and EndpointSlices of the plane say.
//
// Changes that come together are applied together: at most one `nft` at a time, the next with all that came meanwhile.
#pragma once

#include <memory>
#include <mutex>

#include "cluster/network/bridge.h"
#include "cluster/network/dns_zone.h"
#include "cluster/network/ruleset.h"
#include "kube/control.h"

namespace slipway::cluster {

struct ProxyConfig {
  RulesetConfig rules;
  std::string cluster_domain = "cluster.local";
};

class ServiceProxy final {
 public:
  // `bridge` may be null: then nobody is told which addresses take traffic.
  ServiceProxy(ProxyConfig config, kube::Client& client, Executor& executor, BridgeNetwork* bridge, Metrics* metrics);
  ~ServiceProxy();
  void start();
  std::shared_ptr<const Zone> zone() const;  // the newest; any thread

 private:
  Result<kube::Next> apply();
  ProxyConfig config_;
  BridgeNetwork* bridge_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Zone> zone_;
  kube::Informer services_, slices_;
  std::unique_ptr<kube::Controller> controller_;
};

Result<> apply_ruleset(const std::string& program);    // by nft -f -
Result<> remove_packet_rules(const std::string& table);

}  // namespace slipway::cluster
