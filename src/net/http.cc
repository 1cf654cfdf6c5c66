// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <algorithm>

#include "base/strings.h"

namespace slipway::net {

void Headers::add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }

void Headers::set(std::string_view name, std::string value) {
  std::erase_if(fields_, [&](const auto& field) { return equals_ignoring_case(field.first, name); });
  fields_.emplace_back(std::string(name), std::move(value));
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [key, value] : fields_)
    if (equals_ignoring_case(key, name)) return value;
  return {};
}

bool Headers::has(std::string_view name) const {
  return std::ranges::any_of(fields_, [&](const auto& field) { return equals_ignoring_case(field.first, name); });
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class Plus { literal, space };

Result<std::string> percent_decode(std::string_view text, Plus plus) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == Plus::space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return fail(ErrorCode::invalid, "the URL has a % without two hexadecimal digits");
      out += static_cast<char>(high << 4 | low);
      i += 2;
    }
  }
  return out;
}

}  // namespace

Result<Url> Url::parse_target(std::string_view target) {
  if (!target.starts_with('/')) return fail(ErrorCode::invalid, "the request target must begin with /");
  Url url;
  const auto question = target.find('?');
  url.raw_path = std::string(target.substr(0, question));
  url.path = TRY(percent_decode(url.raw_path, Plus::literal));
  if (url.path.find('\0') != url.path.npos) return fail(ErrorCode::invalid, "the URL has a NUL byte");
  if (question == target.npos) return url;
  for (const auto pair : split(target.substr(question + 1), '&')) {
    if (pair.empty()) continue;
    const auto equal = pair.find('=');
    url.query.emplace_back(TRY(percent_decode(pair.substr(0, equal), Plus::space)),
                           equal == pair.npos ? std::string() : TRY(percent_decode(pair.substr(equal + 1), Plus::space)));
  }
  return url;
}

std::string_view Url::param(std::string_view name) const {
  for (const auto& [key, value] : query)
    if (key == name) return value;
  return {};
}

bool Url::has_param(std::string_view name) const {
  return std::ranges::any_of(query, [&](const auto& pair) { return pair.first == name; });
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      ((out += '%') += digits[byte >> 4]) += digits[byte & 15];
    }
  }
  return out;
}

}  // namespace slipway::net
