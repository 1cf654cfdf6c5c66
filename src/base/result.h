// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error; TRY: take the value or return the error.
//
// An Error has a code (what kind of failure, decided where it happens), a message for a person, and a trail of places
// added on the way up ("values.yaml:3:7", "chart web"). Nothing in this project throws; exceptions of third-party code
// stop at its wrapper.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway {

enum class ErrorCode {
  invalid, unauthenticated, forbidden, not_found, already_exists, conflict, expired, too_large, throttled, timeout,
  unavailable, no_space, internal
};

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::vector<std::string> places;  // innermost first

  // "needs names no node: deploy (pipeline.yaml:12:9, repository shop)"
  std::string to_string() const {
    std::string text = message;
    for (std::size_t i = 0; i < places.size(); ++i) text += (i == 0 ? " (" : ", ") + places[i];
    return places.empty() ? text : text + ")";
  }
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, std::move(message), {}});
}

// Adds where to an error that passes by: return at(load(file), file.path());
template <class T>
Result<T> at(Result<T> result, std::string_view place) {
  if (!result) result.error().places.emplace_back(place);
  return result;
}

namespace detail {
template <class T>
T take(Result<T>&& result) { return std::move(*result); }
inline void take(Result<void>&&) {}
}  // namespace detail

}  // namespace slipway

// auto graph = TRY(parse(text));   TRY(store.write(graph));
#define TRY(...)                                                                      \
  __extension__({                                                                     \
    auto try_result = (__VA_ARGS__);                                                  \
    if (!try_result) return std::unexpected(std::move(try_result).error());           \
    ::slipway::detail::take(std::move(try_result));                                   \
  })
