// SPDX-License-Identifier: Apache-2.0
// The words of a template. Internal to text/template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::text::gotmpl {

enum class Word : unsigned char {
  text, open, close, space, identifier, field, variable, dot, number, string, character, pipe, declare, assign, comma, left, right, end
};

struct Token {
  Word word = Word::end;
  std::string_view text;
  unsigned line = 1;
};

Result<std::vector<Token>> lex(std::string_view name, std::string_view source);
// What a quoted ("", '' or ``) literal means.
Result<std::string> unquote(std::string_view literal);

}  // namespace slipway::text::gotmpl
