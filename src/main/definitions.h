// SPDX-License-Identifier: Apache-2.0
// The CustomResourceDefinitions of the kinds that Slipway reconciles, applied to the plane at start.
#pragma once

#include <vector>

#include "base/result.h"
#include "kube/client.h"

namespace slipway::app {

std::vector<text::Json> definitions();
Result<> apply_definitions(kube::Client& client);

}  // namespace slipway::app
