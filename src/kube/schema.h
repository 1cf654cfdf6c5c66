// SPDX-License-Identifier: Apache-2.0
// The schemas of the built-in kinds, and what an object says beyond a schema.
//
// The definitions are data made at build time from Kubernetes' own schemas (OpenAPI 3, with the x-kubernetes-* marks).
// They are parsed at the first use, once, and are empty where the build had no schemas. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/json.h"

namespace slipway::kube {

using text::Json;

const Json& schema_definitions();  // name ("io.k8s.api.core.v1.Pod") -> schema
// The name of a kind's definition; empty where it is not known.
std::string schema_name(std::string_view group, std::string_view version, std::string_view kind);
// Follows `$ref` and a single allOf; what is not known is null.
const Json& resolved_schema(const Json& rule);
// Paths of fields that the schema does not know ("spec.template.spec.containers[0].foo"), at most `most`.
// metadata of a custom resource is checked as ObjectMeta.
std::vector<std::string> unknown_fields(const Json& rule, const Json& object, std::size_t most = 20);

}  // namespace slipway::kube
