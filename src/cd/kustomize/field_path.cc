// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/field_path.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "cd/kustomize/selector.h"

namespace slipway::cd::kustomize {
namespace {

using Nodes = std::vector<YamlNode*>;
using Path = std::vector<std::string>;

bool is_list_index(std::string_view part) { return part.starts_with('[') && part.ends_with(']'); }
bool is_number(std::string_view part) {
  const auto value = parse_int(part);
  return value && *value >= 0;
}

Result<std::pair<std::string, std::string>> split_condition(std::string_view part) {
  part = part.substr(1, part.size() - 2);
  const auto equal = part.find('=');
  if (equal == part.npos) return fail(ErrorCode::invalid, "list path element must contain fieldName=fieldValue for element to match");
  return std::pair{std::string(part.substr(0, equal)), std::string(part.substr(equal + 1))};
}

YamlKind kind_before(const Path& path, std::size_t next, YamlKind last) {
  if (next >= path.size()) return last;
  return is_list_index(path[next]) || is_number(path[next]) ? YamlKind::sequence : YamlKind::mapping;
}

class Matcher {
 public:
  Matcher(YamlPool& pool, const Path& path, YamlKind create) : pool_(pool), path_(path), create_(create) {}

  Result<Nodes> match(YamlNode* node, std::size_t at) {
    if (at == path_.size()) return Nodes{node};
    const std::string& part = path_[at];
    if (is_number(part)) return item(node, at);
    if (is_list_index(part)) return items_where(node, at, true);
    if (part == "*") return every_item(node, at);
    return member(node, at);
  }

 private:
  static Result<> require_list(const YamlNode* node) {
    if (is_missing(node) || node->is_sequence()) return {};
    return wrong_kind(YamlKind::sequence, *node);
  }

  Result<Nodes> every_item(YamlNode* node, std::size_t at) {
    TRY(require_list(node));
    Nodes out;
    if (is_missing(node)) return out;
    for (YamlNode* one : node->content) append(out, TRY(match(one, at + 1)));
    return out;
  }

  static void append(Nodes& out, const Nodes& more) { out.insert(out.end(), more.begin(), more.end()); }

  Result<Nodes> item(YamlNode* node, std::size_t at) {
    TRY(require_list(node));
    const auto index = static_cast<std::size_t>(*parse_int(path_[at]));
    const std::size_t size = node == nullptr ? 0 : node->content.size();
    if (node != nullptr && size == index && create_ != YamlKind::none) node->content.push_back(pool_.make(kind_before(path_, at + 1, create_)));
    if (node == nullptr || node->content.size() < index + 1) return fail(ErrorCode::not_found, fmt::format("index {} specified but only {} elements found", index, size));
    return match(node->content[index], at + 1);
  }

  Result<Nodes> items_where(YamlNode* node, std::size_t at, bool may_create) {
    TRY(require_list(node));
    const auto [name, expression] = TRY(split_condition(path_[at]));
    const Pattern pattern = TRY(Pattern::compile(expression, Pattern::Anchor::anywhere));
    Nodes out;
    for (YamlNode* one : node == nullptr ? Nodes() : node->content) {
      const YamlNode* value = name.empty() ? one : field(one, name);
      if (value == nullptr || !pattern.matches(trim(text::to_yaml_text(*value)))) continue;
      if (name.empty()) out.push_back(one);
      else append(out, TRY(match(one, at + 1)));
    }
    if (!out.empty() || create_ == YamlKind::none || !may_create || node == nullptr) return out;
    YamlNode* made = pool_.scalar(expression);
    if (!name.empty()) {
      YamlNode* map = pool_.make(YamlKind::mapping);
      map->content = {pool_.scalar(name), made};
      made = map;
    }
    node->content.push_back(made);
    return items_where(node, at, false);
  }

  Result<Nodes> member(YamlNode* node, std::size_t at) {
    if (is_missing(node)) return Nodes{};
    if (!node->is_mapping()) return wrong_kind(YamlKind::mapping, *node);
    YamlNode* found = node->find(path_[at]);
    if (found == nullptr && create_ == YamlKind::none) return Nodes{};
    if (found == nullptr) found = field_or_new(pool_, *node, path_[at], kind_before(path_, at + 1, create_));
    return match(found, at + 1);
  }

  YamlPool& pool_;
  const Path& path_;
  const YamlKind create_;
};

Result<YamlNode*> one_step(YamlNode* node, const std::string& part) {
  if (is_number(part) || part == "-" || is_list_index(part)) {
    if (!node->is_sequence()) return wrong_kind(YamlKind::sequence, *node);
    if (part == "-") return node->content.empty() ? nullptr : node->content.back();
    if (const auto index = parse_int(part)) return static_cast<std::size_t>(*index) < node->content.size() ? node->content[static_cast<std::size_t>(*index)] : nullptr;
    const auto [name, value] = TRY(split_condition(part));
    for (YamlNode* one : node->content) {
      const YamlNode* found = name.empty() ? one : field(one, name);
      if (found != nullptr && found->value == value) return one;
    }
    return nullptr;
  }
  if (part == "*") return fail(ErrorCode::invalid, "wildcard is not supported in PathGetter");
  if (!node->is_mapping()) return wrong_kind(YamlKind::mapping, *node);
  return node->find(part);
}

}  // namespace

Result<YamlNode*> look_up_path(YamlNode* node, const std::vector<std::string>& path) {
  for (const std::string& part : path) {
    if (trim(part).empty()) continue;
    if (is_missing(node)) return nullptr;
    node = TRY(one_step(node, std::string(trim(part))));
    if (node == nullptr) return nullptr;
  }
  return node;
}

Result<std::vector<YamlNode*>> match_path(YamlPool& pool, YamlNode* node, const std::vector<std::string>& path, YamlKind create) {
  return Matcher(pool, path, create).match(node, 0);
}

}  // namespace slipway::cd::kustomize
