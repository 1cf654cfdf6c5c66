// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"

#include <doctest/doctest.h>

namespace slipway {
namespace {

TEST_CASE("split keeps empty parts; lines end with LF or CRLF") {
  CHECK(split("a,,b", ',') == std::vector<std::string_view>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string_view>{""});
  CHECK(split_lines("a\r\n\nb") == std::vector<std::string_view>{"a", "", "b"});
}

TEST_CASE("base64 follows the vectors of RFC 4648 section 10 and refuses what is not base64") {
  CHECK(to_base64("") == "");
  CHECK(to_base64("fo") == "Zm8=");
  CHECK(to_base64("foobar") == "Zm9vYmFy");
  CHECK(from_base64("Zm9v\nYg==").value() == "foob");
  CHECK(to_base64url("\xfb\xff") == "-_8");
  CHECK(from_base64url("-_8").value() == "\xfb\xff");
  CHECK(!from_base64("Zm8"));
  CHECK(!from_base64("Zm8*"));
  CHECK(!from_base64url("Z"));
}

TEST_CASE("hex goes both ways") {
  CHECK(to_hex(std::string_view("\x00\xff", 2)) == "00ff");
  CHECK(from_hex("00fF").value() == std::string("\x00\xff", 2));
  CHECK(!from_hex("0"));
  CHECK(!from_hex("0g"));
}

TEST_CASE("a constant-time comparison is still a comparison") {
  CHECK(equals_in_constant_time("abc", "abc"));
  CHECK(!equals_in_constant_time("abc", "abd"));
  CHECK(!equals_in_constant_time("abc", "abcabc"));
  CHECK(!equals_in_constant_time("a", ""));
}

TEST_CASE("terminal controls of outside text are shown, not obeyed") {
  CHECK(printable("a\x1b[31m\r\nb") == "a\\x1b[31m\\x0d\\x0ab");
  CHECK(printable("héllo") == "héllo");
}

TEST_CASE("a number is the whole text") {
  CHECK(parse_int("-12") == -12);
  CHECK(!parse_int("12x"));
  CHECK(!parse_int(""));
}

}  // namespace
}  // namespace slipway
