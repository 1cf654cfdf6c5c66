// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <fmt/format.h>

#include <ctime>

namespace slipway {
namespace {

struct Parts {
  std::tm utc{};
  long nanoseconds = 0;
};

Parts parts_of(Wall time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const std::time_t whole = seconds.count();
  Parts parts;
  gmtime_r(&whole, &parts.utc);
  parts.nanoseconds = static_cast<long>(std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count());
  return parts;
}

std::string date_and_time(const std::tm& t) {
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                     t.tm_min, t.tm_sec);
}

}  // namespace

Wall SystemClock::now() const { return std::chrono::system_clock::now(); }
Steady SystemClock::steady() const { return std::chrono::steady_clock::now(); }

std::string format_rfc3339(Wall time) { return date_and_time(parts_of(time).utc) + "Z"; }

std::string format_rfc3339_micro(Wall time) {
  const Parts parts = parts_of(time);
  return fmt::format("{}.{:06}Z", date_and_time(parts.utc), parts.nanoseconds / 1000);
}

std::string format_rfc3339_nano(Wall time) {
  const Parts parts = parts_of(time);
  return fmt::format("{}.{:09}Z", date_and_time(parts.utc), parts.nanoseconds);
}

std::optional<Wall> parse_rfc3339(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest || (*rest != 'Z' && *rest != '.')) return std::nullopt;
  return Wall(std::chrono::seconds(::timegm(&parts)));
}

std::string format_duration(std::chrono::milliseconds span) {
  const auto ms = span.count();
  if (ms < 60'000) return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000);
  if (ms < 3'600'000) return fmt::format("{}m{}s", ms / 60'000, ms / 1000 % 60);
  return fmt::format("{}h{}m", ms / 3'600'000, ms / 60'000 % 60);
}

}  // namespace slipway
