// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/ruleset.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace slipway::cluster {
namespace {

bool is_word(std::string_view text) {
  return !text.empty() && text.size() < 32 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

struct Target {  // one chain
  std::string name;
  std::string rule;
};

std::string translation(const ServicePort& port) {
  if (port.endpoints.size() == 1)
    return fmt::format("meta l4proto {} dnat to {}:{}", port.protocol, port.endpoints[0].address.to_string(), port.endpoints[0].port);
  const std::size_t count = std::min(port.endpoints.size(), max_endpoints_a_port);
  // A client keeps its endpoint by the hash of its address: no state, and the same answer after every reload.
  const std::string choice = port.affinity == Affinity::client_address ? fmt::format("jhash ip saddr mod {} seed 0x51", count)
                                                                       : fmt::format("numgen random mod {}", count);
  std::string map;
  for (std::size_t i = 0; i < count; ++i)
    map += fmt::format("{}{} : {} . {}", i ? ", " : "", i, port.endpoints[i].address.to_string(), port.endpoints[i].port);
  return fmt::format("meta l4proto {} dnat ip to {} map {{ {} }}", port.protocol, choice, map);
}

class Writer {
 public:
  Writer(const RulesetConfig& config, const ServiceTable& services) : config_(config), services_(services) {}

  std::string write() {
    collect();
    line("add table ip {}", config_.table);
    line("delete table ip {}", config_.table);
    line("table ip {} {{", config_.table);
    write_maps();
    for (const Target& target : targets_) line("  chain {} {{ {}; }}", target.name, target.rule);
    write_nat();
    write_filter();
    line("}}");
    return std::move(out_);
  }

 private:
  template <class... Arguments>
  void line(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    out_ += fmt::format(format, std::forward<Arguments>(arguments)...) + "\n";
  }

  void collect() {
    if (config_.dns_server.port != 0)
      for (const char* protocol : {"udp", "tcp"})
        add({.service = "dns", .cluster_address = config_.dns_service, .protocol = protocol, .port = 53, .endpoints = {config_.dns_server}});
    for (const ServicePort& port : services_.ports) add(port);
  }

  void add(const ServicePort& port) {
    if (!port.cluster_address) return;
    const std::string key = fmt::format("{} . {} . {}", port.cluster_address->to_string(), port.protocol, port.port);
    if (!seen_.insert(key).second) return;  // the first of two Services with one address has it
    const std::string node_key = fmt::format("{} . {}", port.protocol, port.node_port);
    const bool on_node = port.node_port != 0 && seen_.insert("node " + node_key).second;
    if (port.endpoints.empty()) {
      refused_.push_back(key);
      if (on_node) refused_on_node_.push_back(node_key);
      return;
    }
    const std::string chain = fmt::format("svc-{}", targets_.size());
    targets_.push_back({chain, translation(port)});
    addresses_.push_back(key + " : goto " + chain);
    if (on_node) node_ports_.push_back(node_key + " : goto " + chain);
    for (const Endpoint& endpoint : port.endpoints) endpoints_.insert(endpoint.address.to_string());
  }

  void collection(std::string_view kind, std::string_view name, std::string_view type, const std::vector<std::string>& elements) {
    out_ += fmt::format("  {} {} {{ type {};", kind, name, type);
    for (std::size_t i = 0; i < elements.size(); ++i) out_ += (i == 0 ? " elements = { " : ", ") + elements[i];
    out_ += elements.empty() ? " }\n" : " } ; }\n";
  }

  void write_maps() {
    for (const Target& target : targets_) line("  chain {} {{ }}", target.name);  // known before a map names them
    collection("map", "service-ports", "ipv4_addr . inet_proto . inet_service : verdict", addresses_);
    collection("map", "node-ports", "inet_proto . inet_service : verdict", node_ports_);
    collection("set", "no-endpoints", "ipv4_addr . inet_proto . inet_service", refused_);
    collection("set", "no-node-endpoints", "inet_proto . inet_service", refused_on_node_);
    std::vector<std::string> pairs;
    for (const std::string& address : endpoints_) pairs.push_back(address + " . " + address);
    collection("set", "to-itself", "ipv4_addr . ipv4_addr", pairs);
  }

  void write_nat() {
    line("  chain services {{");
    line("    ip daddr . meta l4proto . th dport vmap @service-ports");
    line("    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports");
    line("  }}");
    line("  chain prerouting {{ type nat hook prerouting priority -100; policy accept; jump services; }}");
    line("  chain output {{ type nat hook output priority -100; policy accept; jump services; }}");
    line("  chain postrouting {{ type nat hook postrouting priority 100; policy accept;");
    line("    ct status dnat ip saddr . ip daddr @to-itself masquerade");
    line("    ip saddr {} ip daddr != {} oifname != \"{}\" masquerade", config_.pods.to_string(), config_.pods.to_string(), config_.bridge);
    line("  }}");
  }

  // A Service without endpoints refuses at once instead of leaving its clients to time out.
  void write_filter() {
    line("  chain refuse {{");
    line("    ip daddr . meta l4proto . th dport @no-endpoints reject");
    line("    ip daddr {} reject", config_.services.to_string());
    line("  }}");
    line("  chain forward {{ type filter hook forward priority 0; policy accept; jump refuse; }}");
    line("  chain local-out {{ type filter hook output priority 0; policy accept; jump refuse; }}");
    line("  chain local-in {{ type filter hook input priority 0; policy accept;");
    line("    ip daddr != 127.0.0.0/8 meta l4proto . th dport @no-node-endpoints reject");
    line("  }}");
  }

  const RulesetConfig& config_;
  const ServiceTable& services_;
  std::string out_;
  std::vector<Target> targets_;
  std::vector<std::string> addresses_, node_ports_, refused_, refused_on_node_;
  std::set<std::string> endpoints_, seen_;
};

}  // namespace

Result<std::string> make_ruleset(const RulesetConfig& config, const ServiceTable& services) {
  if (!is_word(config.table)) return fail(ErrorCode::invalid, "bad nft table name: " + config.table);
  if (!is_word(config.bridge)) return fail(ErrorCode::invalid, "bad bridge name: " + config.bridge);
  if (services.ports.size() > max_service_ports)
    return fail(ErrorCode::too_large, fmt::format("{} Service ports, limit {}", services.ports.size(), max_service_ports));
  for (const ServicePort& port : services.ports)
    if (port.protocol != "tcp" && port.protocol != "udp" && port.protocol != "sctp")
      return fail(ErrorCode::invalid, fmt::format("Service {} has protocol {}", port.service, port.protocol));
  return Writer(config, services).write();
}

std::string remove_ruleset(const std::string& table) { return fmt::format("add table ip {0}\ndelete table ip {0}\n", table); }

}  // namespace slipway::cluster
