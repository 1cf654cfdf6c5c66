// SPDX-License-Identifier: Apache-2.0
#include "text/yaml_resolve.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace slipway::text {
namespace {

constexpr std::string_view kTrue[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
constexpr std::string_view kFalse[] = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
constexpr std::string_view kNull[] = {"", "~", "null", "Null", "NULL"};
constexpr std::string_view kNan[] = {".nan", ".NaN", ".NAN"};
constexpr std::string_view kInfinity[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"};
constexpr std::string_view kMinusInfinity[] = {"-.inf", "-.Inf", "-.INF"};

template <std::size_t N>
bool is_one_of(std::string_view text, const std::string_view (&words)[N]) {
  return std::ranges::find(words, text) != std::end(words);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_at(std::string_view text, std::size_t at) {
  const std::size_t start = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return at - start;
}

std::optional<Json> word(std::string_view text) {
  if (text.size() > 5) return std::nullopt;
  if (is_one_of(text, kTrue)) return Json(true);
  if (is_one_of(text, kFalse)) return Json(false);
  if (is_one_of(text, kNull)) return Json();
  if (is_one_of(text, kNan)) return Json(std::numeric_limits<double>::quiet_NaN());
  if (is_one_of(text, kInfinity)) return Json(std::numeric_limits<double>::infinity());
  if (is_one_of(text, kMinusInfinity)) return Json(-std::numeric_limits<double>::infinity());
  return std::nullopt;
}

// A prefix 0x, 0o, 0b or 0 gives the base.
std::optional<Json> integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text.substr(negative || text.starts_with('+') ? 1 : 0);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    digits.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
  }
  std::uint64_t size = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), size, base);
  if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
  if (!negative) return Json(size);
  if (size > std::uint64_t{1} << 63) return std::nullopt;
  return Json(static_cast<std::int64_t>(~size + 1));
}

bool has_float_form(std::string_view text) {
  std::size_t at = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const std::size_t whole = digits_at(text, at);
  at += whole;
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = digits_at(text, at + 1);
    if (whole == 0 && fraction == 0) return false;
    at += 1 + fraction;
  } else if (whole == 0) {
    return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const std::size_t exponent = digits_at(text, at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == text.size();
}

std::optional<Json> floating(std::string_view text) {
  if (!has_float_form(text)) return std::nullopt;
  const double value = std::strtod(std::string(text).c_str(), nullptr);
  if (!std::isfinite(value)) return std::nullopt;
  return Json(value);
}

bool skip_number(std::string_view& text, std::size_t least, std::size_t most, int low, int high) {
  const std::size_t count = std::min(digits_at(text, 0), most);
  int value = 0;
  std::from_chars(text.data(), text.data() + count, value);
  text.remove_prefix(count);
  return count >= least && value >= low && value <= high;
}

bool skip_char(std::string_view& text, std::string_view one_of) {
  if (text.empty() || one_of.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

bool is_clock_time(std::string_view text, char separator) {
  if (!skip_number(text, 1, 2, 0, 23) || !skip_char(text, ":") || !skip_number(text, 1, 2, 0, 59) ||
      !skip_char(text, ":") || !skip_number(text, 1, 2, 0, 59))
    return false;
  if (skip_char(text, ".") && !skip_number(text, 1, text.size(), std::numeric_limits<int>::min(), std::numeric_limits<int>::max()))
    return false;
  if (separator == ' ') return text.empty();
  if (text == "Z") return true;
  return skip_char(text, "+-") && skip_number(text, 2, 2, 0, 24) && skip_char(text, ":") && skip_number(text, 2, 2, 0, 60) &&
         text.empty();
}

}  // namespace

bool is_yaml_timestamp(std::string_view text) {
  if (digits_at(text, 0) != 4 || text.size() < 8 || text[4] != '-') return false;
  int year = 0;
  std::from_chars(text.data(), text.data() + 4, year);
  text.remove_prefix(5);
  int month = 0;
  std::from_chars(text.data(), text.data() + std::min<std::size_t>(digits_at(text, 0), 2), month);
  if (!skip_number(text, 1, 2, 1, 12) || !skip_char(text, "-")) return false;
  static constexpr std::array days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (!skip_number(text, 1, 2, 1, days[static_cast<std::size_t>(month - 1)] + (leap ? 1 : 0))) return false;
  if (text.empty()) return true;
  const char separator = text[0];
  return skip_char(text, "Tt ") && is_clock_time(text, separator);
}

bool is_yaml_base60(std::string_view text) {
  std::size_t at = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  if (digits_at(text, at) == 0) return false;
  while (at < text.size() && (is_digit(text[at]) || text[at] == '_')) ++at;
  std::size_t groups = 0;
  while (at < text.size() && text[at] == ':') {
    const std::size_t digits = digits_at(text, at + 1);
    if (digits == 0 || digits > 2 || (digits == 2 && text[at + 1] > '5')) return false;
    at += 1 + digits;
    ++groups;
  }
  if (groups > 0 && at < text.size() && text[at] == '.') {
    ++at;
    while (at < text.size() && (is_digit(text[at]) || text[at] == '_')) ++at;
  }
  return groups > 0 && at == text.size();
}

Json resolve_yaml_scalar(std::string_view plain) {
  if (auto known = word(plain)) return *known;
  const char first = plain.empty() ? '\0' : plain[0];
  if (first == '.') return floating(plain).value_or(Json(plain));
  if (!is_digit(first) && first != '+' && first != '-') return Json(plain);
  if (is_yaml_timestamp(plain)) return Json(plain);
  std::string bare;
  std::ranges::copy_if(plain, std::back_inserter(bare), [](char c) { return c != '_'; });
  if (auto value = integer(bare)) return *value;
  return floating(bare).value_or(Json(plain));
}

}  // namespace slipway::text
