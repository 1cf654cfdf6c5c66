// SPDX-License-Identifier: Apache-2.0
// Failure: what a refused request answers, in the words of Kubernetes' Status. Answer<T>: a value or a Failure.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::api {

using text::Json;

struct Cause {
  std::string reason;  // FieldValueRequired, FieldValueInvalid, …
  std::string field, message;
};

struct Failure {
  int code = 500;
  std::string reason, message;
  std::string group, kind, name;  // details
  std::vector<Cause> causes;

  Failure(int code, std::string reason, std::string message)
      : code(code), reason(std::move(reason)), message(std::move(message)) {}
  Failure(const Error& error);  // by kube's table of codes
  Json to_status() const;
};

template <class T = void>
using Answer = std::expected<T, Failure>;

std::unexpected<Failure> bad_request(std::string message);
std::unexpected<Failure> invalid(const Json& object, std::vector<Cause> causes);  // 422
Cause required(std::string field);
Cause invalid_value(std::string field, const Json& value, std::string_view why);
Cause unsupported_value(std::string field, const Json& value, const std::vector<std::string>& supported);
Cause immutable_field(std::string field, const Json& value);

}  // namespace slipway::api

namespace slipway::detail {
template <class T>
T take(api::Answer<T>&& answer) { return std::move(*answer); }
inline void take(api::Answer<void>&&) {}
}  // namespace slipway::detail
