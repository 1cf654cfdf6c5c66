// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/json_patch.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::cd::kustomize {
namespace {

struct Place {
  YamlNode* parent = nullptr;  // nullptr: the path leads to nothing
  std::string key;
};

std::string decoded(std::string_view part) { return replace_all(replace_all(std::string(part), "~1", "/"), "~0", "~"); }

// Where an item stands; a negative index counts from the end of `size`.
Result<std::size_t> index_of(std::string_view key, std::size_t size) {
  const std::string_view digits = key.starts_with('+') ? key.substr(1) : key;
  const auto index = parse_int(digits);
  if (!index) return fail(ErrorCode::invalid, fmt::format("strconv.Atoi: parsing \"{}\": invalid syntax", key));
  const auto signed_size = static_cast<std::int64_t>(size);
  if (*index >= signed_size || *index < -signed_size) return fail(ErrorCode::invalid, fmt::format("Unable to access invalid index: {}: invalid index referenced", *index));
  return static_cast<std::size_t>(*index < 0 ? *index + signed_size : *index);
}

// In a mapping nullptr where absent.
Result<YamlNode*> get(const Place& at) {
  if (at.parent->is_mapping()) return at.parent->find(at.key);
  return at.parent->content[TRY(index_of(at.key, at.parent->content.size()))];
}

Place find(YamlNode* root, std::string_view path) {
  const auto parts = split(path, '/');
  if (parts.size() < 2) return {};
  Place at{root, decoded(parts.back())};
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    const auto next = get({at.parent, decoded(parts[i])});
    if (!next || is_missing(*next) || (*next)->is_scalar()) return {};
    at.parent = *next;
  }
  return at;
}

void set_member(YamlPool& pool, YamlNode& map, const std::string& key, YamlNode* value) {
  for (std::size_t i = 0; i + 1 < map.content.size(); i += 2) {
    if (map.content[i]->value != key) continue;
    map.content[i + 1] = value;
    return;
  }
  map.content.push_back(text::yaml_node_of(pool, Json(key)));
  map.content.push_back(value);
}

class Patcher {
 public:
  Patcher(YamlPool& pool, YamlNode* root) : pool_(pool), root_(root) {}

  Result<> apply(const Json& operation) {
    const std::string op = operation["op"].str("unknown");
    const bool known = op == "add" || op == "remove" || op == "replace" || op == "test" || op == "move" || op == "copy";
    if (!known) return fail(ErrorCode::invalid, fmt::format("Unexpected kind: {}", op));
    for (const auto* name : {"path", "from"}) {
      const bool needed = std::string_view(name) == "path" || op == "move" || op == "copy";
      if (needed && !operation[name].is_string()) return fail(ErrorCode::invalid, fmt::format("{} operation failed to decode {}: missing value", op, name));
    }
    const std::string path = operation["path"].str();
    if (op == "replace" && path.empty()) {
      root_ = text::yaml_node_of(pool_, operation["value"]);
      return {};
    }
    if (op == "test" && path.empty()) return TRY(text::to_json(*root_)) == operation["value"] ? Result<>() : fail(ErrorCode::invalid, "testing value  failed: test failed");
    if (op == "move" || op == "copy") return transfer(op, operation["from"].str(), path);
    const Place at = find(root_, path);
    if (at.parent == nullptr) return missing(op, path);
    if (op == "add") return add(at, text::yaml_node_of(pool_, operation["value"]), path);
    if (op == "remove") return remove(at, op, path);
    if (op == "replace") return replace(at, operation["value"], path);
    return test(at, operation["value"], path);
  }

  YamlNode* root() const { return root_; }

 private:
  static std::unexpected<Error> missing(std::string_view op, std::string_view path) {
    return fail(ErrorCode::not_found, fmt::format("{} operation does not apply: doc is missing path: \"{}\": missing value", op, path));
  }
  static std::unexpected<Error> in(std::string_view op, std::string_view path, const Error& error) {
    return fail(error.code, fmt::format("error in {} for path: '{}': {}", op, path, error.message));
  }

  Result<> add(const Place& at, YamlNode* value, std::string_view path) {
    if (at.parent->is_mapping()) return set_member(pool_, *at.parent, at.key, value), Result<>();
    auto& list = at.parent->content;
    if (at.key == "-") return list.push_back(value), Result<>();
    const auto index = index_of(at.key, list.size() + 1);
    if (!index) return in("add", path, index.error());
    list.insert(list.begin() + static_cast<std::ptrdiff_t>(*index), value);
    return {};
  }

  static Result<> remove(const Place& at, std::string_view op, std::string_view path) {
    if (at.parent->is_mapping()) {
      if (at.parent->find(at.key) == nullptr) return fail(ErrorCode::not_found, fmt::format("error in {} for path: '{}': Unable to remove nonexistent key: {}: missing value", op, path, at.key));
      clear_field(*at.parent, at.key);
      return {};
    }
    const auto index = index_of(at.key, at.parent->content.size());
    if (!index) return in(op, path, index.error());
    at.parent->content.erase(at.parent->content.begin() + static_cast<std::ptrdiff_t>(*index));
    return {};
  }

  Result<> replace(const Place& at, const Json& value, std::string_view path) {
    YamlNode* made = text::yaml_node_of(pool_, value);
    if (at.parent->is_mapping()) return set_member(pool_, *at.parent, at.key, made), Result<>();
    const auto index = index_of(at.key, at.parent->content.size());
    if (!index) return fail(ErrorCode::not_found, fmt::format("replace operation does not apply: doc is missing key: {}: missing value", path));
    at.parent->content[*index] = made;
    return {};
  }

  static Result<> test(const Place& at, const Json& value, std::string_view path) {
    const YamlNode* found = TRY(get(at));
    if ((found == nullptr && value.is_null()) || (found != nullptr && TRY(text::to_json(*found)) == value)) return {};
    return fail(ErrorCode::conflict, fmt::format("testing value {} failed: test failed", path));
  }

  Result<> transfer(const std::string& op, const std::string& from, const std::string& path) {
    const Place source = find(root_, from);
    if (source.parent == nullptr) return missing(op, from);
    const auto found = get(source);
    if (!found) return in(op, from, found.error());
    if (op == "move") TRY(remove(source, op, from));
    const Place target = find(root_, path);
    if (target.parent == nullptr) return missing(op, path);
    YamlNode* value = *found == nullptr ? pool_.scalar("null", YamlTag::null) : op == "copy" ? pool_.copy(**found) : *found;
    return add(target, value, path);
  }

  YamlPool& pool_;
  YamlNode* root_;
};

// Numbers are floats on the way through JSON, as in Go.
void round_numbers(YamlNode& node) {
  if (node.tag == YamlTag::integer && node.value.size() > 15) node.value = text::to_json(Json(std::strtod(node.value.c_str(), nullptr)));
  for (YamlNode* child : node.content) round_numbers(*child);
}

}  // namespace

Result<YamlNode*> apply_json_patch(YamlPool& pool, YamlNode* root, const Json& operations) {
  if (operations.size() > max_operations) return fail(ErrorCode::too_large, fmt::format("a JSON patch of more than {} operations", max_operations));
  Patcher patcher(pool, root);
  for (const Json& one : operations.items()) TRY(patcher.apply(one));
  round_numbers(*patcher.root());
  return patcher.root();
}

}  // namespace slipway::cd::kustomize
