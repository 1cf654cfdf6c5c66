// SPDX-License-Identifier: Apache-2.0
// What tools/make_schema.py writes at build time: one JSON text in pieces. Internal to kube/schema.cc.
#pragma once

#include <string_view>

namespace slipway::kube {

extern const std::string_view schema_pieces[];
extern const unsigned long schema_piece_count;

}  // namespace slipway::kube
