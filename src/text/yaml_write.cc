// SPDX-License-Identifier: Apache-2.0
#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "text/utf8.h"
#include "text/yaml.h"
#include "text/yaml_resolve.h"

namespace slipway::text {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

// Reads digits on to `value`; past 19 digits it wraps, as it does in Go.
std::uint64_t number_at(std::string_view text, std::size_t& at, std::uint64_t value) {
  for (; at < text.size() && is_digit(text[at]); ++at) value = value * 10 + static_cast<std::uint64_t>(text[at] - '0');
  return value;
}

// Whether the digits before `at` hold more than zeros.
bool is_inside_number(std::string_view text, std::size_t at) {
  while (at-- > 0 && is_digit(text[at]))
    if (text[at] != '0') return true;
  return false;
}

// go-yaml's order of keys: numbers by value, letters after other signs.
bool is_key_before(std::string_view a, std::string_view b) {
  bool after_digit = false;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i] == b[i]) {
      after_digit = is_digit(a[i]);
      continue;
    }
    if (is_letter(a[i]) && is_letter(b[i])) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]);
    if (is_letter(a[i]) || is_letter(b[i])) return after_digit ? is_letter(a[i]) : is_letter(b[i]);
    const std::uint64_t begun = (a[i] == '0' || b[i] == '0') && is_inside_number(a, i) ? 1 : 0;
    std::size_t a_end = i;
    std::size_t b_end = i;
    const auto a_number = number_at(a, a_end, begun);
    const auto b_number = number_at(b, b_end, begun);
    if (a_number != b_number) return a_number < b_number;
    if (a_end != b_end) return a_end < b_end;
    return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]);
  }
  return a.size() < b.size();
}

// An integer where JSON would write one, else Go's %g: an exponent below 1e-4 and from 1e21... but with the shortest
// digits already from 1e6 on.
std::string float_text(double value) {
  const std::string json = to_json(Json(value));
  if (const Json whole = resolve_yaml_scalar(json); whole.is_int()) return json;
  const double size = std::fabs(value);
  if (size >= 1e-4 && size < 1e6) return json;
  char digits[64];
  return {digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr};
}

class Emitter {
 public:
  Emitter() {
    require(yaml_emitter_initialize(&emitter_));
    yaml_emitter_set_output(&emitter_, &append, &out_);
    yaml_emitter_set_width(&emitter_, 80);
    yaml_emitter_set_unicode(&emitter_, 1);
  }
  ~Emitter() { yaml_emitter_delete(&emitter_); }
  Emitter(const Emitter&) = delete;
  Emitter& operator=(const Emitter&) = delete;

  std::string write(const Json& value) {
    yaml_event_t event;
    emit(event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(event, yaml_document_start_event_initialize(&event, nullptr, nullptr, nullptr, 1));
    node(value);
    emit(event, yaml_document_end_event_initialize(&event, 1));
    emit(event, yaml_stream_end_event_initialize(&event));
    // libyaml ends an open scalar with a document end marker; go-yaml does not.
    if (out_.ends_with("\n...\n")) out_.resize(out_.size() - 4);
    return std::move(out_);
  }

 private:
  static int append(void* out, unsigned char* bytes, std::size_t size) {
    static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), size);
    return 1;
  }

  // libyaml fails only without memory or on text that is no UTF-8, which text() has made sure of.
  static void require(int ok) {
    if (ok == 0) std::abort();
  }

  void emit(yaml_event_t& event, int made) {
    require(made);
    require(yaml_emitter_emit(&emitter_, &event));
  }

  void scalar(std::string_view text, yaml_scalar_style_t style) {
    yaml_event_t event;
    const auto* bytes = reinterpret_cast<const yaml_char_t*>(text.data() == nullptr ? "" : text.data());
    emit(event, yaml_scalar_event_initialize(&event, nullptr, nullptr, bytes, static_cast<int>(text.size()), 1, 1, style));
  }

  void text(std::string_view text) {
    std::string valid;
    if (find_invalid_utf8(text) != std::string_view::npos) {
      valid = parse_json(to_json(Json(text)))->str();
      text = valid;
    }
    const bool needs_quotes = !resolve_yaml_scalar(text).is_string() || is_yaml_timestamp(text) || is_yaml_base60(text);
    scalar(text, text.find('\n') != std::string_view::npos ? YAML_LITERAL_SCALAR_STYLE
                 : needs_quotes                            ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                                           : YAML_PLAIN_SCALAR_STYLE);
  }

  void node(const Json& value) {
    switch (value.kind()) {
      case Json::Kind::array: return sequence(value);
      case Json::Kind::object: return mapping(value);
      case Json::Kind::string: return text(value.as_string());
      case Json::Kind::floating: return scalar(float_text(value.as_double()), YAML_PLAIN_SCALAR_STYLE);
      default: return scalar(to_json(value), YAML_PLAIN_SCALAR_STYLE);
    }
  }

  void sequence(const Json& value) {
    yaml_event_t event;
    const auto style = value.empty() ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    emit(event, yaml_sequence_start_event_initialize(&event, nullptr, nullptr, 1, style));
    for (const auto& item : value.items()) node(item);
    emit(event, yaml_sequence_end_event_initialize(&event));
  }

  void mapping(const Json& value) {
    std::vector<const JsonMember*> sorted;
    for (const auto& member : value.members()) sorted.push_back(&member);
    std::ranges::sort(sorted, &is_key_before, [](const JsonMember* member) { return member->key(); });
    yaml_event_t event;
    const auto style = value.empty() ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
    emit(event, yaml_mapping_start_event_initialize(&event, nullptr, nullptr, 1, style));
    for (const auto* member : sorted) {
      text(member->key());
      node(member->value);
    }
    emit(event, yaml_mapping_end_event_initialize(&event));
  }

  yaml_emitter_t emitter_;
  std::string out_;
};

}  // namespace

std::string to_yaml(const Json& value) { return Emitter().write(value); }

}  // namespace slipway::text
