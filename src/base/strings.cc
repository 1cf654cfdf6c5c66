// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace slipway {
namespace {

constexpr std::string_view standard_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view white_space = " \t\r\n\v\f";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
std::uint32_t byte(char c) { return static_cast<unsigned char>(c); }

std::string encode(std::string_view bytes, std::string_view alphabet) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = byte(bytes[i]) << 16;
    if (n > 1) group |= byte(bytes[i + 1]) << 8;
    if (n > 2) group |= byte(bytes[i + 2]);
    for (std::size_t k = 0; k <= n; ++k) out += alphabet[group >> (18 - 6 * k) & 63];
  }
  return out;
}

Result<std::string> decode(std::string_view text, std::string_view alphabet) {
  std::array<signed char, 256> values;
  values.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i) values[byte(alphabet[i])] = static_cast<signed char>(i);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    if (values[byte(c)] < 0) return fail(ErrorCode::invalid, "not base64: it has a character outside the alphabet");
    group = group << 6 | static_cast<std::uint32_t>(values[byte(c)]);
    bits += 6;
    if (bits >= 8) out += static_cast<char>(group >> (bits -= 8) & 255);
  }
  if (bits >= 6) return fail(ErrorCode::invalid, "not base64: its length is impossible");
  return out;
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i) out += separator;
    out += parts[i];
  }
  return out;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(white_space);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string replace_all(std::string text, std::string_view what, std::string_view with) {
  if (what.empty()) return text;
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size()) text.replace(at, what.size(), with);
  return text;
}

std::optional<std::int64_t> parse_int(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += digits[byte(c) >> 4];
    out += digits[byte(c) & 15];
  }
  return out;
}

std::string to_base64(std::string_view bytes) {
  std::string out = encode(bytes, standard_alphabet);
  out.append((4 - out.size() % 4) % 4, '=');
  return out;
}

std::string to_base64url(std::string_view bytes) { return encode(bytes, url_alphabet); }

Result<std::string> from_base64(std::string_view text) {
  std::string compact;
  for (const char c : text)
    if (white_space.find(c) == white_space.npos) compact += c;
  if (compact.size() % 4 != 0) return fail(ErrorCode::invalid, "not base64: the padding is missing");
  for (int i = 0; i < 2 && compact.ends_with('='); ++i) compact.pop_back();
  return decode(compact, standard_alphabet);
}

Result<std::string> from_base64url(std::string_view text) { return decode(text, url_alphabet); }

Result<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return fail(ErrorCode::invalid, "not hexadecimal: an odd number of digits");
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc() || end != text.data() + i + 2) return fail(ErrorCode::invalid, "not hexadecimal");
    out += static_cast<char>(value);
  }
  return out;
}

bool equals_in_constant_time(std::string_view a, std::string_view b) {
  std::uint32_t difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= byte(a[i]) ^ byte(b.empty() ? '\0' : b[i % b.size()]);
  return difference == 0;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (byte(c) >= 32 && byte(c) != 127) out += c;
    else if (c == '\t') out += c;
    else out += "\\x" + to_hex(std::string_view(&c, 1));
  }
  return out;
}

}  // namespace slipway
