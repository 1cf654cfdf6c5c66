// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/nodes.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "text/yaml_resolve.h"

namespace slipway::cd::kustomize {
namespace {

bool is_textual(const YamlNode& node) { return node.is_scalar() && (node.tag == YamlTag::string || node.tag == YamlTag::none); }

// YAML 1.1 readers would take it for something else than text.
bool needs_quotes(std::string_view text) {
  return !text.empty() && text.find('\n') == text.npos && !text::resolve_yaml_scalar(text).is_string();
}

std::string_view kind_name(YamlKind kind) {
  switch (kind) {
    case YamlKind::scalar: return "ScalarNode";
    case YamlKind::mapping: return "MappingNode";
    case YamlKind::sequence: return "SequenceNode";
    case YamlKind::none: break;
  }
  return "";
}

}  // namespace

bool is_empty(const YamlNode* node) {
  if (is_missing(node) || node->kind == YamlKind::none) return true;
  return (node->is_mapping() || node->is_sequence()) && node->content.empty();
}

std::string text_of(const YamlNode* node) { return is_missing(node) ? std::string() : node->value; }

YamlNode* field(const YamlNode* node, std::string_view name) { return node == nullptr ? nullptr : node->find(name); }

YamlNode* lookup(const YamlNode* node, std::initializer_list<std::string_view> path) {
  YamlNode* now = nullptr;
  for (const auto part : path) {
    now = field(node, part);
    if (now == nullptr) return nullptr;
    node = now;
  }
  return now;
}

void clear_field(YamlNode& map, std::string_view name) {
  if (!map.is_mapping()) return;
  for (std::size_t i = 0; i + 1 < map.content.size(); i += 2) {
    if (map.content[i]->value != name) continue;
    map.content.erase(map.content.begin() + static_cast<std::ptrdiff_t>(i), map.content.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    return;
  }
}

std::unexpected<Error> wrong_kind(YamlKind expected, const YamlNode& node) {
  return fail(ErrorCode::invalid, fmt::format("wrong node kind: expected {} but got {}: node contents:\n{}", kind_name(expected), kind_name(node.kind), text::to_yaml_text(node)));
}

Result<> set_field(YamlPool& pool, YamlNode& map, std::string_view name, YamlNode* value, YamlStyle key_style) {
  if (value != nullptr && is_textual(*value) && value->style == YamlStyle::plain && needs_quotes(value->value)) value->style = YamlStyle::double_quoted;
  if (!map.is_null() && !map.is_mapping()) return wrong_kind(YamlKind::mapping, map);
  if (is_missing(value)) return clear_field(map, name), Result<>();
  if (YamlNode* found = map.find(name)) {
    value->style = found->style;
    if (found != value) *found = *value;
    return {};
  }
  map.content.push_back(pool.scalar(name, YamlTag::none, key_style));
  map.content.push_back(value);
  return {};
}

Result<> set_scalar(YamlNode& target, YamlNode value) {
  if (!target.is_null() && !target.is_scalar()) return wrong_kind(YamlKind::scalar, target);
  if (value.is_null()) return {};
  value.style = target.style;
  value.line = target.line;
  target = std::move(value);
  return {};
}

YamlNode* field_or_new(YamlPool& pool, YamlNode& map, std::string_view name, YamlKind kind) {
  if (YamlNode* found = map.find(name)) return found;
  YamlNode* made = pool.make(kind);
  map.content.push_back(pool.scalar(name));
  map.content.push_back(made);
  return made;
}

YamlNode* text_node(YamlPool& pool, std::string_view text) {
  return pool.scalar(text, YamlTag::string, text.find('\n') != text.npos ? YamlStyle::literal : YamlStyle::plain);
}

StringMap string_map(const YamlNode* map) {
  StringMap out;
  if (map == nullptr || !map->is_mapping()) return out;
  for (std::size_t i = 0; i + 1 < map->content.size(); i += 2) out[map->content[i]->value] = map->content[i + 1]->value;
  return out;
}

Result<> set_metadata_map(YamlPool& pool, YamlNode& object, std::string_view name, const StringMap& values) {
  YamlNode* metadata = field_or_new(pool, object, "metadata", YamlKind::mapping);
  if (!metadata->is_mapping() && !metadata->is_null()) return wrong_kind(YamlKind::mapping, *metadata);
  clear_field(*metadata, name);
  if (values.empty()) return {};
  YamlNode* map = field_or_new(pool, *metadata, name, YamlKind::mapping);
  for (const auto& [key, value] : values) TRY(set_field(pool, *map, key, text_node(pool, value)));
  return {};
}

std::vector<std::string> split_path(std::string_view path, char separator) {
  auto parts = split(path, separator);
  if (parts.size() > 1 && parts[0].empty()) parts.erase(parts.begin());
  std::vector<std::string> out;
  for (const auto part : parts) {
    if (!out.empty() && out.back().ends_with('\\')) {
      out.back().back() = separator;
      out.back() += part;
    } else {
      out.emplace_back(part);
    }
  }
  return out;
}

std::vector<std::string> split_dotted_path(std::string_view path) {
  std::vector<std::string> out;
  const auto parts = split_path(path, '.');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].starts_with('[') || parts[i].ends_with(']')) {
      out.push_back(parts[i]);
      continue;
    }
    std::string bracketed = parts[i];
    while (i + 1 < parts.size()) {
      bracketed += "." + parts[++i];
      if (parts[i].ends_with(']')) break;
    }
    if (bracketed.find('=') == bracketed.npos) {
      const auto first = bracketed.find_first_not_of("[]");
      const auto last = bracketed.find_last_not_of("[]");
      bracketed = first == bracketed.npos ? "" : bracketed.substr(first, last - first + 1);
    }
    out.push_back(std::move(bracketed));
  }
  return out;
}

}  // namespace slipway::cd::kustomize
