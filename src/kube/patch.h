// SPDX-License-Identifier: Apache-2.0
// JSON patch (RFC 6902), merge patch (RFC 7396) and strategic merge patch (Kubernetes API conventions). Pure.
#pragma once

#include "base/result.h"
#include "kube/fields.h"

namespace slipway::kube {

inline constexpr std::size_t max_json_patch_operations = 10'000;  // B1

Result<Json> json_patch(const Json& target, const Json& operations);
Json merge_patch(const Json& target, const Json& patch);
// Directives: $patch: replace|delete|merge, $deleteFromPrimitiveList/x, $setElementOrder/x, $retainKeys.
Result<Json> strategic_merge_patch(const Json& target, const Json& patch);

}  // namespace slipway::kube
