// SPDX-License-Identifier: Apache-2.0
// What an untagged plain YAML scalar means: YAML 1.1 as Kubernetes' tools read it (go-yaml v2). Pure.
#pragma once

#include <string_view>

#include "text/json.h"

namespace slipway::text {

// null, a boolean, a number (.inf and .nan too), or the text itself. Timestamps stay text; base 60 is text.
Json resolve_yaml_scalar(std::string_view plain);
// "2006-1-2", with or without a time: plain text to a reader, but quoted by a writer.
bool is_yaml_timestamp(std::string_view text);
// "1:20": text to this reader, a number to others, so a writer quotes it.
bool is_yaml_base60(std::string_view text);

}  // namespace slipway::text
