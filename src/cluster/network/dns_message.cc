// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/dns_message.h"

#include "base/strings.h"

namespace slipway::cluster {
namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::uint16_t class_in = 1;
constexpr std::uint32_t negative_ttl = 5;

std::uint16_t number_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint16_t>((static_cast<unsigned char>(text[at]) << 8) | static_cast<unsigned char>(text[at + 1]));
}

void put16(std::string& out, unsigned value) {
  out += static_cast<char>((value >> 8) & 255);
  out += static_cast<char>(value & 255);
}
void put32(std::string& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

void put_name(std::string& out, std::string_view name) {
  for (const std::string_view label : split(name, '.')) {
    if (label.empty()) continue;
    const std::string_view part = label.substr(0, 63);
    out += static_cast<char>(part.size());
    out += part;
  }
  out += '\0';
}

std::string data_of(const DnsRecord& record) {
  std::string data;
  switch (record.type) {
    case DnsType::a: put32(data, record.address.value); break;
    case DnsType::srv:
      put16(data, record.priority);
      put16(data, record.weight);
      put16(data, record.port);
      put_name(data, record.target);
      break;
    default: put_name(data, record.target); break;
  }
  return data;
}

std::string soa_data(const std::string& zone) {
  std::string data;
  put_name(data, "ns.dns." + zone);
  put_name(data, "hostmaster." + zone);
  for (const std::uint32_t value : {1u, 7200u, 1800u, 86400u, negative_ttl}) put32(data, value);
  return data;
}

void put_record(std::string& out, std::string_view name, DnsType type, std::uint32_t ttl, std::string_view data) {
  put_name(out, name);
  put16(out, static_cast<unsigned>(type));
  put16(out, class_in);
  put32(out, ttl);
  put16(out, static_cast<unsigned>(data.size()));
  out += data;
}

Result<std::string> read_name(std::string_view message, std::size_t& at) {
  std::string name;
  while (true) {
    if (at >= message.size()) return fail(ErrorCode::invalid, "DNS name is cut off");
    const auto size = static_cast<unsigned char>(message[at++]);
    if (size == 0) return name;
    if (size > 63) return fail(ErrorCode::invalid, "DNS question has a compressed name");
    if (at + size > message.size()) return fail(ErrorCode::invalid, "DNS name is cut off");
    const std::string_view label = message.substr(at, size);
    if (label.find('.') != std::string_view::npos) return fail(ErrorCode::invalid, "DNS label holds a dot");
    if (!name.empty()) name += '.';
    name += label;
    at += size;
    if (name.size() > max_dns_name) return fail(ErrorCode::invalid, "DNS name is too long");
  }
}

// The only record of a query that matters here: OPT, which has the root's name.
void read_edns(std::string_view message, std::size_t at, DnsQuery& query) {
  if (at + 5 > message.size() || message[at] != '\0' || number_at(message, at + 1) != static_cast<std::uint16_t>(DnsType::opt)) return;
  query.edns = true;
  query.udp_bytes = std::max<std::uint16_t>(number_at(message, at + 3), classic_udp_bytes);
}

}  // namespace

Result<DnsQuery> parse_query(std::string_view message) {
  if (message.size() < header_bytes) return fail(ErrorCode::invalid, "DNS message is cut off");
  const std::uint16_t flags = number_at(message, 2);
  if (flags & 0x8000) return fail(ErrorCode::invalid, "DNS message is an answer");
  if (flags & 0x7800) return fail(ErrorCode::invalid, "DNS operation is not a query");
  if (number_at(message, 4) != 1) return fail(ErrorCode::invalid, "DNS query has not one question");
  DnsQuery query{.id = number_at(message, 0), .recursion_desired = (flags & 0x0100) != 0};
  std::size_t at = header_bytes;
  query.name_as_sent = TRY(read_name(message, at));
  query.name = to_lower(query.name_as_sent);
  if (at + 4 > message.size()) return fail(ErrorCode::invalid, "DNS question is cut off");
  query.type = number_at(message, at);
  if (number_at(message, at + 2) != class_in) return fail(ErrorCode::invalid, "DNS class is not IN");
  if (number_at(message, 10) > 0) read_edns(message, at + 4, query);
  return query;
}

std::string write_answer(const DnsQuery& query, const DnsAnswer& answer, std::size_t limit) {
  std::string body;
  put_name(body, query.name_as_sent);
  put16(body, query.type);
  put16(body, class_in);
  std::string edns;
  if (query.edns) {
    edns += '\0';
    put16(edns, static_cast<unsigned>(DnsType::opt));
    put16(edns, max_udp_bytes);
    put32(edns, 0);
    put16(edns, 0);
  }
  bool truncated = false;
  unsigned answers = 0, authority = 0, additional = query.edns ? 1 : 0;
  const auto add = [&](std::string_view name, DnsType type, std::uint32_t ttl, const std::string& data) {
    std::string one;
    put_record(one, name, type, ttl, data);
    if (header_bytes + body.size() + one.size() + edns.size() > limit) return false;
    body += one;
    return true;
  };
  for (const DnsRecord& record : answer.answers) {
    if (!add(record.name, record.type, record.ttl, data_of(record))) truncated = true;
    else ++answers;
  }
  if (answer.answers.empty() && !answer.zone.empty() && add(answer.zone, DnsType::soa, negative_ttl, soa_data(answer.zone))) authority = 1;
  for (const DnsRecord& record : answer.additional)
    if (!truncated && add(record.name, record.type, record.ttl, data_of(record))) ++additional;
  std::string out;
  put16(out, query.id);
  put16(out, 0x8000u | (answer.authoritative ? 0x0400u : 0u) | (truncated ? 0x0200u : 0u) |
                 (query.recursion_desired ? 0x0100u : 0u) | 0x0080u | static_cast<unsigned>(answer.code));
  for (const unsigned count : {1u, answers, authority, additional}) put16(out, count);
  return out + body + edns;
}

std::optional<std::string> write_failure(std::string_view message, DnsCode code) {
  if (message.size() < header_bytes || (number_at(message, 2) & 0x8000)) return std::nullopt;
  std::string out(message.substr(0, 2));
  put16(out, 0x8080u | static_cast<unsigned>(code));
  out.append(8, '\0');
  return out;
}

}  // namespace slipway::cluster
