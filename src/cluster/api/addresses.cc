// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/addresses.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::api {
namespace {

constexpr unsigned first_address = 256, last_address = 65534;  // the first 255 are for those who ask by number
constexpr std::int64_t first_port = 30000, ports = 2768;

bool in_range(std::string_view address) {
  const auto parts = split(address, '.');
  if (parts.size() != 4 || parts[0] != "10" || parts[1] != "96") return false;
  for (const std::size_t i : {2U, 3U})
    if (const auto number = parse_int(parts[i]); !number || *number < 0 || *number > 255) return false;
  return address != "10.96.0.0" && address != "10.96.255.255";
}

bool wants_ports(const Json& service) {
  const auto type = service["spec"]["type"].as_string();
  return type == "NodePort" || type == "LoadBalancer";
}

std::set<std::int64_t> ports_of(const Json& service) {
  std::set<std::int64_t> out;
  for (const Json& port : service["spec"]["ports"].items())
    if (port["nodePort"].as_int() != 0) out.insert(port["nodePort"].as_int());
  return out;
}

}  // namespace

void ServiceAddresses::occupy(const Json& service) {
  std::lock_guard lock(mutex_);
  const std::string address = service["spec"]["clusterIP"].str();
  if (in_range(address)) addresses_.insert(address);
  for (const auto port : ports_of(service)) ports_.insert(port);
}

void ServiceAddresses::release(const Json& service) { give_back(service, {}); }

void ServiceAddresses::give_back(const Json& service, const Json& before) {
  std::lock_guard lock(mutex_);
  const std::string address = service["spec"]["clusterIP"].str();
  if (address != before["spec"]["clusterIP"].as_string()) addresses_.erase(address);
  const auto kept = ports_of(before);
  for (const auto port : ports_of(service))
    if (!kept.contains(port)) ports_.erase(port);
}

Answer<std::string> ServiceAddresses::take_address(const Json& service) {
  const Json& wanted = service["spec"]["clusterIP"];
  if (!wanted.as_string().empty()) {
    if (!in_range(wanted.as_string()))
      return invalid(service, {invalid_value("spec.clusterIPs", Json::array({wanted}), fmt::format("failed to allocate IP {}: the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/16", wanted.as_string()))});
    if (!addresses_.insert(wanted.str()).second)
      return invalid(service, {invalid_value("spec.clusterIPs", Json::array({wanted}), fmt::format("failed to allocate IP {}: provided IP is already allocated", wanted.as_string()))});
    return wanted.str();
  }
  for (unsigned tried = first_address; tried <= last_address; ++tried) {
    const unsigned at = next_address_;
    next_address_ = next_address_ >= last_address ? first_address : next_address_ + 1;
    std::string address = fmt::format("10.96.{}.{}", at / 256, at % 256);
    if (addresses_.insert(address).second) return address;
  }
  return std::unexpected(Failure(500, "InternalError", "failed to allocate a serviceIP: range is full"));
}

Answer<std::int64_t> ServiceAddresses::take_port(const Json& service, std::int64_t wanted) {
  if (wanted != 0) {
    if (wanted < first_port || wanted >= first_port + ports)
      return invalid(service, {invalid_value("spec.ports[0].nodePort", wanted, "provided port is not in the valid range. The range of valid ports is 30000-32767")});
    if (!ports_.insert(wanted).second)
      return invalid(service, {invalid_value("spec.ports[0].nodePort", wanted, "provided port is already allocated")});
    return wanted;
  }
  for (std::int64_t tried = 0; tried < ports; ++tried) {
    const std::int64_t port = first_port + (next_port_++ % ports);
    if (ports_.insert(port).second) return port;
  }
  return std::unexpected(Failure(500, "InternalError", "failed to allocate a nodePort: range is full"));
}

Answer<Json> ServiceAddresses::allocate(Json service, const Json& before) {
  std::lock_guard lock(mutex_);
  const std::string type = service["spec"]["type"].str();
  const std::string had = before["spec"]["clusterIP"].str();
  if (type == "ExternalName") return service;
  if (service["spec"]["clusterIP"].as_string().empty() && !had.empty()) service = service.with_path({"spec", "clusterIP"}, had);
  if (service["spec"]["clusterIP"].as_string() != "None" && (had.empty() || had != service["spec"]["clusterIP"].as_string()) && had.empty())
    service = service.with_path({"spec", "clusterIP"}, TRY(take_address(service)));
  service = service.with_path({"spec", "clusterIPs"}, Json::array({service["spec"]["clusterIP"]}));
  Json list = service["spec"]["ports"];
  const auto kept = ports_of(before);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!wants_ports(service)) {
      list = list.with_item(i, list[i].without("nodePort"));
      continue;
    }
    std::int64_t wanted = list[i]["nodePort"].as_int();
    for (const Json& old : before["spec"]["ports"].items())
      if (wanted == 0 && old["port"] == list[i]["port"] && old["protocol"] == list[i]["protocol"]) wanted = old["nodePort"].as_int();
    const std::int64_t port = wanted != 0 && kept.contains(wanted) ? wanted : TRY(take_port(service, wanted));
    list = list.with_item(i, list[i].with("nodePort", port));
  }
  return list.is_array() ? service.with_path({"spec", "ports"}, list) : service;
}

}  // namespace slipway::api
