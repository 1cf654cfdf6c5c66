// SPDX-License-Identifier: Apache-2.0
#include "net/http1.h"

#include <doctest/doctest.h>

namespace slipway::net {
namespace {

Result<std::optional<RequestText>> request(std::string_view text) { return parse_request(text, {}); }

TEST_CASE("a TLS greeting where a request was expected is refused at its first byte") {
  CHECK(parse_request("\x16", {}).error().code == ErrorCode::invalid);
  CHECK(!parse_request("G", {}).value());
}

TEST_CASE("a request's head is taken apart; an incomplete one waits for more") {
  const auto got = request("POST /a?b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").value();
  REQUIRE(got);
  CHECK(got->method == "POST");
  CHECK(got->target == "/a?b=1");
  CHECK(got->headers.get("host") == "x");
  CHECK(got->framing.length == 5);
  CHECK(got->keep_alive);
  CHECK(!request("GET / HTTP/1.1\r\nHost: x\r\n").value());
}

TEST_CASE("what a proxy could read differently is refused") {
  CHECK(!request("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
  CHECK(!request("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"));
  CHECK(!request("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n"));
  CHECK(!request("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"));
  CHECK(!request("GET / HTTP/1.1\r\nHost : x\r\n\r\n"));
  CHECK(!request("GET / HTTP/1.1\r\n folded: x\r\n\r\n"));
  CHECK(!request("GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n"));
  CHECK(!request("GET /a b HTTP/1.1\r\n\r\n"));
  CHECK(!request("GET / HTTP/2.0\r\n\r\n"));
}

TEST_CASE("a head beyond the limits is too large") {
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  CHECK(request(many + "\r\n").error().code == ErrorCode::too_large);
  CHECK(request("GET /" + std::string(40'000, 'x')).error().code == ErrorCode::too_large);
}

TEST_CASE("a chunked body is the same however it arrives") {
  const std::string text = "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: z\r\n\r\nNEXT";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    ChunkedDecoder decoder;
    std::string out, rest;
    for (std::size_t i = 0; i < text.size() && !decoder.ended(); i += step) {
      std::string_view piece = std::string_view(text).substr(i, step);
      REQUIRE(decoder.feed(piece, out));
      rest = std::string(piece) + text.substr(std::min(i + step, text.size()));
    }
    CHECK(decoder.ended());
    CHECK(out == "hello world");
    CHECK(rest == "NEXT");
  }
}

TEST_CASE("a malformed chunk is refused") {
  for (std::string_view text : {"x\r\n", "5\nhello", "5\r\nhelloX\r\n", "\r\n", "ffffffffffffffffff\r\n"}) {
    ChunkedDecoder decoder;
    std::string out;
    CHECK(!decoder.feed(text, out));
  }
}

TEST_CASE("an answer without length ends with its connection; HEAD and 204 have no body") {
  CHECK(parse_response("HTTP/1.1 200 OK\r\n\r\n", "GET", {}).value()->framing.kind == Framing::Kind::until_close);
  CHECK(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", {}).value()->framing.kind == Framing::Kind::none);
  CHECK(parse_response("HTTP/1.1 204 No Content\r\n\r\n", "GET", {}).value()->keep_alive);
}

TEST_CASE("a target is split and decoded once; a bad escape is refused") {
  const auto url = Url::parse_target("/a%2Fb/c?x=1%202&y&x=3+4").value();
  CHECK(url.path == "/a/b/c");
  CHECK(url.raw_path == "/a%2Fb/c");
  CHECK(url.param("x") == "1 2");
  CHECK(url.has_param("y"));
  CHECK(!Url::parse_target("/%zz"));
  CHECK(!Url::parse_target("/%00"));
  CHECK(!Url::parse_target("http://x/"));
  CHECK(percent_encode("a b/ü") == "a%20b%2F%C3%BC");
}

}  // namespace
}  // namespace slipway::net
