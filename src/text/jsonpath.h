// SPDX-License-Identifier: Apache-2.0
// kubectl's JSONPath templates: text with paths in braces. Pure.
//
// {.a.b[0].c} {.items[*].name} {..name} {['a','b']} {.list[1:3]} {.list[-1]} {.items[?(@.kind=="Pod")].name}
// {range .items[*]}{.name}{"\n"}{end}. What is not there prints as nothing. Several values are separated by a blank;
// strings print as they are, everything else as JSON.
// Source: kubectl reference, JSONPath support; k8s.io/client-go/util/jsonpath (what it accepts and how it prints).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/json.h"

namespace slipway::text {

inline constexpr std::size_t max_json_path = 64 * 1024;      // of a template
inline constexpr std::size_t max_json_path_output = 64 * 1024 * 1024;

class JsonPath final {
 public:
  // invalid, with the column, where the template is malformed.
  static Result<JsonPath> parse(std::string_view text);
  Result<std::string> print(const Json& root) const;

  struct Part;

 private:
  std::shared_ptr<const std::vector<Part>> parts_;
};

// The values that one path (without braces: ".a.b[*]") leads to.
Result<std::vector<Json>> find_by_path(const Json& root, std::string_view path);

}  // namespace slipway::text
