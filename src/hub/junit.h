// SPDX-License-Identifier: Apache-2.0
// JUnit reports -> counts and failing cases. Pure; a small strict XML reader: no DTD, no entities but the five and
// numbers, bounded depth and size. Dialects: convention E15 (a case may have both failure and error).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::hub {

inline constexpr std::size_t max_report = 5 * 1024 * 1024;

struct FailingCase {
  std::string name;  // "class.name"
  std::string message;
};

struct TestSummary {
  std::int64_t tests = 0, failures = 0, errors = 0, skipped = 0;
  std::vector<FailingCase> failing;  // at most 100
  void add(const TestSummary& other);
};

Result<TestSummary> parse_junit(std::string_view xml);

}  // namespace slipway::hub
