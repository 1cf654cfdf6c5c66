// SPDX-License-Identifier: Apache-2.0
// Words of a Dockerfile: quotes, escapes and variables as BuildKit's shell lexer reads them (docs.docker.com, Dockerfile
// reference, "Environment replacement"). Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::dockerfile {

// Absent: the variable is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

inline constexpr std::size_t max_word = 256 * 1024;  // after expansion: ENV a=$a$a doubles with every line
inline constexpr int max_nesting = 32;               // of ${a:-${b:-…}}

enum class Quotes { remove, keep };  // keep: the text of a here-document, where only variables mean something

// One word with its variables replaced: $x ${x} ${x:-w} ${x:+w} ${x:?w}, the three without colon, and the patterns
// ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r} ${x//p/r}.
Result<std::string> expand(std::string_view text, char escape, const Lookup& lookup, Quotes quotes = Quotes::remove);
// As above, cut at blanks outside of quotes, also at those that a variable brought.
Result<std::vector<std::string>> expand_words(std::string_view text, char escape, const Lookup& lookup);

// Cuts at blanks outside of quotes; quotes and escapes stay.
std::vector<std::string> split_words(std::string_view text, char escape);

}  // namespace slipway::dockerfile
