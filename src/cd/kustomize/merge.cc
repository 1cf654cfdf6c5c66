// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "base/strings.h"

namespace slipway::cd::kustomize {
namespace {

using Keys = std::vector<std::string>;
using Values = std::vector<std::string>;

enum class Directive { merge, replace, remove };

std::optional<Directive> directive_named(std::string_view text) {
  if (text == "delete") return Directive::remove;
  if (text == "replace") return Directive::replace;
  if (text == "merge") return Directive::merge;
  return std::nullopt;
}

// What `node` has under `name`; where values are asked for, only with that text.
YamlNode* match_field(YamlNode& node, std::string_view name, const std::string* value) {
  if (name.empty()) return !node.is_scalar() || (value != nullptr && text_of(&node) != *value) ? nullptr : &node;
  YamlNode* found = node.find(name);
  return found == nullptr || (value != nullptr && found->value != *value) ? nullptr : found;
}

// Items of `list` that have these values under these keys are replaced by `element` (nullptr: removed); where there is
// none, the element is added.
Result<> set_element(YamlNode& list, YamlNode* element, const Keys& keys, const Values& values) {
  std::vector<YamlNode*> content;
  bool matched = false;
  const bool by_key = !keys.empty() && !keys[0].empty() && !values.empty() && !values[0].empty();
  for (YamlNode* item : list.content) {
    if (is_missing(item) || (item->is_mapping() && item->content.empty())) continue;
    if (!item->is_mapping() && by_key) {
      content.push_back(item);
      continue;
    }
    const YamlNode* value = nullptr;
    bool found = true;
    for (std::size_t i = 0; i < keys.size() && found; ++i) {
      if (i < values.size()) value = match_field(*item, keys[i], values[i].empty() ? nullptr : &values[i]);
      found = value != nullptr;
    }
    if (!found) {
      if (!values.empty()) content.push_back(item);
      continue;
    }
    matched = true;
    if (element != nullptr) content.push_back(element);
  }
  list.content = std::move(content);
  if (!is_missing(element) && !matched) list.content.push_back(element);
  return {};
}

Result<Directive> map_directive(YamlNode& patch) {
  const YamlNode* found = patch.find("$patch");
  if (found == nullptr) return Directive::merge;
  const auto directive = directive_named(found->value);
  if (!directive) return fail(ErrorCode::invalid, fmt::format("unknown patch strategy '{}'", found->value));
  clear_field(patch, "$patch");
  return *directive;
}

Result<Directive> list_directive(YamlNode& patch) {
  for (YamlNode* item : patch.content) {
    const YamlNode* found = field(item, "$patch");
    if (found == nullptr) continue;
    if (item->content.size() > 2) return Directive::merge;
    const std::string value = found->value;
    const auto directive = directive_named(value);
    if (!directive) return fail(ErrorCode::invalid, fmt::format("unknown patch strategy '{}'", value));
    TRY(set_element(patch, nullptr, {"$patch"}, {value}));
    return *directive;
  }
  return Directive::merge;
}

Result<Directive> directive_of(YamlNode* patch) {
  if (patch == nullptr) return Directive::merge;
  if (patch->is_mapping()) return map_directive(*patch);
  if (patch->is_sequence()) return list_directive(*patch);
  return fail(ErrorCode::invalid, fmt::format("no implemented strategic merge patch strategy for '{}'", patch->value));
}

// Of the keys those that any item uses.
std::pair<Keys, Values> used_keys(const std::vector<Values>& all, const Values& values, const Keys& keys) {
  std::set<std::string> used;
  for (const Values& one : all)
    for (std::size_t i = 0; i < one.size(); ++i)
      if (!one[i].empty()) used.insert(keys[i]);
  if (used.empty()) return {keys, values};
  std::pair<Keys, Values> out;
  for (const std::string& key : keys)
    if (used.contains(key)) out.first.push_back(key);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!values[i].empty() || used.contains(keys[i])) out.second.push_back(values[i]);
  return out;
}

// The same item, where each value is equal or one side has none, and at least one is equal.
std::optional<Values> common_values(const Values& a, const Values& b) {
  if (a.size() != b.size()) return std::nullopt;
  bool any = false;
  Values out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !a[i].empty() && !b[i].empty()) return std::nullopt;
    any = any || a[i] == b[i];
    out.push_back(a[i].empty() ? b[i] : a[i]);
  }
  return any ? std::optional(out) : std::nullopt;
}

class Merger {
 public:
  Merger(YamlPool& pool, const MergeSchema& schema) : pool_(pool), schema_(schema) {}

  // What a node of a type becomes; `list` is set where its field is a list.
  struct Rule {
    const MergeSchema::Type* type = nullptr;
    const MergeSchema::Field* list = nullptr;
  };

  Result<YamlNode*> walk(YamlNode* object, YamlNode* patch, Rule rule) {
    if (rule.type == nullptr && rule.list == nullptr) rule.type = type_by_kind(object, patch);
    const YamlNode* leading = !is_missing(object) ? object : !is_missing(patch) ? patch : nullptr;
    const YamlKind kind = leading == nullptr ? YamlKind::none : leading->kind;
    for (const YamlNode* node : {object, patch})
      if (kind != YamlKind::none && !is_missing(node) && node->kind != kind) return wrong_kind(kind, *node);
    switch (kind) {
      case YamlKind::scalar: return patch != nullptr ? patch : object;
      case YamlKind::sequence:
        if (rule.list != nullptr && rule.list->merges) return merged_list(object, patch, *rule.list);
        return patch != nullptr ? patch : object;
      default: return mapping(object, patch, rule.type);
    }
  }

 private:
  const MergeSchema::Type* type_by_kind(const YamlNode* object, const YamlNode* patch) const {
    for (const YamlNode* node : {object, patch}) {
      const YamlNode* kind = field(node, "kind");
      const YamlNode* version = field(node, "apiVersion");
      if (is_missing(kind) || is_missing(version)) continue;
      if (const auto* type = schema_.find(version->value, kind->value)) return type;
    }
    return nullptr;
  }

  // Where the merge goes on: nullptr where nothing is left.
  Result<YamlNode*> chosen_mapping(YamlNode* object, YamlNode* patch) {
    if (is_missing(object)) {
      const auto directive = directive_of(patch);
      if (directive && *directive == Directive::remove) return nullptr;
      if (patch == nullptr && object != nullptr && !object->value.empty()) return object;  // a null that was written out stays
      return patch;
    }
    if (patch != nullptr && patch->is_null()) return nullptr;
    switch (TRY(directive_of(patch))) {
      case Directive::remove: return nullptr;
      case Directive::replace: return patch;
      case Directive::merge: break;
    }
    return object;
  }

  Result<YamlNode*> mapping(YamlNode* object, YamlNode* patch, const MergeSchema::Type* type) {
    const YamlNode* before = object;
    object = TRY(chosen_mapping(object, patch));
    if (object == nullptr) return nullptr;
    const bool is_kept_null = patch == nullptr && object == before && is_missing(object);
    if (is_kept_null) kept_nulls_.insert(object);
    std::set<std::string> names;
    for (const YamlNode* node : {object, patch})
      for (std::size_t i = 0; node != nullptr && node->is_mapping() && i + 1 < node->content.size(); i += 2) names.insert(node->content[i]->value);
    for (const std::string& name : names) TRY(member(*object, patch, name, type));
    return object;
  }

  static YamlStyle key_style(const YamlNode& node, std::string_view name) {
    for (std::size_t i = 0; i + 1 < node.content.size(); i += 2)
      if (node.content[i]->value == name) return node.content[i]->style;
    return YamlStyle::plain;
  }

  Result<> member(YamlNode& object, YamlNode* patch, const std::string& name, const MergeSchema::Type* type) {
    const MergeSchema::Field* rule = type == nullptr ? nullptr : type->find(name);
    Rule inner;
    if (rule != nullptr && rule->is_list) inner.list = rule;
    else if (rule != nullptr) inner.type = rule->type;
    YamlNode* from = field(patch, name);
    YamlNode* value = TRY(walk(object.find(name), from, inner));
    if (value != nullptr && value->is_null() && kept_nulls_.contains(value)) return {};
    return set_field(pool_, object, name, value, from == nullptr ? YamlStyle::plain : key_style(*patch, name));
  }

  Result<YamlNode*> merged_list(YamlNode* object, YamlNode* patch, const MergeSchema::Field& rule) {
    if (is_missing(object)) {
      object = patch;
    } else {
      if (patch != nullptr && patch->is_null()) return nullptr;
      const Directive directive = TRY(directive_of(patch));
      if (directive == Directive::remove) return nullptr;
      if (directive == Directive::replace) object = patch;
    }
    if (object == nullptr) return nullptr;
    Keys keys = rule.keys;
    std::vector<Values> values = rule.keys.empty() ? primitive_values(object, patch) : item_values(object, patch, keys);
    if (keys.empty()) keys = {""};
    return merge_items(object, patch, rule, std::move(values), keys);
  }

  // The patch's come first.
  static std::vector<Values> primitive_values(const YamlNode* object, const YamlNode* patch) {
    std::vector<Values> out;
    std::set<std::string> seen;
    for (const YamlNode* list : {patch, object})
      for (std::size_t i = 0; list != nullptr && i < list->content.size(); ++i)
        if (seen.insert(list->content[i]->value).second) out.push_back({list->content[i]->value});
    return out;
  }

  static std::vector<Values> item_values(const YamlNode* object, const YamlNode* patch, const Keys& keys) {
    std::vector<Values> out;
    std::set<Values> seen;
    for (const YamlNode* list : {patch, object}) {
      for (std::size_t i = 0; list != nullptr && list->is_sequence() && i < list->content.size(); ++i) {
        Values values;
        for (const std::string& key : keys) {
          const YamlNode* found = field(list->content[i], key);
          values.push_back(is_empty(found) ? std::string() : found->value);
        }
        if (seen.insert(values).second) out.push_back(std::move(values));
      }
    }
    return out;
  }

  static YamlNode* find_item(YamlNode* list, const Keys& keys, const Values& values) {
    if (list == nullptr || !list->is_sequence()) return nullptr;
    for (YamlNode* item : list->content) {
      if (keys[0].empty()) {
        if (item->value == values[0]) return item;
        continue;
      }
      if (!is_missing(item) && !item->is_mapping()) continue;
      bool all = keys.size() == values.size();
      for (std::size_t i = 0; i < keys.size() && all; ++i) all = match_field(*item, keys[i], &values[i]) != nullptr;
      if (all) return item;
    }
    return nullptr;
  }

  Result<YamlNode*> merge_items(YamlNode* object, YamlNode* patch, const MergeSchema::Field& rule, std::vector<Values> all, const Keys& keys) {
    YamlNode* merged = pool_.make(YamlKind::sequence);
    if (keys.size() > 1)
      for (std::size_t i = 0; i < all.size(); ++i)
        for (std::size_t j = 0; j < all.size(); ++j)
          if (const auto common = common_values(all[i], all[j])) all[i] = all[j] = *common;
    Keys used;
    Values values;
    for (const Values& one : all) {
      std::tie(used, values) = used_keys(all, one, keys);
      const auto [find_keys, find_values] = used_keys({values}, values, used);
      YamlNode* made = TRY(walk(find_item(object, find_keys, find_values), find_item(patch, find_keys, find_values), {rule.type, nullptr}));
      if (is_missing(made) || (made->is_mapping() && made->content.empty())) {
        for (std::size_t i = 0; i < used.size(); ++i) TRY(set_element(*object, nullptr, used, values));
        continue;
      }
      for (std::size_t i = 0; i < used.size(); ++i) TRY(ensure_key(*made, used[i], values[i]));
      TRY(set_element(*merged, made, used, values));
    }
    if (all.empty()) return is_missing(object) ? nullptr : object;
    TRY(append_items(*merged, *object, used));
    return merged;
  }

  Result<> ensure_key(YamlNode& item, const std::string& key, const std::string& value) {
    if (value.empty() || (item.is_mapping() && item.find(key) != nullptr)) return {};
    if (key.empty()) return set_scalar(item, *pool_.scalar(value));
    return set_field(pool_, item, key, pool_.scalar(value));
  }

  static Result<> append_items(YamlNode& merged, const YamlNode& object, const Keys& keys) {
    for (YamlNode* item : std::vector<YamlNode*>(object.content)) {
      if (keys[0].empty()) {
        TRY(set_element(merged, item, {""}, {item->value}));
        continue;
      }
      Values values;
      for (const std::string& key : keys) {
        if (!is_missing(item) && !item->is_mapping()) return wrong_kind(YamlKind::mapping, *item);
        const YamlNode* found = item->find(key);
        if (found == nullptr) merged.content.push_back(item);
        else values.push_back(found->value);
      }
      if (keys.size() > 1) TRY(set_element(merged, nullptr, keys, values));
      TRY(set_element(merged, item, keys, values));
    }
    return {};
  }

  YamlPool& pool_;
  const MergeSchema& schema_;
  std::set<const YamlNode*> kept_nulls_;
};

}  // namespace

Result<YamlNode*> merge(YamlPool& pool, const MergeSchema& schema, YamlNode* object, YamlNode* patch) {
  return Merger(pool, schema).walk(object, patch, {});
}

}  // namespace slipway::cd::kustomize
