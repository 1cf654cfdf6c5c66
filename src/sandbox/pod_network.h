// SPDX-License-Identifier: Apache-2.0
// What the node agent needs of the pods' network; cluster/network implements it, tests have a fake.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/netlink.h"

namespace slipway::sandbox {

struct PodDns {
  std::vector<std::string> nameservers;
  std::vector<std::string> searches;
  std::vector<std::string> options;  // "ndots:5"
};

class PodNetworkDriver {
 public:
  virtual ~PodNetworkDriver() = default;
  // The pod's address, kept until release(): the same answer for the same uid, also after a restart.
  virtual Result<Ipv4> reserve(const std::string& pod_uid) = 0;
  virtual Result<> release(const std::string& pod_uid) = 0;
  virtual std::vector<std::string> reserved() const = 0;  // uids
  // Called on a thread inside the pod's new network namespace: makes its eth0 with the reserved address.
  virtual Result<> attach(const std::string& pod_uid, Ipv4 address) = 0;
  virtual PodDns cluster_dns(const std::string& pod_namespace) const = 0;
  // Whether new connections to a Service may still reach this address as a ready endpoint.
  virtual bool receives_traffic(Ipv4 address) const = 0;
};

}  // namespace slipway::sandbox
