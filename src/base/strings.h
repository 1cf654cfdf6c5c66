// SPDX-License-Identifier: Apache-2.0
// Small text helpers that the standard library of GCC 12 lacks. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway {

std::vector<std::string_view> split(std::string_view text, char separator);            // "a,,b" has three parts
std::vector<std::string_view> split_lines(std::string_view text);                      // "\n" and "\r\n"; no empty last line
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);  // ASCII white space
std::string to_lower(std::string_view text);   // ASCII
bool equals_ignoring_case(std::string_view a, std::string_view b);  // ASCII
std::string replace_all(std::string text, std::string_view what, std::string_view with);
std::optional<std::int64_t> parse_int(std::string_view text);  // the whole text, decimal

std::string to_hex(std::string_view bytes);
std::string to_base64(std::string_view bytes);                    // RFC 4648 section 4, padded
std::string to_base64url(std::string_view bytes);                 // section 5, without padding
Result<std::string> from_base64(std::string_view text);           // white space is passed over; padding is required
Result<std::string> from_base64url(std::string_view text);
Result<std::string> from_hex(std::string_view text);

// Compares without telling by its time where the difference is: for secrets.
bool equals_in_constant_time(std::string_view a, std::string_view b);

// What a terminal or a log may show of text from outside: control characters become \xNN (T19).
std::string printable(std::string_view text);

}  // namespace slipway
