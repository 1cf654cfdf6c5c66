// SPDX-License-Identifier: Apache-2.0
#include "text/yaml_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_set>

#include "base/strings.h"
#include "text/json_builder.h"
#include "text/utf8.h"
#include "text/yaml_fold.h"
#include "text/yaml_resolve.h"

namespace slipway::text {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Moment {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  std::string fraction, zone = "Z";
};

bool number(std::string_view& text, std::size_t least, std::size_t most, int& out) {
  std::size_t digits = 0;
  while (digits < text.size() && digits < most && is_digit(text[digits])) ++digits;
  if (digits < least) return false;
  std::from_chars(text.data(), text.data() + digits, out);
  text.remove_prefix(digits);
  return true;
}

bool skip(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

bool parse_zone(std::string_view text, Moment& moment) {
  if (text == "Z") return true;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return false;
  for (const std::size_t i : {1, 2, 4, 5})
    if (!is_digit(text[i])) return false;
  moment.zone = text == "+00:00" || text == "-00:00" ? "Z" : std::string(text);
  return true;
}

int days_of(int year, int month) {
  static constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[month - 1];
}

// "2006-1-2", "2006-1-2T15:4:5.9Z", "2006-1-2 15:4:5.9".
bool parse_moment(std::string_view text, Moment& moment) {
  if (text.size() < 8 || !number(text, 4, 4, moment.year) || !skip(text, '-')) return false;
  if (!number(text, 1, 2, moment.month) || !skip(text, '-') || !number(text, 1, 2, moment.day)) return false;
  if (moment.month < 1 || moment.month > 12 || moment.day < 1 || moment.day > days_of(moment.year, moment.month)) return false;
  if (text.empty()) return true;
  const bool zoned = text[0] == 'T' || text[0] == 't';
  if (!zoned && text[0] != ' ') return false;
  text.remove_prefix(1);
  if (!number(text, 1, 2, moment.hour) || !skip(text, ':') || !number(text, 1, 2, moment.minute) || !skip(text, ':')) return false;
  if (!number(text, 1, 2, moment.second) || moment.hour > 23 || moment.minute > 59 || moment.second > 59) return false;
  if (skip(text, '.')) {
    std::size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) ++digits;
    if (digits == 0) return false;
    moment.fraction = std::string(text.substr(0, std::min<std::size_t>(digits, 9)));
    text.remove_prefix(digits);
  }
  return zoned ? parse_zone(text, moment) : text.empty();
}

std::string to_rfc3339(const Moment& m) {
  std::string fraction = m.fraction;
  while (fraction.ends_with('0')) fraction.pop_back();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}{}", m.year, m.month, m.day, m.hour, m.minute, m.second,
                     fraction.empty() ? "" : ".", fraction, m.zone);
}

std::string_view tag_name(YamlTag tag) {
  static constexpr std::string_view names[] = {"", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq",
                                               "!!timestamp", "!!binary", "!!merge", "!"};
  return names[static_cast<std::size_t>(tag)];
}

// A float that JSON writes without a fraction is read again as an integer.
Result<Json> floating(double value) {
  if (!std::isfinite(value)) return fail(ErrorCode::invalid, fmt::format("json: unsupported value: {}", std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf"));
  const Json whole = resolve_yaml_scalar(to_json(Json(value)));
  return whole.is_int() ? whole : Json(value);
}

Result<Json> plain_value(const YamlNode& node, YamlTag tag) {
  const std::string& text = node.value;
  switch (tag) {
    case YamlTag::null: return Json();
    case YamlTag::boolean: return Json(text[0] == 't' || text[0] == 'T');
    case YamlTag::integer: return resolve_yaml_scalar(text);
    case YamlTag::floating: {
      const Json value = resolve_yaml_scalar(text);
      return value.is_int() ? value : TRY(floating(value.as_double()));
    }
    case YamlTag::timestamp: {
      Moment moment;
      parse_moment(text, moment);
      return Json(to_rfc3339(moment));
    }
    default: return Json(text);
  }
}

Result<Json> scalar_value(const YamlNode& node) {
  if (node.style == YamlStyle::folded && (node.tag == YamlTag::string || node.tag == YamlTag::none)) return Json(refolded(node.value));
  if (node.tag == YamlTag::binary) {
    const auto bytes = from_base64(node.value);
    return bytes ? Result<Json>(Json(*bytes)) : fail(ErrorCode::invalid, "yaml: !!binary value contains invalid base64 data");
  }
  const bool quoted = node.style != YamlStyle::plain && node.style != YamlStyle::flow;
  if (node.tag == YamlTag::string || node.tag == YamlTag::other || (node.tag == YamlTag::none && quoted)) return Json(node.value);
  const YamlTag found = quoted ? YamlTag::string : yaml_tag_of(node.value);
  if (node.tag == YamlTag::none) return plain_value(node, found);
  if (node.tag == found) return plain_value(node, found);
  if (node.tag == YamlTag::floating && yaml_tag_of(node.value) == YamlTag::integer) return resolve_yaml_scalar(node.value);
  if (quoted && yaml_tag_of(node.value) == node.tag) return plain_value(node, node.tag);
  if (node.tag == YamlTag::null && node.value.empty()) return Json();
  if (node.tag == YamlTag::merge) return Json(node.value);
  return fail(ErrorCode::invalid, fmt::format("yaml: cannot decode {} `{}` as a {}", tag_name(found), node.value, tag_name(node.tag)));
}

bool is_text_key(const YamlNode& key) {
  if (key.kind != YamlKind::scalar) return false;
  if (key.tag == YamlTag::string || key.tag == YamlTag::other || key.tag == YamlTag::merge) return true;
  if (key.tag != YamlTag::none) return false;
  return key.style != YamlStyle::plain || yaml_tag_of(key.value) == YamlTag::string || yaml_tag_of(key.value) == YamlTag::merge;
}

Result<> check_keys(const YamlNode& node) {
  std::unordered_set<std::string_view> seen;
  const bool many = node.content.size() > 32;
  for (std::size_t i = 0; i + 1 < node.content.size(); i += 2) {
    const YamlNode& key = *node.content[i];
    if (!is_text_key(key)) return fail(ErrorCode::invalid, "json: unsupported type: map[interface {}]interface {}");
    bool again = many && !seen.insert(key.value).second;
    for (std::size_t j = 0; !many && j < i && !again; j += 2) again = node.content[j]->value == key.value;
    if (again) return fail(ErrorCode::invalid, fmt::format("yaml: unmarshal errors:\n  line {}: mapping key \"{}\" already defined", key.line, key.value));
  }
  return {};
}

}  // namespace

YamlNode* YamlNode::find(std::string_view key) const {
  if (kind != YamlKind::mapping) return nullptr;
  for (std::size_t i = 0; i + 1 < content.size(); i += 2)
    if (content[i]->value == key) return content[i + 1];
  return nullptr;
}

YamlNode* YamlPool::make(YamlKind kind, YamlTag tag) {
  YamlNode& node = nodes_.emplace_back();
  node.kind = kind;
  node.tag = tag;
  return &node;
}

YamlNode* YamlPool::scalar(std::string_view value, YamlTag tag, YamlStyle style) {
  YamlNode* node = make(YamlKind::scalar, tag);
  node->value = value;
  node->style = style;
  return node;
}

YamlNode* YamlPool::copy(const YamlNode& node) {
  YamlNode* made = make(node.kind, node.tag);
  made->style = node.style;
  made->line = node.line;
  made->value = node.value;
  made->content.reserve(node.content.size());
  for (const YamlNode* child : node.content) made->content.push_back(copy(*child));
  return made;
}

YamlTag yaml_tag_of(std::string_view plain) {
  if (plain.empty()) return YamlTag::null;
  const char first = plain[0];
  if (is_digit(first) || first == '+' || first == '-' || first == '.') {
    Moment moment;
    if (is_digit(first) && parse_moment(plain, moment)) return YamlTag::timestamp;
    const Json value = resolve_yaml_scalar(plain);
    return value.is_int() ? YamlTag::integer : value.is_number() ? YamlTag::floating : YamlTag::string;
  }
  static constexpr std::string_view nulls[] = {"~", "null", "Null", "NULL"};
  static constexpr std::string_view booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
  if (std::ranges::find(nulls, plain) != std::end(nulls)) return YamlTag::null;
  if (std::ranges::find(booleans, plain) != std::end(booleans)) return YamlTag::boolean;
  return plain == "<<" ? YamlTag::merge : YamlTag::string;
}

Result<Json> to_json(const YamlNode& node) {
  switch (node.kind) {
    case YamlKind::none: return Json();
    case YamlKind::scalar: return scalar_value(node);
    case YamlKind::sequence: {
      if (node.is_null()) return Json();
      std::vector<Json> items;
      items.reserve(node.content.size());
      for (const YamlNode* item : node.content) items.push_back(TRY(to_json(*item)));
      return JsonBuilder::array(items);
    }
    case YamlKind::mapping: break;
  }
  TRY(check_keys(node));
  std::vector<JsonMember> members;
  members.reserve(node.content.size() / 2);
  for (std::size_t i = 0; i + 1 < node.content.size(); i += 2)
    members.emplace_back(node.content[i]->value, TRY(to_json(*node.content[i + 1])));
  return JsonBuilder::object(members);
}

YamlNode* yaml_node_of(YamlPool& pool, const Json& value) {
  switch (value.kind()) {
    case Json::Kind::null: return pool.scalar("null", YamlTag::null);
    case Json::Kind::boolean: return pool.scalar(value.as_bool() ? "true" : "false", YamlTag::boolean);
    case Json::Kind::integer: return pool.scalar(to_json(value), YamlTag::integer);
    case Json::Kind::floating: return pool.scalar(to_json(value), YamlTag::floating);
    case Json::Kind::string: {
      const std::string_view text = value.as_string();
      const bool needs_quotes = !resolve_yaml_scalar(text).is_string() || is_yaml_timestamp(text) || is_yaml_base60(text) || yaml_tag_of(text) != YamlTag::string;
      return pool.scalar(text, YamlTag::string, text.find('\n') != text.npos ? YamlStyle::literal : needs_quotes ? YamlStyle::double_quoted : YamlStyle::plain);
    }
    case Json::Kind::array: {
      YamlNode* node = pool.make(YamlKind::sequence, YamlTag::sequence);
      for (const Json& item : value.items()) node->content.push_back(yaml_node_of(pool, item));
      return node;
    }
    case Json::Kind::object: break;
  }
  YamlNode* node = pool.make(YamlKind::mapping, YamlTag::mapping);
  std::vector<const JsonMember*> sorted;
  for (const JsonMember& member : value.members()) sorted.push_back(&member);
  std::ranges::sort(sorted, {}, [](const JsonMember* member) { return member->key(); });
  for (const JsonMember* member : sorted) {
    node->content.push_back(yaml_node_of(pool, Json(member->key())));
    node->content.push_back(yaml_node_of(pool, member->value));
  }
  return node;
}

}  // namespace slipway::text
