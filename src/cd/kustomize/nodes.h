// SPDX-License-Identifier: Apache-2.0
// What kustomize's filters do to single nodes: look up, set, clear. They keep upstream's rules of which style and tag a
// changed value has, because these decide whether it is text or a number in the output. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/yaml_node.h"

namespace slipway::cd::kustomize {

using text::Json;
using text::YamlKind;
using text::YamlNode;
using text::YamlPool;
using text::YamlStyle;
using text::YamlTag;
using StringMap = std::map<std::string, std::string>;

inline bool is_missing(const YamlNode* node) { return node == nullptr || node->is_null(); }
bool is_empty(const YamlNode* node);  // missing, {} or []
std::string text_of(const YamlNode* node);  // of a scalar; empty where missing

YamlNode* field(const YamlNode* node, std::string_view name);  // nullptr where absent or no mapping
YamlNode* lookup(const YamlNode* node, std::initializer_list<std::string_view> path);
void clear_field(YamlNode& map, std::string_view name);
// Adds or overwrites; an overwritten value keeps its place and the style it had. A null clears.
Result<> set_field(YamlPool& pool, YamlNode& map, std::string_view name, YamlNode* value, YamlStyle key_style = YamlStyle::plain);
Result<> set_scalar(YamlNode& target, YamlNode value);  // overwrites in place, keeping the style
YamlNode* field_or_new(YamlPool& pool, YamlNode& map, std::string_view name, YamlKind kind);
YamlNode* text_node(YamlPool& pool, std::string_view text);  // always text: quoted where need be

StringMap string_map(const YamlNode* map);  // the raw text of the values
Result<> set_metadata_map(YamlPool& pool, YamlNode& object, std::string_view name, const StringMap& values);  // empty: removed

std::unexpected<Error> wrong_kind(YamlKind expected, const YamlNode& node);
std::vector<std::string> split_path(std::string_view path, char separator);  // "\/" is a slash within a name
// As split_path with '.', but what stands in [] is one part.
std::vector<std::string> split_dotted_path(std::string_view path);

}  // namespace slipway::cd::kustomize
