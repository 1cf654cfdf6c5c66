// SPDX-License-Identifier: Apache-2.0
// The records of the cluster's domain from Service and EndpointSlice objects. Pure; a Zone is immutable once made.
// Source: Kubernetes DNS-based service discovery, version 1.1.0.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/network/dns_message.h"
#include "cluster/network/services.h"

namespace slipway::cluster {

class Zone final {
 public:
  Zone(std::string domain, Ipv4Range services, Ipv4Range pods, const std::vector<Json>& service_objects, const std::vector<Json>& slices);

  // Nothing: the name is not ours, ask the host's resolvers.
  std::optional<DnsAnswer> answer(const DnsQuery& query) const;

 private:
  void add_service(const Json& service, const std::vector<const Json*>& slices);
  void add_headless(const std::string& name, const Json& service, const std::vector<const Json*>& slices);
  void add(DnsRecord record);
  void note(const std::string& name);  // it exists, and so does everything above it
  std::optional<DnsAnswer> reverse(const DnsQuery& query) const;

  std::string domain_;
  Ipv4Range services_, pods_;
  std::map<std::string, std::vector<DnsRecord>> records_;  // by name; an empty list: the name exists
  std::map<std::string, std::string> names_;               // reverse: "10.0.96.10.in-addr.arpa" -> target
};

constexpr std::size_t max_answers = 200;  // of one name

}  // namespace slipway::cluster
