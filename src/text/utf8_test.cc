// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.h"

#include <doctest/doctest.h>

namespace slipway::text {

TEST_CASE("every code point that may be written reads back, and its bytes cut short do not") {
  for (std::uint32_t point = 0x80; point <= 0x10FFFF; point += point < 0x3000 ? 1 : 251) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    std::string text;
    append_utf8(point, text);
    REQUIRE(utf8_sequence(text) == text.size());
    REQUIRE(find_invalid_utf8(std::string(20, 'a') + text.substr(0, text.size() - 1)) == 20);
  }
}

}  // namespace slipway::text
