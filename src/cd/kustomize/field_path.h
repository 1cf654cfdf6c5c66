// SPDX-License-Identifier: Apache-2.0
// Paths of replacements: "spec.template.spec.containers.[name=web].image", "*", numbers. Pure.
#pragma once

#include <string>
#include <vector>

#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {

// The one node that a source's path leads to; nullptr where nothing is there.
Result<YamlNode*> look_up_path(YamlNode* node, const std::vector<std::string>& path);
// All nodes that a target's path matches; [field=expression] is a regular expression. `create`: what is missing is made,
// the last of it of this kind.
Result<std::vector<YamlNode*>> match_path(YamlPool& pool, YamlNode* node, const std::vector<std::string>& path, YamlKind create);

}  // namespace slipway::cd::kustomize
