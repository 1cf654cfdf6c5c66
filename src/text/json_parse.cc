// SPDX-License-Identifier: Apache-2.0
#include <emmintrin.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/json.h"
#include "text/json_builder.h"
#include "text/utf8.h"

namespace slipway::text {
namespace {

// The first byte at or after `at` that ends a plain run of string bytes: a quote, a backslash or a control byte.
const char* skip_plain(const char* at, const char* end) {
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i control = _mm_set1_epi8(31);
  while (end - at >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)),
                                         _mm_cmpeq_epi8(_mm_min_epu8(block, control), block));
    const int mask = _mm_movemask_epi8(special);
    if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
    at += 16;
  }
  while (at < end && *at != '"' && *at != '\\' && static_cast<unsigned char>(*at) > 31) ++at;
  return at;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  Parser(std::string_view text, const JsonLimits& limits, std::vector<std::string>* duplicates)
      : text_(text), at_(text.data()), end_(text.data() + text.size()), limits_(limits), duplicates_(duplicates) {}

  Result<Json> parse() {
    if (text_.starts_with("\xEF\xBB\xBF")) return error("a byte order mark is not allowed");
    if (const auto bad = find_invalid_utf8(text_); bad != std::string_view::npos) {
      at_ = text_.data() + bad;
      return error("invalid UTF-8");
    }
    Json value;
    if (!parse_value(value, 0)) return std::unexpected(std::move(error_));
    skip_space();
    if (at_ != end_) return error("unexpected text after the value");
    return value;
  }

 private:
  std::unexpected<Error> error(std::string_view what, ErrorCode code = ErrorCode::invalid) {
    const std::string_view before(text_.data(), static_cast<std::size_t>(at_ - text_.data()));
    const auto line = std::ranges::count(before, '\n') + 1;
    const auto line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    return fail(code, fmt::format("{}:{}: {}", line, before.size() - line_start + 1, what));
  }

  bool stop(std::string_view what, ErrorCode code = ErrorCode::invalid) {
    error_ = error(what, code).error();
    return false;
  }

  bool unexpected_byte(std::string_view wanted) {
    if (at_ == end_) return stop(fmt::format("unexpected end, expected {}", wanted));
    return stop(fmt::format("expected {}", wanted));
  }

  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  bool parse_value(Json& out, std::size_t depth) {
    skip_space();
    if (at_ == end_) return unexpected_byte("a value");
    if (++values_ > limits_.values)
      return stop(fmt::format("more than {} values", limits_.values), ErrorCode::too_large);
    switch (*at_) {
      case '{':
      case '[':
        if (depth >= limits_.depth)
          return stop(fmt::format("nested deeper than {}", limits_.depth), ErrorCode::too_large);
        return *at_ == '{' ? parse_object(out, depth) : parse_array(out, depth);
      case '"': {
        std::string_view text;
        if (!parse_string(text)) return false;
        out = Json(text);
        return true;
      }
      case 't':
        return parse_literal("true", Json(true), out);
      case 'f':
        return parse_literal("false", Json(false), out);
      case 'n':
        return parse_literal("null", Json(), out);
      default:
        return parse_number(out);
    }
  }

  bool parse_literal(std::string_view literal, Json value, Json& out) {
    if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(literal))
      return unexpected_byte("a value");
    at_ += literal.size();
    out = std::move(value);
    return true;
  }

  bool parse_array(Json& out, std::size_t depth) {
    ++at_;
    const std::size_t base = items_.size();
    skip_space();
    bool more = at_ == end_ || *at_ != ']';
    if (!more) ++at_;
    while (more) {
      Json item;
      if (!parse_value(item, depth + 1)) return false;
      items_.push_back(std::move(item));
      if (!parse_separator(']', more)) return false;
    }
    out = JsonBuilder::array(std::span(items_).subspan(base));
    items_.resize(base);
    return true;
  }

  bool parse_object(Json& out, std::size_t depth) {
    ++at_;
    const std::size_t base = members_.size();
    skip_space();
    bool more = at_ == end_ || *at_ != '}';
    if (!more) ++at_;
    while (more) {
      skip_space();
      if (at_ == end_ || *at_ != '"') return unexpected_byte("a quoted key");
      std::string_view key;
      if (!parse_string(key)) return false;
      members_.emplace_back(key, Json());
      skip_space();
      if (at_ == end_ || *at_ != ':') return unexpected_byte("':'");
      ++at_;
      Json value;
      if (!parse_value(value, depth + 1)) return false;
      members_.back().value = std::move(value);
      if (!parse_separator('}', more)) return false;
    }
    return finish_object(out, base);
  }

  bool finish_object(Json& out, std::size_t base) {
    std::vector<std::string> repeated;
    out = JsonBuilder::object(std::span(members_).subspan(base), &repeated);
    members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(base), members_.end());
    if (repeated.empty()) return true;
    if (limits_.refuse_duplicate_keys) return stop(fmt::format("key \"{}\" already set in map", repeated.front()));
    if (duplicates_ != nullptr) duplicates_->insert(duplicates_->end(), repeated.begin(), repeated.end());
    return true;
  }

  bool parse_separator(char close, bool& more) {
    skip_space();
    if (at_ == end_ || (*at_ != ',' && *at_ != close))
      return unexpected_byte(close == ']' ? "',' or ']'" : "',' or '}'");
    more = *at_++ == ',';
    return true;
  }

  // The view is into the input, or into scratch_ where an escape had to be undone.
  bool parse_string(std::string_view& out) {
    const char* start = ++at_;
    at_ = skip_plain(at_, end_);
    if (at_ < end_ && *at_ == '"') {
      out = {start, static_cast<std::size_t>(at_++ - start)};
      return true;
    }
    scratch_.assign(start, at_);
    while (at_ < end_ && *at_ != '"') {
      if (static_cast<unsigned char>(*at_) < 32) return stop("a control character in a string must be escaped");
      if (*at_ == '\\' && !parse_escape()) return false;
      const char* plain = at_;
      at_ = skip_plain(at_, end_);
      scratch_.append(plain, at_);
    }
    if (at_ == end_) return unexpected_byte("'\"'");
    ++at_;
    out = scratch_;
    return true;
  }

  bool parse_escape() {
    static constexpr std::string_view names = "\"\\/bfnrt";
    static constexpr std::string_view bytes = "\"\\/\b\f\n\r\t";
    if (end_ - at_ < 2) return unexpected_byte("an escape");
    const char name = at_[1];
    if (name == 'u') return parse_unicode_escape();
    const auto which = names.find(name);
    if (which == std::string_view::npos) return stop("an unknown escape");
    scratch_ += bytes[which];
    at_ += 2;
    return true;
  }

  // at_ stands on the backslash; -1 where four hexadecimal digits do not follow "\u".
  int hex_escape() const {
    if (end_ - at_ < 6 || at_[0] != '\\' || at_[1] != 'u') return -1;
    int value = 0;
    const auto read = std::from_chars(at_ + 2, at_ + 6, value, 16);
    return read.ptr == at_ + 6 && at_[2] != '-' ? value : -1;
  }

  // A surrogate without its other half becomes U+FFFD, as Go reads it.
  bool parse_unicode_escape() {
    const int first = hex_escape();
    if (first < 0) return stop("\\u needs four hexadecimal digits");
    at_ += 6;
    if (first < 0xD800 || first > 0xDFFF) return append_utf8(static_cast<std::uint32_t>(first), scratch_), true;
    const int second = first < 0xDC00 ? hex_escape() : -1;
    if (second < 0xDC00 || second > 0xDFFF) return append_utf8(0xFFFD, scratch_), true;
    at_ += 6;
    append_utf8(static_cast<std::uint32_t>(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)), scratch_);
    return true;
  }

  bool skip_digits() {
    const char* start = at_;
    while (at_ < end_ && is_digit(*at_)) ++at_;
    return at_ != start;
  }

  bool parse_number(Json& out) {
    const char* start = at_;
    bool whole = true;
    if (*at_ == '-') ++at_;
    if (at_ < end_ && *at_ == '0')
      ++at_;
    else if (!skip_digits())
      return unexpected_byte("a value");
    if (at_ < end_ && *at_ == '.') {
      ++at_;
      whole = false;
      if (!skip_digits()) return unexpected_byte("a digit");
    }
    if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      whole = false;
      if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!skip_digits()) return unexpected_byte("a digit");
    }
    return whole && convert<std::int64_t>(start, out)                     ? true
           : whole && *start != '-' && convert<std::uint64_t>(start, out) ? true
           : convert<double>(start, out)                                  ? true
                                                                          : stop("a number out of range");
  }

  template <class T>
  bool convert(const char* start, Json& out) {
    T value{};
    const auto read = std::from_chars(start, at_, value);
    // Too small a float is 0, as Go reads it; too large a one is refused.
    if constexpr (std::is_same_v<T, double>) {
      if (read.ec == std::errc::result_out_of_range) value = std::strtod(std::string(start, at_).c_str(), nullptr);
      if (!std::isfinite(value)) return false;
    } else if (read.ec != std::errc()) {
      return false;
    }
    out = Json(value);
    return true;
  }

  std::string_view text_;
  const char* at_;
  const char* end_;
  const JsonLimits& limits_;
  std::vector<std::string>* duplicates_;
  std::size_t values_ = 0;
  std::vector<Json> items_;
  std::vector<JsonMember> members_;
  std::string scratch_;
  Error error_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits, std::vector<std::string>* duplicates) {
  return Parser(text, limits, duplicates).parse();
}

}  // namespace slipway::text
