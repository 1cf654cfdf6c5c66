// SPDX-License-Identifier: Apache-2.0
// What differs between a desired object and the live one. Only fields that the desired one names count: the rest is
// the server's and other people's. Pure.
#pragma once

#include <string>
#include <vector>

#include "text/json.h"

namespace slipway::desired {

inline constexpr std::size_t max_differences = 50;

// "spec.replicas: 3 -> 5", the live value first; empty where the live object is as desired.
std::vector<std::string> diff(const text::Json& desired, const text::Json& live);

}  // namespace slipway::desired
