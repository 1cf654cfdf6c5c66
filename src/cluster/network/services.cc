// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/services.h"

#include <algorithm>
#include <map>

#include "base/strings.h"

namespace slipway::cluster {
namespace {

std::uint16_t port_of(const Json& value) {
  const std::int64_t port = value.as_int();
  return port >= 1 && port <= 65'535 ? static_cast<std::uint16_t>(port) : std::uint16_t{0};
}

std::string protocol_of(const Json& value) { return to_lower(value.as_string("TCP")); }

bool is_ready(const Json& endpoint) { return endpoint["conditions"]["ready"].as_bool(true); }

bool serves_while_terminating(const Json& endpoint) {
  return endpoint["conditions"]["serving"].as_bool(false) && endpoint["conditions"]["terminating"].as_bool(false);
}

// The endpoints of one port over all slices of its Service.
std::vector<Endpoint> endpoints_of(const std::vector<const Json*>& slices, const std::string& port_name,
                                   const std::string& protocol, bool (*wanted)(const Json&)) {
  std::vector<Endpoint> found;
  for (const Json* slice : slices) {
    if ((*slice)["addressType"].as_string("IPv4") != "IPv4") continue;
    for (const Json& port : (*slice)["ports"].items()) {
      if (port["name"].as_string() != port_name || protocol_of(port["protocol"]) != protocol || port_of(port["port"]) == 0) continue;
      for (const Json& endpoint : (*slice)["endpoints"].items()) {
        const auto address = Ipv4::parse(endpoint["addresses"][std::size_t{0}].as_string());
        if (address && wanted(endpoint)) found.push_back({*address, port_of(port["port"])});
      }
    }
  }
  std::ranges::sort(found);
  const auto repeated = std::ranges::unique(found);
  found.erase(repeated.begin(), repeated.end());
  return found;
}

using SlicesByService = std::map<std::string, std::vector<const Json*>>;

void add_service(const Json& service, const SlicesByService& slices, ServiceTable& table) {
  static const std::vector<const Json*> none;
  const Json& spec = service["spec"];
  if (spec["type"].as_string() == "ExternalName") return;
  const std::string key = service["metadata"]["namespace"].str() + "/" + service["metadata"]["name"].str();
  const auto own = slices.find(key);
  const auto address = Ipv4::parse(spec["clusterIP"].as_string());
  for (const Json& item : spec["ports"].items()) {
    ServicePort port{.service = key, .port_name = item["name"].str(), .protocol = protocol_of(item["protocol"])};
    if (address) port.cluster_address = *address;
    port.port = port_of(item["port"]);
    port.node_port = port_of(item["nodePort"]);
    if (spec["sessionAffinity"].as_string() == "ClientIP") port.affinity = Affinity::client_address;
    const auto& mine = own == slices.end() ? none : own->second;
    port.endpoints = endpoints_of(mine, port.port_name, port.protocol, is_ready);
    for (const Endpoint& endpoint : port.endpoints) table.ready_addresses.insert(endpoint.address);
    if (port.endpoints.empty()) port.endpoints = endpoints_of(mine, port.port_name, port.protocol, serves_while_terminating);
    if (port.port != 0) table.ports.push_back(std::move(port));
  }
}

}  // namespace

std::string service_of_slice(const Json& slice) {
  const std::string_view name = slice["metadata"]["labels"]["kubernetes.io/service-name"].as_string();
  return name.empty() ? std::string() : slice["metadata"]["namespace"].str() + "/" + std::string(name);
}

ServiceTable make_service_table(const std::vector<Json>& services, const std::vector<Json>& slices) {
  SlicesByService by_service;
  for (const Json& slice : slices)
    if (std::string key = service_of_slice(slice); !key.empty()) by_service[key].push_back(&slice);
  ServiceTable table;
  for (const Json& service : services) add_service(service, by_service, table);
  std::ranges::stable_sort(table.ports, {}, [](const ServicePort& p) { return std::tuple(p.service, p.port, p.protocol); });
  return table;
}

}  // namespace slipway::cluster
