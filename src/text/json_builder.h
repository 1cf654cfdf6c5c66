// SPDX-License-Identifier: Apache-2.0
// Makes arrays and objects out of moved items without a vector in between: what parsers use. Internal to text/.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "text/json.h"

namespace slipway::text {

class JsonBuilder {
 public:
  static Json array(std::span<Json> moved);
  // A later duplicate key replaces the earlier (in the earlier one's place) and is added to `duplicates`.
  static Json object(std::span<JsonMember> moved, std::vector<std::string>* duplicates = nullptr);

 private:
  friend class Json;
  static Json container(Json::Node* node, Json::Kind kind);
  static Json distinct_object(std::span<JsonMember> moved);
};

}  // namespace slipway::text
