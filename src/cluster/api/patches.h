// SPDX-License-Identifier: Apache-2.0
// The patch of a request, applied to an object. Pure.
#pragma once

#include "cluster/api/failure.h"
#include "cluster/api/resources.h"

namespace slipway::api {

// By the request's Content-Type; one that is not served is 415.
bool is_apply(std::string_view content_type);  // application/apply-patch+yaml
Answer<Json> patched(std::string_view content_type, const Json& current, std::string_view body);
// `duplicates` gets the keys that a JSON object has twice.
Answer<Json> parse_body(std::string_view content_type, std::string_view body, std::vector<std::string>* duplicates = nullptr);

}  // namespace slipway::api
