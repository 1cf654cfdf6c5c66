// SPDX-License-Identifier: Apache-2.0
// The text of HTTP/1.1 (RFC 9112): heads of messages and the framing of bodies. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace slipway::net {

struct HeadLimits {
  std::size_t bytes = 32 * 1024;
  std::size_t fields = 100;
};

// How long a message's body is.
struct Framing {
  enum class Kind { none, length, chunked, until_close };
  Kind kind = Kind::none;
  std::uint64_t length = 0;
};

struct RequestText {
  std::string method;
  std::string target;
  Headers headers;
  Framing framing;
  bool keep_alive = true;
  std::size_t size = 0;  // bytes of the head
};

struct ResponseText {
  int status = 0;
  Headers headers;
  Framing framing;
  bool keep_alive = true;
  std::size_t size = 0;
};

// Nothing while the head is incomplete. too_large beyond the limits (431); invalid for anything ambiguous: both
// Content-Length and Transfer-Encoding, two different lengths, a bare CR or LF, white space before a colon.
Result<std::optional<RequestText>> parse_request(std::string_view bytes, const HeadLimits& limits);
Result<std::optional<ResponseText>> parse_response(std::string_view bytes, std::string_view method, const HeadLimits& limits);

// Takes a chunked body apart as it comes.
class ChunkedDecoder final {
 public:
  // Consumes from the front of `bytes` (which is shortened), appends content to `out`.
  Result<> feed(std::string_view& bytes, std::string& out);
  bool ended() const { return state_ == State::ended; }

 private:
  enum class State { size, data, data_end, trailer, ended };
  Result<> read_size(std::string_view line);
  State state_ = State::size;
  std::uint64_t left_ = 0;
  std::string line_;
  std::size_t trailer_bytes_ = 0;
};

std::string_view status_text(int status);
// Head of a response; `headers` as they are, with Date.
std::string format_response_head(int status, const Headers& headers, std::string_view date);
std::string chunk(std::string_view bytes);  // empty: the last one

}  // namespace slipway::net
