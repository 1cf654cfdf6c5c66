// SPDX-License-Identifier: Apache-2.0
// The pods' network on this node: a bridge that is every pod's gateway, a veth pair a pod, addresses from a book.
//
// A pod's address has prefix 32 and its only way is the gateway, so that traffic between two pods is routed through
// the packet rules like any other, whatever bridge netfilter is set to.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>

#include "cluster/network/ipam.h"
#include "sandbox/pod_network.h"

namespace slipway::cluster {

struct BridgeConfig {
  std::string bridge = "slip0";
  Ipv4Range pods;              // 10.244.0.0/24; the first address is the bridge's
  Ipv4Range services;          // 10.96.0.0/16
  Ipv4 dns_service;            // 10.96.0.10
  std::string cluster_domain = "cluster.local";
  std::string address_file;    // the book
  std::string veth_prefix = "slv";
  std::uint32_t mtu = 0;       // 0: the kernel's default
};

class BridgeNetwork final : public sandbox::PodNetworkDriver {
 public:
  // Makes the bridge with its address and turns forwarding on; fine where it is all there.
  static Result<std::unique_ptr<BridgeNetwork>> open(const BridgeConfig& config);

  Result<Ipv4> reserve(const std::string& pod_uid) override;
  Result<> release(const std::string& pod_uid) override;
  std::vector<std::string> reserved() const override;
  Result<> attach(const std::string& pod_uid, Ipv4 address) override;
  sandbox::PodDns cluster_dns(const std::string& pod_namespace) const override;
  bool receives_traffic(Ipv4 address) const override;

  Ipv4 gateway() const { return config_.pods.at(1); }
  void set_ready_addresses(std::set<Ipv4> addresses);  // after each change of the packet rules
  Result<> remove_all();                               // every link of ours, the bridge last

 private:
  BridgeNetwork(BridgeConfig config, std::unique_ptr<AddressBook> book, UniqueFd host_network)
      : config_(std::move(config)), book_(std::move(book)), host_network_(std::move(host_network)) {}
  BridgeConfig config_;
  std::unique_ptr<AddressBook> book_;
  UniqueFd host_network_;
  mutable std::mutex mutex_;
  std::set<Ipv4> ready_;
};

// The host's end of a pod's pair: at most 15 characters, the same for the same uid. Pure.
std::string veth_name(std::string_view prefix, std::string_view pod_uid);

}  // namespace slipway::cluster
