// SPDX-License-Identifier: Apache-2.0
// ARG: what is declared where, and which value wins. Internal to ci/dockerfile. Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ci/dockerfile/plan.h"
#include "ci/dockerfile/words.h"

namespace slipway::dockerfile {

// The arguments before the first FROM.
class Arguments final {
 public:
  explicit Arguments(const std::map<std::string, std::string>& given) : given_(given) {}
  Result<> declare_global(std::string_view rest, char escape);
  std::optional<std::string> global(std::string_view name) const;
  const std::map<std::string, std::string>& values() const { return values_; }

 private:
  const std::map<std::string, std::string>& given_;
  std::map<std::string, std::string> values_;
};

// TARGETPLATFORM and its like: known before the first FROM, in a stage once declared.
std::optional<std::string> platform_argument(std::string_view name);
bool is_proxy_argument(std::string_view name);

struct Declared {
  std::string name;
  std::optional<std::string> fallback;
};
// "a=1 b c=$d": values expanded.
Result<std::vector<Declared>> declarations(std::string_view rest, char escape, const Lookup& lookup);

// The stages and images that an instruction names in --from and --mount=from=.
Result<std::vector<std::string>> names_in(const Instruction& instruction);
// What such a name means in stage number `before`.
Result<Origin> source_origin(const Outline& outline, std::size_t before, std::string_view name);

}  // namespace slipway::dockerfile
