// SPDX-License-Identifier: Apache-2.0
// values.schema.json: the core of JSON schema, drafts 4 to 2020-12. A keyword that would constrain and is not known here
// is an error that names it, so values never pass unchecked.
#pragma once

#include "base/result.h"
#include "text/json.h"

namespace slipway::cd::helm {

Result<> check_schema(const text::Json& schema, const text::Json& values);

}  // namespace slipway::cd::helm
