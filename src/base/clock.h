// SPDX-License-Identifier: Apache-2.0
// Time. Deadlines and periods use Steady (never jumps); Wall is only for what a person or another system reads.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace slipway {

using Wall = std::chrono::system_clock::time_point;
using Steady = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Wall now() const = 0;
  virtual Steady steady() const = 0;
};

class SystemClock final : public Clock {
 public:
  Wall now() const override;
  Steady steady() const override;
};

// For tests: stands still until told.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Wall start = Wall(std::chrono::seconds(1'700'000'000))) : start_(start) {}
  Wall now() const override { return start_ + std::chrono::duration_cast<Wall::duration>(passed_); }
  Steady steady() const override { return Steady(passed_); }
  void advance(std::chrono::nanoseconds by) { passed_ += by; }

 private:
  Wall start_;
  std::chrono::nanoseconds passed_{std::chrono::hours(1)};
};

std::string format_rfc3339(Wall time);        // 2026-11-23T15:04:05Z
std::string format_rfc3339_micro(Wall time);  // 2026-11-23T15:04:05.000000Z
std::string format_rfc3339_nano(Wall time);   // nine digits, for CRI logs
std::optional<Wall> parse_rfc3339(std::string_view text);  // whole seconds, UTC ("Z"); fractions are passed over
std::string format_duration(std::chrono::milliseconds span);  // "0.4s", "3.2s", "4m10s", "2h5m"

}  // namespace slipway
