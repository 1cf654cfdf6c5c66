// SPDX-License-Identifier: Apache-2.0
// A kustomization file: checked field by field, read as a value. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {

inline constexpr std::string_view kustomization_names[] = {"kustomization.yaml", "kustomization.yml", "Kustomization"};

struct Kustomization {
  Json value;                          // bases, imageTags and env are moved to their successors
  std::string file;                    // its name
  std::vector<std::string> warnings;   // of deprecated fields
  bool is_component() const { return value["kind"].as_string() == "Component"; }
};

// Unknown fields and values of the wrong type are refused. `path` is what errors name.
Result<Kustomization> parse_kustomization(std::string_view text, const std::string& path);
// YAML as upstream reads configurations: of a key given twice the last one counts.
Result<Json> parse_lenient(std::string_view text, std::string_view name);

std::vector<std::string> strings_of(const Json& list);
StringMap strings_map_of(const Json& map);

}  // namespace slipway::cd::kustomize
