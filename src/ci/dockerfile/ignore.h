// SPDX-License-Identifier: Apache-2.0
// Which files of a context a .dockerignore leaves out (docs.docker.com, ".dockerignore files"), and globs as Go's
// filepath.Match reads them. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::dockerfile {

inline constexpr std::size_t max_ignore_file = 1024 * 1024;
inline constexpr std::size_t max_ignore_patterns = 10'000;
inline constexpr std::size_t max_pattern = 4096;

// One component against one pattern without slashes: * ? [a-z] [^a] \x. A malformed pattern is an error.
Result<bool> glob_matches(std::string_view pattern, std::string_view name);
bool is_glob(std::string_view path);

class IgnoreRules final {
 public:
  static Result<IgnoreRules> parse(std::string_view text);
  // `path` is relative and clean ("a/b"). The last rule that fits it or a folder above it decides.
  bool ignores(std::string_view path) const;
  bool empty() const { return rules_.empty(); }
  const std::string& text() const { return text_; }  // as parsed

 private:
  struct Rule {
    std::string pattern;
    bool keeps = false;  // "!pattern"
  };
  std::vector<Rule> rules_;
  std::string text_;
};

// "a//b/./../c" -> "a/c"; "." for nothing. As Go's path.Clean, for relative and absolute paths.
std::string clean_path(std::string_view path);

}  // namespace slipway::dockerfile
