// SPDX-License-Identifier: Apache-2.0
#include "net/http1.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace slipway::net {
namespace {

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }
bool is_field_value(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return (static_cast<unsigned char>(c) < 32 && c != '\t') || c == 127; });
}

Result<Headers> parse_fields(std::string_view text, const HeadLimits& limits) {
  Headers headers;
  std::size_t count = 0;
  while (!text.empty()) {
    const auto end = text.find("\r\n");
    const auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 2);
    if (++count > limits.fields) return fail(ErrorCode::too_large, fmt::format("more than {} header fields", limits.fields));
    const auto colon = line.find(':');
    if (colon == line.npos || !is_token(line.substr(0, colon))) return fail(ErrorCode::invalid, "a header field has no valid name");
    const auto value = trim(line.substr(colon + 1));
    if (!is_field_value(value)) return fail(ErrorCode::invalid, "a header field has a control character");
    headers.add(std::string(line.substr(0, colon)), std::string(value));
  }
  return headers;
}

Result<std::optional<std::uint64_t>> content_length(const Headers& headers) {
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : headers.fields()) {
    if (!equals_ignoring_case(name, "Content-Length")) continue;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size()) return fail(ErrorCode::invalid, "Content-Length is not a number");
    if (length && *length != number) return fail(ErrorCode::invalid, "two different Content-Length fields");
    length = number;
  }
  return length;
}

Result<Framing> framing_of(const Headers& headers, Framing::Kind otherwise) {
  const auto length = TRY(content_length(headers));
  if (headers.has("Transfer-Encoding")) {
    if (length) return fail(ErrorCode::invalid, "both Content-Length and Transfer-Encoding");
    if (!equals_ignoring_case(headers.get("Transfer-Encoding"), "chunked"))
      return fail(ErrorCode::invalid, "a Transfer-Encoding other than chunked");
    return Framing{Framing::Kind::chunked, 0};
  }
  if (length) return Framing{*length ? Framing::Kind::length : Framing::Kind::none, *length};
  return Framing{otherwise, 0};
}

bool keeps_alive(const Headers& headers, bool http_1_0) {
  for (const auto part : split(headers.get("Connection"), ',')) {
    if (equals_ignoring_case(trim(part), "close")) return false;
    if (equals_ignoring_case(trim(part), "keep-alive")) return true;
  }
  return !http_1_0;
}

struct HeadText {
  std::string_view first_line, fields;
  std::size_t size = 0;
};

Result<std::optional<HeadText>> find_head(std::string_view bytes, const HeadLimits& limits) {
  const auto end = bytes.substr(0, limits.bytes + 4).find("\r\n\r\n");
  if (end == bytes.npos) {
    if (bytes.size() >= limits.bytes) return fail(ErrorCode::too_large, fmt::format("a head of more than {} bytes", limits.bytes));
    return std::nullopt;
  }
  const auto line = bytes.find("\r\n");
  return HeadText{bytes.substr(0, line), line == end ? std::string_view() : bytes.substr(line + 2, end - line - 2), end + 4};
}

Result<bool> is_http_1_0(std::string_view version) {
  if (version == "HTTP/1.1") return false;
  if (version == "HTTP/1.0") return true;
  return fail(ErrorCode::invalid, "not HTTP/1.1");
}

}  // namespace

Result<std::optional<RequestText>> parse_request(std::string_view bytes, const HeadLimits& limits) {
  // A client that speaks TLS to this port is told at once: it waits for our answer, and we would for the rest of a line.
  if (!bytes.empty() && !is_token_char(bytes.front()) && bytes.front() != '\r' && bytes.front() != '\n') return fail(ErrorCode::invalid, "not an HTTP request line");
  const auto head = TRY(find_head(bytes, limits));
  if (!head) return std::nullopt;
  const auto parts = split(head->first_line, ' ');
  if (parts.size() != 3 || !is_token(parts[0]) || parts[1].empty() || !is_field_value(parts[1]))
    return fail(ErrorCode::invalid, "not an HTTP request line");
  RequestText request;
  const bool old = TRY(is_http_1_0(parts[2]));
  request.method = std::string(parts[0]);
  request.target = std::string(parts[1]);
  request.headers = TRY(parse_fields(head->fields, limits));
  request.framing = TRY(framing_of(request.headers, Framing::Kind::none));
  request.keep_alive = keeps_alive(request.headers, old);
  request.size = head->size;
  return request;
}

Result<std::optional<ResponseText>> parse_response(std::string_view bytes, std::string_view method, const HeadLimits& limits) {
  const auto head = TRY(find_head(bytes, limits));
  if (!head) return std::nullopt;
  const auto line = head->first_line;
  if (line.size() < 12 || line[8] != ' ') return fail(ErrorCode::invalid, "not an HTTP status line");
  ResponseText response;
  const bool old = TRY(is_http_1_0(line.substr(0, 8)));
  response.status = static_cast<int>(parse_int(line.substr(9, 3)).value_or(0));
  if (response.status < 100) return fail(ErrorCode::invalid, "not an HTTP status");
  response.headers = TRY(parse_fields(head->fields, limits));
  const bool bodiless = method == "HEAD" || response.status < 200 || response.status == 204 || response.status == 304;
  if (!bodiless) response.framing = TRY(framing_of(response.headers, Framing::Kind::until_close));
  response.keep_alive = keeps_alive(response.headers, old) && response.framing.kind != Framing::Kind::until_close;
  response.size = head->size;
  return response;
}

Result<> ChunkedDecoder::read_size(std::string_view line) {
  const auto digits = trim(line.substr(0, line.find(';')));
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    return fail(ErrorCode::invalid, "a chunk without a valid size");
  state_ = left_ == 0 ? State::trailer : State::data;
  return {};
}

Result<> ChunkedDecoder::feed(std::string_view& bytes, std::string& out) {
  constexpr std::size_t max_line = 4096;
  while (!bytes.empty() && state_ != State::ended) {
    if (state_ == State::data) {
      const auto n = std::min<std::uint64_t>(left_, bytes.size());
      out.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if ((left_ -= n) == 0) state_ = State::data_end;
      continue;
    }
    const auto end = bytes.find('\n');
    line_.append(bytes.substr(0, end == bytes.npos ? end : end + 1));
    bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
    if (line_.size() > max_line || (trailer_bytes_ += state_ == State::trailer ? 1 : 0) > 100)
      return fail(ErrorCode::too_large, "a chunk's line or trailer is too long");
    if (!line_.ends_with('\n')) return {};
    if (!line_.ends_with("\r\n")) return fail(ErrorCode::invalid, "a chunk's line does not end with CR LF");
    const std::string line = line_.substr(0, line_.size() - 2);
    line_.clear();
    if (state_ == State::size) {
      TRY(read_size(line));
    } else if (!line.empty() && state_ == State::data_end) {
      return fail(ErrorCode::invalid, "a chunk is longer than its size");
    } else if (state_ == State::data_end) {
      state_ = State::size;
    } else if (line.empty()) {
      state_ = State::ended;
    }
  }
  return {};
}

std::string_view status_text(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 507: return "Insufficient Storage";
    default: return "Status";
  }
}

std::string format_response_head(int status, const Headers& headers, std::string_view date) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status, status_text(status), date);
  for (const auto& [name, value] : headers.fields()) ((((out += name) += ": ") += value) += "\r\n");
  return out += "\r\n";
}

std::string chunk(std::string_view bytes) {
  if (bytes.empty()) return "0\r\n\r\n";
  return (fmt::format("{:x}\r\n", bytes.size()) += bytes) += "\r\n";
}

}  // namespace slipway::net
