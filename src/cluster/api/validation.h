// SPDX-License-Identifier: Apache-2.0
// What an object must be like, with Kubernetes' words for what it is not; and the limits B1. Pure.
#pragma once

#include "cluster/api/failure.h"
#include "cluster/api/resources.h"

namespace slipway::api {

constexpr std::size_t body_limit = 3 * 1024 * 1024;
constexpr std::size_t object_limit = 1536 * 1024;
constexpr std::size_t data_limit = 1024 * 1024;         // of a ConfigMap or Secret
constexpr std::size_t annotations_limit = 256 * 1024;

// `before` is null for a creation.
Answer<> validate(const ResourceInfo& resource, const Json& object, const Json& before);

bool is_dns_subdomain(std::string_view text);  // RFC 1123, 253 characters
bool is_dns_label(std::string_view text);      // RFC 1123, 63 characters
bool is_qualified_name(std::string_view text); // of a label
bool is_label_value(std::string_view text);

}  // namespace slipway::api
