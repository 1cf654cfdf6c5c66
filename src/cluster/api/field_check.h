// SPDX-License-Identifier: Apache-2.0
// fieldValidation: what a write says beyond its kind's schema is refused, warned of or passed over. Pure.
#pragma once

#include "cluster/api/failure.h"
#include "cluster/api/resources.h"

namespace slipway::api {

enum class FieldCheck { ignore, warn, strict };
Answer<FieldCheck> parse_field_check(std::string_view parameter);  // the default is warn

// What is wrong, in Kubernetes' words: `unknown field "spec.foo"`, `duplicate field "a"`. Unknown fields that `before`
// has too are not told again.
std::vector<std::string> field_faults(const ResourceInfo& resource, const Json& object, const Json& before, const std::vector<std::string>& duplicates);

std::string strict_message(const std::vector<std::string>& faults);  // `strict decoding error: …`
std::string warning_header(std::string_view text);                   // RFC 7234 section 5.5, as Kubernetes writes it

}  // namespace slipway::api
