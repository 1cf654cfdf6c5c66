// SPDX-License-Identifier: Apache-2.0
// The EndpointSlices of a Service: pure. Rules: pkg/controller/endpointslice and KEP-1672 (serving, terminating).
// A pod that is being deleted stays listed as terminating and not ready, so that what routes stops sending to it first.
#pragma once

#include "cluster/controllers/workloads.h"

namespace slipway::cluster {

inline constexpr std::size_t max_endpoints_per_slice = 100;

// The slices that should be; names are deterministic, so that a second run finds them.
std::vector<Json> plan_endpoint_slices(const Json& service, const std::vector<PodView>& pods);

}  // namespace slipway::cluster
