// SPDX-License-Identifier: Apache-2.0
// Links, addresses and routes by rtnetlink, in the network namespace of the calling thread when it was opened.
// One object, one thread. Source: rtnetlink(7).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace slipway::sandbox {

// An IPv4 address as a number in host order, so that ranges are sums.
struct Ipv4 {
  std::uint32_t value = 0;
  static Result<Ipv4> parse(std::string_view text);
  std::string to_string() const;
  auto operator<=>(const Ipv4&) const = default;
};

struct Ipv4Range {
  Ipv4 base;
  std::uint32_t prefix = 32;
  static Result<Ipv4Range> parse(std::string_view text);  // "10.244.0.0/24"; bits below the prefix are refused
  std::string to_string() const;
  std::uint64_t size() const { return std::uint64_t{1} << (32 - prefix); }
  bool contains(Ipv4 address) const { return std::uint64_t{address.value} - base.value < size() && address.value >= base.value; }
  Ipv4 at(std::uint64_t offset) const { return {base.value + static_cast<std::uint32_t>(offset)}; }
  bool operator==(const Ipv4Range&) const = default;
};

class Netlink final {
 public:
  static Result<Netlink> open();

  Result<std::uint32_t> link_index(std::string_view name);  // not_found
  Result<std::vector<std::string>> link_names();
  Result<> add_bridge(std::string_view name);                // fine where it exists
  // A pair: `name` in this namespace, `peer` in the namespace that the descriptor holds. `mtu` 0: the kernel's.
  Result<> add_veth(std::string_view name, std::string_view peer, int peer_namespace, std::uint32_t mtu);
  Result<> remove_link(std::string_view name);               // fine where it is gone
  Result<> set_up(std::string_view name);
  // Made from an IPv4 address, so that who gets an address later is found under the same one, and so that a bridge does
  // not take that of one of its ports and lose it with the port: neighbours remember either for a while.
  Result<> set_hardware_address(std::string_view name, Ipv4 address);
  // Of a bridge port: where bridge netfilter is on, a pod that reaches itself through its Service comes back this way.
  Result<> set_hairpin(std::string_view name);
  Result<> set_master(std::string_view name, std::string_view bridge);
  Result<> add_address(std::string_view name, Ipv4 address, std::uint32_t prefix);  // fine where it is there
  // Reached through the link as if the gateway were on it, whatever the prefix of the link's address.
  Result<> add_default_route(std::string_view name, Ipv4 gateway);
  Result<> add_link_route(std::string_view name, Ipv4Range destination);
  Result<std::vector<Ipv4>> addresses();  // of every link, IPv4, global scope

 private:
  explicit Netlink(UniqueFd socket) : socket_(std::move(socket)) {}
  Result<> request(class NetlinkMessage& message, bool existing_is_fine);
  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace slipway::sandbox
