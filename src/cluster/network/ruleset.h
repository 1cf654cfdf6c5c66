// SPDX-License-Identifier: Apache-2.0
// The packet rules of the node as one nft program: Services by destination translation, pods' way out by masquerade.
//
// Pure. The program replaces the whole table in one transaction, so that no packet sees half of it; connections that
// exist keep their translation. Source of the syntax: nft(8).
#pragma once

#include <string>
#include <string_view>

#include "cluster/network/services.h"

namespace slipway::cluster {

struct RulesetConfig {
  std::string table = "slipway";
  Ipv4Range pods, services;
  std::string bridge = "slip0";
  Ipv4 dns_service;          // what pods ask …
  Endpoint dns_server;       // … and who answers; port 0: no DNS rule
};

constexpr std::size_t max_service_ports = 20'000;
constexpr std::size_t max_endpoints_a_port = 1'000;  // further ones get no connections

// Refused: a table or bridge name that is not a plain word, more than max_service_ports.
Result<std::string> make_ruleset(const RulesetConfig& config, const ServiceTable& services);
std::string remove_ruleset(const std::string& table);  // fine where the table is not there

}  // namespace slipway::cluster
