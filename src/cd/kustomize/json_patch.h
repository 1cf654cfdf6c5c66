// SPDX-License-Identifier: Apache-2.0
// JSON 6902 patches as kustomize applies them: indices may count from the end, replacing what is not there adds it. Pure.
#pragma once

#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {

inline constexpr std::size_t max_operations = 10'000;  // B1

// The patched tree; `root` and what the operations bring are changed.
Result<YamlNode*> apply_json_patch(YamlPool& pool, YamlNode* root, const Json& operations);

}  // namespace slipway::cd::kustomize
