// SPDX-License-Identifier: Apache-2.0
#include <emmintrin.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/json.h"
#include "text/utf8.h"

namespace slipway::text {
namespace {

// The first byte that may need an escape: a quote, a backslash, a control byte, or one that is not ASCII.
const char* skip_plain(const char* at, const char* end) {
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i space = _mm_set1_epi8(' ');
  while (end - at >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // As signed bytes everything below ' ' is a control byte or not ASCII.
    const __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)),
                                         _mm_cmplt_epi8(block, space));
    const int mask = _mm_movemask_epi8(special);
    if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
    at += 16;
  }
  while (at < end && *at != '"' && *at != '\\' && static_cast<signed char>(*at) >= ' ') ++at;
  return at;
}

void append_ascii_escape(unsigned char byte, std::string& out) {
  static constexpr char digits[] = "0123456789abcdef";
  switch (byte) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 15];
  }
}

// U+2028 and U+2029 end a line in JavaScript and are escaped; bytes that are no UTF-8 become U+FFFD.
std::size_t append_beyond_ascii(std::string_view rest, std::string& out) {
  const std::size_t length = utf8_sequence(rest);
  if (length == 0) return out += "\\ufffd", 1;
  const auto sequence = rest.substr(0, length);
  if (sequence == "\xE2\x80\xA8")
    out += "\\u2028";
  else if (sequence == "\xE2\x80\xA9")
    out += "\\u2029";
  else
    out += sequence;
  return length;
}

void append_string(std::string_view text, std::string& out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  out += '"';
  while (at < end) {
    const char* plain = at;
    at = skip_plain(at, end);
    out.append(plain, at);
    if (at == end) break;
    const auto byte = static_cast<unsigned char>(*at);
    if (byte >= 0x80)
      at += append_beyond_ascii({at, static_cast<std::size_t>(end - at)}, out);
    else
      append_ascii_escape(byte, out), ++at;
  }
  out += '"';
}

template <class T>
void append_integer(T value, std::string& out) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// The shortest digits that read back; an exponent below 1e-6 and from 1e21 on, without a zero before its digit.
void append_float(double value, std::string& out) {
  if (!std::isfinite(value)) return out += "null", void();  // JSON has no word for it
  char digits[64];
  const double size = std::fabs(value);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  std::string_view text(digits, std::to_chars(digits, digits + sizeof digits, value, format).ptr);
  if (exponent && text[text.size() - 2] == '0' && text[text.size() - 3] == '-') {
    out += text.substr(0, text.size() - 2);
    out += text.back();
    return;
  }
  // Beyond 2^53 to_chars writes every digit; Go fills up with zeros after the shortest ones.
  if (!exponent && size >= 9007199254740992.0) {
    text = {digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr};
    const auto start = out.size();
    for (const char c : text.substr(0, text.find('e')))
      if (c != '.') out += c;
    const auto power = static_cast<std::size_t>((text.end()[-2] - '0') * 10 + (text.end()[-1] - '0'));
    out.resize(start + power + (value < 0 ? 2 : 1), '0');
    return;
  }
  out += text;
}

void append_scalar(const Json& value, std::string& out) {
  switch (value.kind()) {
    case Json::Kind::boolean:
      out += value.as_bool() ? "true" : "false";
      return;
    case Json::Kind::integer:
      return value.is_unsigned_beyond_int64() ? append_integer(value.as_uint(), out)
                                              : append_integer(value.as_int(), out);
    case Json::Kind::floating:
      return append_float(value.as_double(), out);
    case Json::Kind::string:
      return append_string(value.as_string(), out);
    default:
      out += "null";
  }
}

enum class Order { as_it_is, by_key };

class Writer {
 public:
  Writer(std::string& out, Order order, bool pretty, std::string_view indent)
      : out_(out), order_(order), pretty_(pretty), indent_(indent) {}

  void write(const Json& value) {
    if (value.is_array()) return write_array(value);
    if (value.is_object()) return write_object(value);
    append_scalar(value, out_);
  }

 private:
  void write_array(const Json& value) {
    open('[');
    bool first = true;
    for (const auto& item : value.items()) {
      next(first);
      write(item);
    }
    close(']', first);
  }

  void write_object(const Json& value) {
    open('{');
    bool first = true;
    if (order_ == Order::as_it_is) {
      for (const auto& member : value.members()) write_member(member, first);
    } else {
      std::vector<const JsonMember*> sorted;
      sorted.reserve(value.size());
      for (const auto& member : value.members()) sorted.push_back(&member);
      std::ranges::sort(sorted, {}, [](const JsonMember* member) { return member->key(); });
      for (const auto* member : sorted) write_member(*member, first);
    }
    close('}', first);
  }

  void write_member(const JsonMember& member, bool& first) {
    next(first);
    append_string(member.key(), out_);
    out_ += pretty_ ? ": " : ":";
    write(member.value);
  }

  void open(char bracket) {
    out_ += bracket;
    ++depth_;
  }

  void next(bool& first) {
    if (!first) out_ += ',';
    first = false;
    new_line();
  }

  void close(char bracket, bool empty) {
    --depth_;
    if (!empty) new_line();
    out_ += bracket;
  }

  void new_line() {
    if (!pretty_) return;
    out_ += '\n';
    for (std::size_t i = 0; i < depth_; ++i) out_ += indent_;
  }

  std::string& out_;
  Order order_;
  bool pretty_;
  std::string_view indent_;
  std::size_t depth_ = 0;
};

}  // namespace

void append_json(const Json& value, std::string& out) { Writer(out, Order::as_it_is, false, {}).write(value); }

std::string to_json(const Json& value) {
  std::string out;
  append_json(value, out);
  return out;
}

std::string to_json_indented(const Json& value, std::string_view indent) {
  std::string out;
  Writer(out, Order::as_it_is, true, indent).write(value);
  return out;
}

std::string to_canonical_json(const Json& value) {
  std::string out;
  Writer(out, Order::by_key, false, {}).write(value);
  return out;
}

}  // namespace slipway::text
