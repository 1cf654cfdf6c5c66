// SPDX-License-Identifier: Apache-2.0
// The table behind kube/protobuf.cc. Internal to it.
#pragma once

#include <string_view>

namespace slipway::kube {

extern const std::string_view protobuf_messages[];
extern const unsigned long protobuf_message_count;

}  // namespace slipway::kube
