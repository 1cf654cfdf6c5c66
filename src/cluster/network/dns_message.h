// SPDX-License-Identifier: Apache-2.0
// DNS messages: one question in, records out. Pure. Sources: RFC 1035, RFC 2782 (SRV), RFC 6891 (EDNS size).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandbox/netlink.h"

namespace slipway::cluster {

enum class DnsType : std::uint16_t { a = 1, ns = 2, cname = 5, soa = 6, ptr = 12, txt = 16, aaaa = 28, srv = 33, opt = 41, any = 255 };
enum class DnsCode : std::uint8_t { ok = 0, format_error = 1, server_failure = 2, name_error = 3, not_implemented = 4, refused = 5 };

constexpr std::size_t max_dns_name = 253;
constexpr std::size_t classic_udp_bytes = 512;
constexpr std::size_t max_udp_bytes = 1232;   // what we send over UDP at most, whatever the peer offers
constexpr std::size_t max_dns_message = 65'535;

struct DnsQuery {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  std::string name;  // lower case, without the final dot
  std::string name_as_sent;
  std::uint16_t type = 0;
  std::uint16_t udp_bytes = classic_udp_bytes;  // what the asker takes
  bool edns = false;
};
// Refused: anything but one question of class IN in a standard query; compression in the question.
Result<DnsQuery> parse_query(std::string_view message);

struct DnsRecord {
  std::string name;
  DnsType type = DnsType::a;
  std::uint32_t ttl = 5;
  sandbox::Ipv4 address;                         // A
  std::string target;                            // CNAME, PTR, SRV
  std::uint16_t priority = 0, weight = 0, port = 0;  // SRV
  bool operator==(const DnsRecord&) const = default;
};

struct DnsAnswer {
  DnsCode code = DnsCode::ok;
  bool authoritative = true;
  std::vector<DnsRecord> answers, additional;
  std::string zone;  // where there is no answer: whose SOA tells how long to remember that
  bool operator==(const DnsAnswer&) const = default;
};

// At most `limit` bytes: what does not fit is left out and the truncation bit set.
std::string write_answer(const DnsQuery& query, const DnsAnswer& answer, std::size_t limit);
// For a message that could not be parsed; nothing where not even an id is there.
std::optional<std::string> write_failure(std::string_view message, DnsCode code);

}  // namespace slipway::cluster
