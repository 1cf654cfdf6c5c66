// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/words.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::dockerfile {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Shell patterns in ${x#p}: '*', '?' and a backslash before what is meant literally.
bool matches(std::string_view pattern, std::string_view text) {
  std::vector<bool> now(text.size() + 1, false), next;
  now[0] = true;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    next.assign(text.size() + 1, false);
    const bool literal = pattern[i] == '\\' && i + 1 < pattern.size();
    if (literal) ++i;
    if (pattern[i] == '*' && !literal) {
      bool any = false;
      for (std::size_t k = 0; k <= text.size(); ++k) next[k] = any = any || now[k];
    } else {
      for (std::size_t k = 0; k < text.size(); ++k) next[k + 1] = now[k] && ((pattern[i] == '?' && !literal) || pattern[i] == text[k]);
    }
    now.swap(next);
  }
  return now[text.size()];
}

enum class Greed { shortest, longest };

std::string without_prefix(std::string_view value, std::string_view pattern, Greed greed) {
  for (std::size_t i = 0; i <= value.size(); ++i) {
    const std::size_t size = greed == Greed::shortest ? i : value.size() - i;
    if (matches(pattern, value.substr(0, size))) return std::string(value.substr(size));
  }
  return std::string(value);
}

std::string without_suffix(std::string_view value, std::string_view pattern, Greed greed) {
  for (std::size_t i = 0; i <= value.size(); ++i) {
    const std::size_t start = greed == Greed::shortest ? value.size() - i : i;
    if (matches(pattern, value.substr(start))) return std::string(value.substr(0, start));
  }
  return std::string(value);
}

enum class Times { once, all };

std::string replaced(std::string_view value, std::string_view pattern, std::string_view with, Times times) {
  std::string out;
  bool done = false;
  for (std::size_t at = 0; at < value.size();) {
    std::size_t size = done ? 0 : value.size() - at;
    while (size > 0 && !matches(pattern, value.substr(at, size))) --size;
    if (size == 0) {
      out += value[at++];
      continue;
    }
    out += with;
    at += size;
    done = times == Times::once;
  }
  return out;
}

class Expander final {
 public:
  Expander(std::string_view text, char escape, const Lookup& lookup, Quotes quotes) : text_(text), escape_(escape), lookup_(lookup), quotes_(quotes) {}

  Result<std::string> whole() {
    std::string out = TRY(until('\0', 0));
    end_word();
    return out;
  }
  std::vector<std::string> words() { return std::move(words_); }

 private:
  bool more() const { return at_ < text_.size(); }

  // Up to the character `stop`, which is taken; NUL: to the end.
  Result<std::string> until(char stop, int depth) {
    if (depth > max_nesting) return fail(ErrorCode::too_large, fmt::format("variables are nested deeper than {} levels", max_nesting));
    std::string out;
    while (more()) {
      const char c = text_[at_];
      if (stop != '\0' && c == stop) return ++at_, out;
      if (quotes_ == Quotes::remove && (c == '\'' || c == '"')) {
        const std::string piece = TRY(c == '\'' ? single_quoted() : double_quoted(depth));
        if (depth == 0) add_quoted(piece);
        out += piece;
      } else if (c == '$') {
        const std::string piece = TRY(variable(depth));
        if (depth == 0) add_unquoted(piece);
        out += piece;
      } else if (c == escape_) {
        if (quotes_ == Quotes::keep) out += c;
        if (++at_ >= text_.size()) break;
        if (depth == 0) add_quoted(text_.substr(at_, 1));
        out += text_[at_++];
      } else {
        if (depth == 0) add_unquoted(text_.substr(at_, 1));
        out += c;
        ++at_;
      }
      if (out.size() > max_word) return fail(ErrorCode::too_large, fmt::format("a word of more than {} bytes", max_word));
    }
    if (stop != '\0') return fail(ErrorCode::invalid, fmt::format("the text ends before the closing {}", stop));
    return out;
  }

  Result<std::string> single_quoted() {
    const auto end = text_.find('\'', ++at_);
    if (end == text_.npos) return fail(ErrorCode::invalid, "a single quote is not closed");
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }

  Result<std::string> double_quoted(int depth) {
    std::string out;
    for (++at_; more();) {
      const char c = text_[at_];
      if (c == '"') return ++at_, out;
      if (c == '$') {
        out += TRY(variable(depth));
        if (out.size() > max_word) return fail(ErrorCode::too_large, fmt::format("a word of more than {} bytes", max_word));
        continue;
      }
      if (c == escape_ && at_ + 1 < text_.size()) {
        const char next = text_[at_ + 1];
        if (next != '"' && next != '$' && next != escape_) out += c;
        out += next;
        at_ += 2;
        continue;
      }
      out += c;
      ++at_;
    }
    return fail(ErrorCode::invalid, "a double quote is not closed");
  }

  std::string name() {
    const std::size_t start = at_;
    if (more() && is_letter(text_[at_])) {
      while (more() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    } else if (more() && is_digit(text_[at_])) {
      while (more() && is_digit(text_[at_])) ++at_;
    } else if (more() && std::string_view("@*#?-$!").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
    return std::string(text_.substr(start, at_ - start));
  }

  Result<std::string> variable(int depth) {
    ++at_;
    if (!more() || text_[at_] != '{') {
      const std::string plain = name();
      return plain.empty() ? "$" : lookup_(plain).value_or("");
    }
    ++at_;
    const std::string plain = name();
    if (plain.empty()) return fail(ErrorCode::invalid, "${ is not followed by the name of a variable");
    if (!more()) return fail(ErrorCode::invalid, fmt::format("${{{} is not closed", plain));
    const std::optional<std::string> value = lookup_(plain);
    const char c = text_[at_++];
    if (c == '}') return value.value_or("");
    if (c == ':' && more()) return conditional(plain, value && !value->empty() ? value : std::nullopt, text_[at_++], value, depth);
    if (c == '-' || c == '+' || c == '?') return conditional(plain, value, c, value, depth);
    if (c == '#' || c == '%') return trimmed(value.value_or(""), c, depth);
    if (c == '/') return substituted(value.value_or(""), depth);
    return fail(ErrorCode::invalid, fmt::format("${{{}{}…}} is not supported", plain, printable(std::string_view(&c, 1))));
  }

  Result<std::string> conditional(const std::string& plain, const std::optional<std::string>& set, char modifier, const std::optional<std::string>& value, int depth) {
    const std::string word = TRY(until('}', depth + 1));
    if (modifier == '-') return set ? *value : word;
    if (modifier == '+') return set ? word : "";
    if (modifier != '?') return fail(ErrorCode::invalid, fmt::format("${{{}:{}…}} is not supported", plain, printable(std::string_view(&modifier, 1))));
    if (!set) return fail(ErrorCode::invalid, fmt::format("{}: {}", plain, word.empty() ? "is not allowed to be unset" : word));
    return *value;
  }

  Result<std::string> trimmed(const std::string& value, char side, int depth) {
    const bool doubled = more() && text_[at_] == side;
    if (doubled) ++at_;
    const std::string pattern = TRY(until('}', depth + 1));
    const Greed greed = doubled ? Greed::longest : Greed::shortest;
    TRY(check_size(value, pattern));
    return side == '#' ? without_prefix(value, pattern, greed) : without_suffix(value, pattern, greed);
  }

  Result<std::string> substituted(const std::string& value, int depth) {
    const bool all = more() && text_[at_] == '/';
    if (all) ++at_;
    const std::string pattern = TRY(until('/', depth + 1));
    const std::string with = TRY(until('}', depth + 1));
    TRY(check_size(value, pattern));
    return replaced(value, pattern, with, all ? Times::all : Times::once);
  }

  // A pattern is tried against every part of the value.
  static Result<> check_size(const std::string& value, const std::string& pattern) {
    constexpr std::size_t limit = 4096;
    if (value.size() <= limit && pattern.size() <= limit / 16) return {};
    return fail(ErrorCode::too_large, "a pattern in ${…} is applied to values of at most 4096 bytes");
  }

  void add_quoted(std::string_view piece) {
    word_ += piece;
    in_word_ = true;
  }
  void add_unquoted(std::string_view piece) {
    for (const char c : piece) {
      if (is_blank(c)) end_word();
      else add_quoted(std::string_view(&c, 1));
    }
  }
  void end_word() {
    if (in_word_) words_.push_back(std::exchange(word_, {}));
    in_word_ = false;
  }

  const std::string_view text_;
  const char escape_;
  const Lookup& lookup_;
  const Quotes quotes_;
  std::size_t at_ = 0;
  std::vector<std::string> words_;
  std::string word_;
  bool in_word_ = false;
};

}  // namespace

Result<std::string> expand(std::string_view text, char escape, const Lookup& lookup, Quotes quotes) { return Expander(text, escape, lookup, quotes).whole(); }

Result<std::vector<std::string>> expand_words(std::string_view text, char escape, const Lookup& lookup) {
  Expander expander(text, escape, lookup, Quotes::remove);
  TRY(expander.whole());
  return expander.words();
}

std::vector<std::string> split_words(std::string_view text, char escape) {
  std::vector<std::string> out;
  std::string word;
  char quote = '\0';
  bool in_word = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\0' && is_blank(c)) {
      if (in_word) out.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    in_word = true;
    word += c;
    if (c == escape && quote != '\'' && i + 1 < text.size()) word += text[++i];
    else if (quote == '\0' && (c == '"' || c == '\'')) quote = c;
    else if (c == quote) quote = '\0';
  }
  if (in_word) out.push_back(word);
  return out;
}

}  // namespace slipway::dockerfile
