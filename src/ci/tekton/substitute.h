// SPDX-License-Identifier: Apache-2.0
// Tekton's variables: $(params.x), $(tasks.t.results.r), $(workspaces.w.path), … (tektoncd/pipeline docs/variables.md).
// Pure. A variable that nobody knows stays as it is, as upstream leaves it; `missing` collects those of a given prefix.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/result.h"
#include "text/json.h"

namespace slipway::tekton {

using text::Json;

class Variables final {
 public:
  void set(std::string name, Json value) { values_[std::move(name)] = std::move(value); }
  // A param of type string, array or object, under every spelling that upstream takes.
  void set_param(const std::string& name, const Json& value);
  // In every string below the value. An item that is just "$(params.list[*])" becomes the list's items.
  Json apply(const Json& value) const;
  std::string apply_text(std::string_view text) const;

 private:
  const Json* find(std::string_view name) const;
  std::map<std::string, Json, std::less<>> values_;
};

// The tasks whose results the value reads: $(tasks.NAME.results.…).
std::set<std::string> tasks_read_by(const Json& value);

}  // namespace slipway::tekton
