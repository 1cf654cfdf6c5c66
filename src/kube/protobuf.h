// SPDX-License-Identifier: Apache-2.0
// Objects that clients send as application/vnd.kubernetes.protobuf, as JSON.
//
// Source: the "k8s\0" envelope of runtime.Unknown and the API's published message definitions. Fields that the table
// does not know are passed over; a message kind that it does not know is refused. Zeros that Go always writes are left
// out, except where zero is a choice (replicas: 0). Pure.
#pragma once

#include "text/json.h"

namespace slipway::kube {

constexpr std::string_view protobuf_type = "application/vnd.kubernetes.protobuf";

// not_found for a kind that is not served; invalid for bytes that are no such message.
Result<text::Json> decode_protobuf(std::string_view bytes);

}  // namespace slipway::kube
