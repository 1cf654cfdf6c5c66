// SPDX-License-Identifier: Apache-2.0
// From Service and EndpointSlice objects to what the packet rules need: each port with the endpoints that take new
// connections. Pure.
//
// Only ready endpoints take part; where a port has none, those that still serve while they terminate do (KEP-1669).
// The cluster has one node, so traffic policies make no difference here.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sandbox/netlink.h"
#include "text/json.h"

namespace slipway::cluster {

using sandbox::Ipv4;
using sandbox::Ipv4Range;
using text::Json;

struct Endpoint {
  Ipv4 address;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

enum class Affinity { none, client_address };

struct ServicePort {
  std::string service;    // "namespace/name"
  std::string port_name;  // may be empty
  std::optional<Ipv4> cluster_address;  // none for a headless Service
  std::string protocol;   // "tcp", "udp", "sctp"
  std::uint16_t port = 0;
  std::uint16_t node_port = 0;  // 0: none
  Affinity affinity = Affinity::none;
  std::vector<Endpoint> endpoints;  // sorted, without repetition
  bool operator==(const ServicePort&) const = default;
};

struct ServiceTable {
  std::vector<ServicePort> ports;   // sorted by service and port
  std::set<Ipv4> ready_addresses;   // endpoints that a port uses because they are ready
};

ServiceTable make_service_table(const std::vector<Json>& services, const std::vector<Json>& slices);

// kubernetes.io/service-name of a slice as "namespace/name"; empty where there is none.
std::string service_of_slice(const Json& slice);

}  // namespace slipway::cluster
