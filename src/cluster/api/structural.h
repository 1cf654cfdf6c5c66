// SPDX-License-Identifier: Apache-2.0
// Values against the structural schema of a CustomResourceDefinition, in Kubernetes' words. Patterns are RE2, as there.
// Pure.
#pragma once

#include "cluster/api/failure.h"

namespace slipway::api {

std::vector<Cause> schema_causes(const Json& schema, const Json& object);
// What is wrong with the schema itself: patterns that do not compile, nesting beyond what is taken.
std::vector<Cause> causes_in_schema(const Json& schema, const std::string& path);

}  // namespace slipway::api
