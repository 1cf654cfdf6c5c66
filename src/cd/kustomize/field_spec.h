// SPDX-License-Identifier: Apache-2.0
// A place in objects of a kind ("spec/template/metadata/labels"), and the walk to it. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cd/kustomize/id.h"
#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {

struct FieldSpec {
  Gvk gvk;
  std::string path;
  bool create = false;
  std::vector<std::string> parts = {};  // of the path, split once
};

FieldSpec field_spec(Gvk gvk, std::string path, bool create);

using FieldSpecs = std::vector<FieldSpec>;

// Adds what is not there; the same place with another `create` is refused.
Result<> merge_into(FieldSpecs& specs, const FieldSpec& more);
Result<> merge_into(FieldSpecs& specs, const FieldSpecs& more);
void sort_specs(FieldSpecs& specs);

using Setter = std::function<Result<>(YamlNode&)>;

struct Creation {
  YamlKind kind = YamlKind::none;  // none: nothing is created
  YamlTag tag = YamlTag::none;
};

// Calls `set` at every place that the spec names; lists on the way are visited item by item.
Result<> visit(YamlPool& pool, YamlNode& object, const FieldSpec& spec, const Creation& creation, const Setter& set);

}  // namespace slipway::cd::kustomize
