// SPDX-License-Identifier: Apache-2.0
// Which resources a plane serves, from its discovery documents.
#pragma once

#include "kube/client.h"

namespace slipway::kube {

// Every resource that can be listed and deleted, in its preferred version; without sub-resources.
Result<std::vector<Resource>> discover(Client& client);

}  // namespace slipway::kube
