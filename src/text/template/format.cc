// SPDX-License-Identifier: Apache-2.0
// Go's fmt: verbs, flags, widths, and what it writes for a value that a verb does not fit.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "text/template/value.h"
#include "text/utf8.h"

namespace slipway::text::gotmpl {

std::string format_float(double value, char verb, int precision) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[512];
  auto render = [&](std::chars_format format) {
    auto end = precision < 0 ? std::to_chars(buffer, buffer + sizeof buffer, value, format)
                             : std::to_chars(buffer, buffer + sizeof buffer, value, format, precision);
    return std::string(buffer, end.ptr);
  };
  if (verb == 'f') return render(std::chars_format::fixed);
  if (verb == 'e') return render(std::chars_format::scientific);
  if (precision >= 0) return render(std::chars_format::general);
  std::string scientific = render(std::chars_format::scientific);
  int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  return exponent < -4 || exponent >= 6 ? scientific : render(std::chars_format::fixed);
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') (out += '\\') += static_cast<char>(c);
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c == '\r') out += "\\r";
    else if (c == '\a') out += "\\a";
    else if (c == '\b') out += "\\b";
    else if (c == '\f') out += "\\f";
    else if (c == '\v') out += "\\v";
    else if (c < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", c);
      out += escape;
    } else out += static_cast<char>(c);
  }
  return out + '"';
}

namespace {

// The shortest text: an exponent from 1e+06 on, whatever the digits.
std::string compact_float(double value) { return format_float(value, 'g', -1); }

struct Verb {
  bool minus = false, plus = false, sharp = false, space = false, zero = false;
  int width = -1, precision = -1;
  char letter = 'v';
};

std::size_t runes(std::string_view text) {
  std::size_t count = 0;
  for (char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

std::string pad(std::string text, const Verb& verb, bool numeric) {
  std::size_t have = runes(text);
  if (verb.width < 0 || have >= static_cast<std::size_t>(verb.width)) return text;
  std::size_t missing = static_cast<std::size_t>(verb.width) - have;
  if (verb.minus) return text + std::string(missing, ' ');
  if (verb.zero && numeric) {
    std::size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    return text.insert(sign, missing, '0');
  }
  return std::string(missing, ' ') + text;
}

std::string hex_text(std::string_view text, bool upper) {
  const std::string_view digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out(text.size() * 2, '0');
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    out[2 * i] = digits[byte / 16];
    out[2 * i + 1] = digits[byte % 16];
  }
  return out;
}

std::string one(const Verb& verb, const Value& value);

std::string wrong(const Verb& verb, const Value& value) {
  if (value.is_nil()) return std::string("%!") + verb.letter + "(<nil>)";
  return std::string("%!") + verb.letter + "(" + type_of(value) + "=" + print(value) + ")";
}

std::string integer_text(const Verb& verb, std::int64_t value) {
  int base = verb.letter == 'b' ? 2 : verb.letter == 'o' ? 8 : verb.letter == 'x' || verb.letter == 'X' ? 16 : 10;
  char buffer[80];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, base);
  std::string text(buffer, end.ptr);
  if (verb.letter == 'X')
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (verb.sharp && base == 16) text.insert(text[0] == '-' ? 1 : 0, verb.letter == 'X' ? "0X" : "0x");
  if (verb.plus && value >= 0) text.insert(0, "+");
  else if (verb.space && value >= 0) text.insert(0, " ");
  return text;
}

std::string utf8_of(std::int64_t rune) {
  std::string out;
  append_utf8(rune < 0 || rune > 0x10FFFF ? 0xFFFDu : static_cast<std::uint32_t>(rune), out);
  return out;
}

std::string composite(const Verb& verb, const Value& value) {
  Verb inner = verb;
  inner.width = -1;
  std::string out;
  if (auto* list = value.list()) {
    for (const Value& item : *list) out += (out.empty() ? "" : " ") + one(inner, item);
    return "[" + out + "]";
  }
  for (const auto& [key, member] : *value.map()) {
    if (!out.empty()) out += ' ';
    out += one(inner, key) + ":" + one(inner, member);
  }
  return "map[" + out + "]";
}

std::string one(const Verb& verb, const Value& value) {
  char letter = verb.letter;
  if (letter == 'T') return pad(type_of(value), verb, false);
  if (value.is_nil()) return letter == 'v' ? pad("<nil>", verb, false) : wrong(verb, value);
  if (value.object()) return one(verb, value.object()->plain());
  if (value.list() || value.map()) return composite(verb, value);
  if (auto* boolean = value.boolean())
    return letter == 'v' || letter == 't' ? pad(*boolean ? "true" : "false", verb, false) : wrong(verb, value);
  if (auto* integer = value.integer()) {
    if (letter == 'c') return pad(utf8_of(*integer), verb, false);
    if (letter == 'q') return pad("'" + utf8_of(*integer) + "'", verb, false);
    if (std::string_view("vdboxX").find(letter) == std::string_view::npos) return wrong(verb, value);
    return pad(integer_text(verb, *integer), verb, true);
  }
  if (auto* floating = value.floating()) {
    std::string text;
    if (letter == 'v') text = verb.precision < 0 ? compact_float(*floating) : format_float(*floating, 'g', verb.precision);
    else if (letter == 'g' || letter == 'G') text = format_float(*floating, 'g', verb.precision);
    else if (letter == 'f' || letter == 'F') text = format_float(*floating, 'f', verb.precision < 0 ? 6 : verb.precision);
    else if (letter == 'e' || letter == 'E') text = format_float(*floating, 'e', verb.precision < 0 ? 6 : verb.precision);
    else return wrong(verb, value);
    if (verb.plus && text[0] != '-') text.insert(0, "+");
    return pad(text, verb, true);
  }
  std::string text = *value.string();
  if (verb.precision >= 0 && (letter == 's' || letter == 'v')) {
    std::size_t end = 0;
    for (int count = 0; end < text.size(); ++end)
      if ((static_cast<unsigned char>(text[end]) & 0xC0) != 0x80 && count++ == verb.precision) break;
    text.resize(end);
  }
  if (letter == 'q' || (letter == 'v' && verb.sharp)) return pad(quote(text), verb, false);
  if (letter == 'x' || letter == 'X') return pad(hex_text(text, letter == 'X'), verb, false);
  return letter == 's' || letter == 'v' ? pad(text, verb, false) : wrong(verb, value);
}

}  // namespace

std::string print(const Value& value) { return value.string() ? *value.string() : one(Verb{}, value); }

std::string sprintf(std::string_view format, std::span<const Value> arguments) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size();) {
    if (format[i] != '%') {
      out += format[i++];
      continue;
    }
    Verb verb;
    for (++i; i < format.size(); ++i) {
      if (format[i] == '-') verb.minus = true;
      else if (format[i] == '+') verb.plus = true;
      else if (format[i] == '#') verb.sharp = true;
      else if (format[i] == ' ') verb.space = true;
      else if (format[i] == '0') verb.zero = true;
      else break;
    }
    auto number = [&]() -> int {
      if (i < format.size() && format[i] == '*') {
        ++i;
        const std::int64_t* given = next < arguments.size() ? arguments[next++].integer() : nullptr;
        return given && *given >= 0 && *given < 10000 ? static_cast<int>(*given) : -1;
      }
      int value = -1;
      while (i < format.size() && format[i] >= '0' && format[i] <= '9' && value < 10000)
        value = (value < 0 ? 0 : value) * 10 + (format[i++] - '0');
      return value;
    };
    verb.width = number();
    if (i < format.size() && format[i] == '.') {
      ++i;
      verb.precision = std::min(std::max(number(), 0), 300);
    }
    if (i >= format.size()) return out + "%!(NOVERB)";
    verb.letter = format[i++];
    if (verb.letter == '%') out += '%';
    else if (next >= arguments.size()) out += std::string("%!") + verb.letter + "(MISSING)";
    else out += one(verb, arguments[next++]);
  }
  if (next < arguments.size()) {
    out += "%!(EXTRA ";
    for (std::size_t i = next; i < arguments.size(); ++i)
      out += (i > next ? ", " : "") + type_of(arguments[i]) + (arguments[i].is_nil() ? "" : "=" + print(arguments[i]));
    out += ")";
  }
  return out;
}

}  // namespace slipway::text::gotmpl
