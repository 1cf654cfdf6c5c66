// SPDX-License-Identifier: Apache-2.0
// What the API server fills in where a client says nothing (Kubernetes 1.36 API reference). Pure.
#pragma once

#include "cluster/api/resources.h"

namespace slipway::api {

Json with_defaults(const ResourceInfo& resource, Json object);
Json with_schema_defaults(const Json& schema, Json value);  // of a structural schema
Json pruned(const Json& schema, Json value);                // without what a structural schema does not know

}  // namespace slipway::api
