// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/dns_zone.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::cluster {
namespace {

constexpr std::string_view reverse_zone = "in-addr.arpa";

bool is_below(std::string_view name, std::string_view zone) {
  return name == zone || (name.size() > zone.size() && name.ends_with(zone) && name[name.size() - zone.size() - 1] == '.');
}

std::string reverse_name(Ipv4 address) {
  const std::uint32_t v = address.value;
  return fmt::format("{}.{}.{}.{}.{}", v & 255, (v >> 8) & 255, (v >> 16) & 255, v >> 24, reverse_zone);
}

// An endpoint of a headless Service has a name: its host name, else its address with dashes.
std::string endpoint_label(const Json& endpoint, Ipv4 address) {
  const std::string_view hostname = endpoint["hostname"].as_string();
  return hostname.empty() ? replace_all(address.to_string(), ".", "-") : to_lower(hostname);
}

}  // namespace

Zone::Zone(std::string domain, Ipv4Range services, Ipv4Range pods, const std::vector<Json>& service_objects, const std::vector<Json>& slices)
    : domain_(std::move(domain)), services_(services), pods_(pods) {
  std::map<std::string, std::vector<const Json*>> by_service;
  for (const Json& slice : slices)
    if (std::string key = service_of_slice(slice); !key.empty()) by_service[key].push_back(&slice);
  for (const Json& service : service_objects)
    add_service(service, by_service[service["metadata"]["namespace"].str() + "/" + service["metadata"]["name"].str()]);
  note("svc." + domain_);
  records_["dns-version." + domain_];
}

void Zone::note(const std::string& name) {
  for (std::string at = name; is_below(at, domain_); at.erase(0, at.find('.') + 1)) {
    records_[at];
    if (at == domain_) return;
  }
}

void Zone::add(DnsRecord record) {
  note(record.name);
  auto& list = records_[record.name];
  if (list.size() < max_answers && std::ranges::find(list, record) == list.end()) list.push_back(std::move(record));
}

void Zone::add_service(const Json& service, const std::vector<const Json*>& slices) {
  const Json& spec = service["spec"];
  const std::string name = fmt::format("{}.{}.svc.{}", service["metadata"]["name"].as_string(), service["metadata"]["namespace"].as_string(), domain_);
  note(name);
  if (spec["type"].as_string() == "ExternalName")
    return add({.name = name, .type = DnsType::cname, .target = to_lower(spec["externalName"].as_string())});
  const auto address = Ipv4::parse(spec["clusterIP"].as_string());
  if (!address) return add_headless(name, service, slices);
  add({.name = name, .address = *address});
  names_[reverse_name(*address)] = name;
  for (const Json& port : spec["ports"].items())
    if (const std::string_view port_name = port["name"].as_string(); !port_name.empty())
      add({.name = fmt::format("_{}._{}.{}", port_name, to_lower(port["protocol"].as_string("TCP")), name),
           .type = DnsType::srv,
           .target = name,
           .weight = 100,
           .port = static_cast<std::uint16_t>(port["port"].as_int())});
}

void Zone::add_headless(const std::string& name, const Json& service, const std::vector<const Json*>& slices) {
  const bool unready_too = service["spec"]["publishNotReadyAddresses"].as_bool();
  for (const Json* slice : slices) {
    for (const Json& endpoint : (*slice)["endpoints"].items()) {
      const auto address = Ipv4::parse(endpoint["addresses"][std::size_t{0}].as_string());
      if (!address || !(unready_too || endpoint["conditions"]["ready"].as_bool(true))) continue;
      const std::string own = endpoint_label(endpoint, *address) + "." + name;
      add({.name = name, .address = *address});
      add({.name = own, .address = *address});
      names_[reverse_name(*address)] = own;
      for (const Json& port : (*slice)["ports"].items())
        if (const std::string_view port_name = port["name"].as_string(); !port_name.empty())
          add({.name = fmt::format("_{}._{}.{}", port_name, to_lower(port["protocol"].as_string("TCP")), name),
               .type = DnsType::srv,
               .target = own,
               .weight = 100,
               .port = static_cast<std::uint16_t>(port["port"].as_int())});
    }
  }
}

std::optional<DnsAnswer> Zone::reverse(const DnsQuery& query) const {
  const auto labels = split(query.name, '.');
  if (labels.size() != 6) return std::nullopt;
  const auto address = Ipv4::parse(fmt::format("{}.{}.{}.{}", labels[3], labels[2], labels[1], labels[0]));
  if (!address || !(services_.contains(*address) || pods_.contains(*address))) return std::nullopt;
  DnsAnswer answer{.zone = std::string(reverse_zone)};
  const auto found = names_.find(query.name);
  if (found == names_.end())
    answer.code = DnsCode::name_error;
  else if (query.type == static_cast<std::uint16_t>(DnsType::ptr))
    answer.answers.push_back({.name = query.name, .type = DnsType::ptr, .target = found->second});
  return answer;
}

std::optional<DnsAnswer> Zone::answer(const DnsQuery& query) const {
  if (is_below(query.name, reverse_zone)) return reverse(query);
  if (!is_below(query.name, domain_)) return std::nullopt;
  DnsAnswer answer{.zone = domain_};
  const auto found = records_.find(query.name);
  if (found == records_.end()) {
    answer.code = DnsCode::name_error;
    return answer;
  }
  for (const DnsRecord& record : found->second)
    if (query.type == static_cast<std::uint16_t>(record.type) || query.type == static_cast<std::uint16_t>(DnsType::any) ||
        record.type == DnsType::cname)
      answer.answers.push_back(record);
  for (const DnsRecord& record : answer.answers)
    if (const auto target = records_.find(record.target); record.type == DnsType::srv && target != records_.end())
      for (const DnsRecord& address : target->second)
        if (address.type == DnsType::a && answer.additional.size() < max_answers) answer.additional.push_back(address);
  return answer;
}

}  // namespace slipway::cluster
