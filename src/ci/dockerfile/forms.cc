// SPDX-License-Identifier: Apache-2.0
// The small forms that instructions take: JSON lists, ports, durations.
#include <fmt/format.h>

#include <array>

#include "base/strings.h"
#include "ci/dockerfile/evaluate.h"

namespace slipway::dockerfile {
namespace {

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid, std::move(what)); }

Result<std::int64_t> port_number(std::string_view text, std::string_view whole) {
  const auto number = parse_int(text);
  if (!number || *number < 0 || *number > 65535) return wrong(fmt::format("invalid port: {}", printable(whole)));
  return *number;
}

}  // namespace

Result<std::optional<std::vector<std::string>>> json_form(std::string_view text) {
  text = trim(text);
  if (!text.starts_with('[')) return std::nullopt;
  const auto json = text::parse_json(text);
  if (!json || !json->is_array()) return std::nullopt;  // "[ -f x ] && y" is a shell's
  std::vector<std::string> out;
  for (const auto& item : json->items()) {
    if (!item.is_string()) return wrong("only strings are allowed in the JSON form");
    out.push_back(item.str());
  }
  return out;
}

Result<std::vector<std::string>> parse_ports(std::string_view text) {
  const auto slash = text.find('/');
  const std::string protocol = slash == text.npos ? "tcp" : to_lower(text.substr(slash + 1));
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") return wrong(fmt::format("invalid proto: {}", printable(protocol)));
  std::string_view ports = text.substr(0, slash);
  if (const auto colon = ports.rfind(':'); colon != ports.npos) ports = ports.substr(colon + 1);  // only the container's side counts
  const auto dash = ports.find('-');
  const std::int64_t first = TRY(port_number(ports.substr(0, dash), text));
  const std::int64_t last = dash == ports.npos ? first : TRY(port_number(ports.substr(dash + 1), text));
  if (last < first) return wrong(fmt::format("invalid range of ports: {}", printable(text)));
  std::vector<std::string> out;
  for (std::int64_t port = first; port <= last; ++port) out.push_back(fmt::format("{}/{}", port, protocol));
  return out;
}

Result<std::int64_t> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
  };
  constexpr std::array<Unit, 7> units{{{"ns", 1}, {"us", 1'000}, {"µs", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}}};
  const auto bad = [&] { return wrong(fmt::format("invalid duration: {}", printable(text))); };
  if (text == "0") return 0;
  double sum = 0;
  std::string_view rest = text;
  if (rest.empty()) return bad();
  while (!rest.empty()) {
    const auto end = rest.find_first_not_of("0123456789.");
    if (end == 0 || end == rest.npos) return bad();
    const std::string_view number = rest.substr(0, end);
    const auto dot = number.find('.');
    const auto whole = dot == 0 ? std::optional<std::int64_t>(0) : parse_int(number.substr(0, dot));
    if (!whole || *whole > 1'000'000'000 || number.size() > 20) return bad();
    double value = static_cast<double>(*whole), weight = 0.1;
    for (std::size_t i = dot == number.npos ? number.size() : dot + 1; i < number.size(); ++i, weight /= 10) {
      if (number[i] == '.') return bad();
      value += weight * (number[i] - '0');
    }
    rest.remove_prefix(end);
    const std::string_view name = rest.substr(0, std::min(rest.find_first_of("0123456789."), rest.size()));
    const Unit* unit = nullptr;
    for (const Unit& one : units)
      if (one.name == name) unit = &one;
    if (!unit) return bad();
    sum += value * static_cast<double>(unit->nanoseconds);
    rest.remove_prefix(name.size());
  }
  // Docker reads 0 as "inherit" and refuses what is shorter than a millisecond.
  if (sum != 0 && sum < 1e6) return wrong(fmt::format("{} is shorter than 1ms", printable(text)));
  if (sum > 1e18) return bad();
  return static_cast<std::int64_t>(sum);
}

}  // namespace slipway::dockerfile
