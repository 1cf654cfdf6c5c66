// SPDX-License-Identifier: Apache-2.0
// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace slipway::text {

// The length of the well-formed sequence that `bytes` starts with; 0 where it starts with none.
std::size_t utf8_sequence(std::string_view bytes) noexcept;
// The offset of the first ill-formed byte, or npos.
std::size_t find_invalid_utf8(std::string_view bytes) noexcept;
void append_utf8(std::uint32_t code_point, std::string& out);

}  // namespace slipway::text
