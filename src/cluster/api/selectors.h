// SPDX-License-Identifier: Apache-2.0
// Label and field selectors of lists and watches. Pure.
#pragma once

#include "cluster/api/failure.h"

namespace slipway::api {

class Selectors final {
 public:
  // Labels: a=b, a==b, a!=b, a, !a, a in (x,y), a notin (x,y). Fields: a.b=c, a.b!=c on any path.
  static Answer<Selectors> parse(std::string_view labels, std::string_view fields);
  bool empty() const { return labels_.empty() && fields_.empty(); }
  bool match(const Json& object) const;

 private:
  enum class Operator { in, not_in, exists, missing };
  struct Requirement {
    std::string key;
    Operator op = Operator::in;
    std::vector<std::string> values;
  };
  static Answer<Requirement> parse_label(std::string_view text);
  static bool holds(const Requirement& requirement, const Json* value);
  std::vector<Requirement> labels_, fields_;
};

}  // namespace slipway::api
