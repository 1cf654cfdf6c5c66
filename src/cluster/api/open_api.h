// SPDX-License-Identifier: Apache-2.0
// The OpenAPI documents, made from what is served. Pure.
#pragma once

#include "cluster/api/resources.h"

namespace slipway::api {

Json open_api_index(const std::vector<ResourcePointer>& resources);  // /openapi/v3
// Of "api/v1" or "apis/GROUP/VERSION"; null where nothing is served there.
Json open_api_group(const std::vector<ResourcePointer>& resources, std::string_view place);
Json open_api_v2(const std::vector<ResourcePointer>& resources);     // /openapi/v2
std::string open_api_v2_protobuf(const std::vector<ResourcePointer>& resources);  // the only form that kubectl takes

}  // namespace slipway::api
