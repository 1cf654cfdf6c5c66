// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/ignore.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::dockerfile {
namespace {

enum class Kind { one, any_but_slash, set, star, anything, folders };  // folders: nothing, or whole components and a slash

struct Token {
  Kind kind = Kind::one;
  char c = 0;
  bool negated = false;
  std::vector<std::pair<char, char>> ranges;
};

std::unexpected<Error> malformed(std::string_view pattern) { return fail(ErrorCode::invalid, fmt::format("the pattern is malformed: {}", printable(pattern))); }

// A character of a set, after a backslash literally.
Result<char> set_character(std::string_view pattern, std::size_t& at) {
  if (at >= pattern.size() || pattern[at] == '-' || pattern[at] == ']') return malformed(pattern);
  if (pattern[at] == '\\' && ++at >= pattern.size()) return malformed(pattern);
  return pattern[at++];
}

Result<Token> set_token(std::string_view pattern, std::size_t& at) {
  Token out{.kind = Kind::set};
  ++at;
  if (at < pattern.size() && pattern[at] == '^') out.negated = true, ++at;
  while (at < pattern.size() && (pattern[at] != ']' || out.ranges.empty())) {
    const char low = TRY(set_character(pattern, at));
    char high = low;
    if (at < pattern.size() && pattern[at] == '-') high = TRY(set_character(pattern, ++at));
    out.ranges.emplace_back(low, high);
  }
  if (at++ >= pattern.size()) return malformed(pattern);
  return out;
}

enum class DoubleStar { is_two_stars, crosses_folders };

Result<std::vector<Token>> tokens_of(std::string_view pattern, DoubleStar double_star) {
  if (pattern.size() > max_pattern) return fail(ErrorCode::too_large, fmt::format("a pattern of more than {} bytes", max_pattern));
  std::vector<Token> out;
  for (std::size_t at = 0; at < pattern.size();) {
    const char c = pattern[at];
    if (c == '*' && double_star == DoubleStar::crosses_folders && pattern.substr(at).starts_with("**")) {
      at += 2;
      if (at < pattern.size() && pattern[at] == '/') ++at;
      out.push_back({.kind = at >= pattern.size() ? Kind::anything : Kind::folders});
    } else if (c == '*') {
      out.push_back({.kind = Kind::star});
      ++at;
    } else if (c == '?') {
      out.push_back({.kind = Kind::any_but_slash});
      ++at;
    } else if (c == '[') {
      out.push_back(TRY(set_token(pattern, at)));
    } else {
      if (c == '\\' && ++at >= pattern.size()) return malformed(pattern);
      out.push_back({.kind = Kind::one, .c = pattern[at++]});
    }
  }
  return out;
}

bool fits(const Token& token, char c) {
  if (token.kind == Kind::one) return token.c == c;
  if (c == '/') return false;
  if (token.kind == Kind::any_but_slash) return true;
  const bool inside = std::ranges::any_of(token.ranges, [c](const auto& r) { return r.first <= c && c <= r.second; });
  return inside != token.negated;
}

// now[k]: the tokens so far fit the first k characters.
bool run(const std::vector<Token>& tokens, std::string_view text) {
  std::vector<char> now(text.size() + 1, 0), next;
  now[0] = 1;
  for (const Token& token : tokens) {
    next.assign(text.size() + 1, 0);
    char reach = 0;
    for (std::size_t k = 0; k <= text.size(); ++k) {
      switch (token.kind) {
        case Kind::star:
          if (k > 0 && text[k - 1] == '/') reach = 0;
          next[k] = reach = static_cast<char>(reach | now[k]);
          break;
        case Kind::anything: next[k] = reach = static_cast<char>(reach | now[k]); break;
        case Kind::folders:
          next[k] = static_cast<char>(now[k] | (k > 0 && text[k - 1] == '/' ? reach : 0));
          reach = static_cast<char>(reach | now[k]);
          break;
        default:
          if (k < text.size() && now[k] && fits(token, text[k])) next[k + 1] = 1;
      }
    }
    now.swap(next);
  }
  return now[text.size()] != 0;
}

}  // namespace

std::string clean_path(std::string_view path) {
  std::vector<std::string> parts;
  const bool absolute = path.starts_with('/');
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..") parts.pop_back();
    else if (part != ".." || !absolute) parts.emplace_back(part);
  }
  const std::string joined = join(parts, "/");
  return absolute ? "/" + joined : joined.empty() ? "." : joined;
}

bool is_glob(std::string_view path) { return path.find_first_of("*?[\\") != path.npos; }

Result<bool> glob_matches(std::string_view pattern, std::string_view name) { return run(TRY(tokens_of(pattern, DoubleStar::is_two_stars)), name); }

Result<IgnoreRules> IgnoreRules::parse(std::string_view text) {
  if (text.size() > max_ignore_file) return fail(ErrorCode::too_large, fmt::format("a .dockerignore of more than {} bytes", max_ignore_file));
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  IgnoreRules out;
  out.text_ = text;
  std::size_t number = 0;
  for (std::string_view line : split_lines(text)) {
    ++number;
    if (line.starts_with('#')) continue;
    line = trim(line);
    Rule rule;
    if (line.starts_with('!')) {
      rule.keeps = true;
      line = trim(line.substr(1));
      if (line.empty()) return fail(ErrorCode::invalid, fmt::format("illegal exclusion pattern: \"!\" (.dockerignore:{})", number));
    }
    if (line.empty()) continue;
    rule.pattern = clean_path(line);
    if (rule.pattern.size() > 1 && rule.pattern[0] == '/') rule.pattern.erase(0, 1);
    TRY(at(tokens_of(rule.pattern, DoubleStar::crosses_folders), fmt::format(".dockerignore:{}", number)));
    out.rules_.push_back(std::move(rule));
    if (out.rules_.size() > max_ignore_patterns) return fail(ErrorCode::too_large, fmt::format("more than {} patterns in .dockerignore", max_ignore_patterns));
  }
  return out;
}

bool IgnoreRules::ignores(std::string_view path) const {
  bool ignored = false;
  for (const Rule& rule : rules_) {
    if (rule.keeps != ignored) continue;  // it would change nothing
    const auto tokens = tokens_of(rule.pattern, DoubleStar::crosses_folders);
    if (!tokens) continue;
    bool fits_any = run(*tokens, path);
    for (std::size_t end = path.find('/'); !fits_any && end != path.npos; end = path.find('/', end + 1)) fits_any = run(*tokens, path.substr(0, end));
    if (fits_any) ignored = !rule.keeps;
  }
  return ignored;
}

}  // namespace slipway::dockerfile
