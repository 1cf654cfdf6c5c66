// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/resource.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

std::string_view view_of(const YamlNode* node) { return node == nullptr ? std::string_view() : std::string_view(node->value); }
std::string_view view_of_filled(const YamlNode* node) { return is_empty(node) ? std::string_view() : std::string_view(node->value); }

std::string_view behavior_name(Behavior behavior) {
  static constexpr std::string_view names[] = {"unspecified", "create", "replace", "merge"};
  return names[static_cast<std::size_t>(behavior)];
}

}  // namespace

std::string_view Resource::kind() const { return view_of(field(node, "kind")); }
std::string_view Resource::name() const { return view_of_filled(lookup(node, {"metadata", "name"})); }
std::string_view Resource::ns() const { return view_of_filled(lookup(node, {"metadata", "namespace"})); }

ResId Resource::id() const {
  ResId id{gvk(), std::string(name()), std::string(ns())};
  id.cluster_scoped = id.gvk.is_cluster_scoped();
  return id;
}

ResId Resource::original_id() const {
  if (former.empty()) return id();
  Gvk gvk = this->gvk();
  gvk.kind = former[0].kind;
  return {gvk, former[0].name, former[0].ns};
}

std::vector<ResId> Resource::former_ids() const {
  std::vector<ResId> out;
  for (const Former& one : former) {
    Gvk gvk = this->gvk();
    gvk.kind = one.kind;
    out.push_back({gvk, one.name, one.ns});
  }
  return out;
}

void Resource::store_id() {
  const ResId now = id();
  former.push_back({now.name, now.effective_namespace(), now.gvk.kind});
}

Result<> set_top(YamlPool& pool, YamlNode& object, std::string_view name, std::string_view value) { return set_field(pool, object, name, pool.scalar(value)); }

Result<> set_name(YamlPool& pool, YamlNode& object, std::string_view name) {
  return set_field(pool, *field_or_new(pool, object, "metadata", YamlKind::mapping), "name", pool.scalar(name));
}

Result<> set_namespace(YamlPool& pool, YamlNode& object, std::string_view ns) {
  if (ns.empty()) {
    if (YamlNode* metadata = object.find("metadata")) clear_field(*metadata, "namespace");
    return {};
  }
  return set_field(pool, *field_or_new(pool, object, "metadata", YamlKind::mapping), "namespace", pool.scalar(ns));
}

void ResourceMap::index() const {
  if (!stale_) return;
  any_.clear();
  current_.clear();
  for (const ResourcePtr& one : list_) {
    const std::string now = one->id().key();
    ++current_[now];
    if (one->is_empty()) continue;
    const auto add = [&](const std::string& key) {
      auto& at = any_[key];
      if (at.empty() || at.back() != one) at.push_back(one);
    };
    for (const ResId& id : one->former_ids()) add(id.key());
    add(now);
  }
  stale_ = false;
}

const std::vector<ResourcePtr>& ResourceMap::by_any_id(const ResId& id) const {
  static const std::vector<ResourcePtr> none;
  index();
  const auto found = any_.find(id.key());
  return found == any_.end() ? none : found->second;
}

Result<ResourcePtr> ResourceMap::only_by_any_id(const ResId& id) const {
  const auto& found = by_any_id(id);
  if (found.size() == 1) return found[0];
  return fail(found.empty() ? ErrorCode::not_found : ErrorCode::invalid,
              fmt::format("{} matches for Id {}; failed to find unique target for patch {}", found.empty() ? "no" : "multiple", id.to_string(), id.to_string()));
}

Result<> ResourceMap::append(ResourcePtr resource) {
  index();
  const ResId id = resource->id();
  const std::string key = id.key();
  if (current_.contains(key)) return fail(ErrorCode::already_exists, fmt::format("may not add resource with an already registered id: {}", id.to_string()));
  ++current_[key];
  for (const ResId& one : resource->former_ids()) {
    auto& at = any_[one.key()];
    if (at.empty() || at.back() != resource) at.push_back(resource);
  }
  auto& at = any_[key];
  if (at.empty() || at.back() != resource) at.push_back(resource);
  list_.push_back(std::move(resource));
  return {};
}

Result<> ResourceMap::append_all(const ResourceMap& other) {
  for (const ResourcePtr& one : other.list_) TRY(append(one));
  return {};
}

void ResourceMap::drop_empty() {
  if (std::erase_if(list_, [](const ResourcePtr& one) { return one->is_empty(); }) > 0) stale_ = true;
}

Result<> merge_metadata(YamlPool& pool, Resource& resource, const Resource& other) {
  const auto merged = [](StringMap base, const StringMap& over) {
    for (const auto& [key, value] : over) base[key] = value;
    return base;
  };
  TRY(set_metadata_map(pool, *resource.node, "labels", merged(other.labels(), resource.labels())));
  TRY(set_metadata_map(pool, *resource.node, "annotations", merged(other.annotations(), resource.annotations())));
  TRY(set_name(pool, *resource.node, other.name()));
  TRY(set_namespace(pool, *resource.node, other.ns()));
  resource.variables = other.variables;
  return {};
}

namespace {

// `now` takes the values of `old` that it does not name itself.
Result<> merge_data(YamlPool& pool, YamlNode& now, const YamlNode& old, std::string_view name) {
  StringMap data = string_map(old.find(name));
  for (const auto& [key, value] : string_map(now.find(name))) data[key] = value;
  clear_field(now, name);
  if (data.empty()) return {};
  YamlNode* map = field_or_new(pool, now, name, YamlKind::mapping);
  for (const auto& [key, value] : data) TRY(set_field(pool, *map, key, text_node(pool, value)));
  return {};
}

Result<> take_over(YamlPool& pool, Resource& now, const Resource& old) {
  const bool needs_hash = now.needs_hash;
  const auto origin = old.origin;
  TRY(merge_metadata(pool, now, old));
  now.former = old.former;
  now.prefixes = old.prefixes;
  now.suffixes = old.suffixes;
  now.needs_hash = needs_hash && old.needs_hash;
  if (now.behavior == Behavior::merge) {
    TRY(merge_data(pool, *now.node, *old.node, "data"));
    TRY(merge_data(pool, *now.node, *old.node, "binaryData"));
    if (origin) now.origin = origin;
  }
  now.behavior = old.behavior;
  return {};
}

}  // namespace

Result<> ResourceMap::absorb(YamlPool& pool, const std::vector<ResourcePtr>& generated) {
  for (const ResourcePtr& one : generated) {
    const ResId id = one->id();
    const auto matches = by_any_id(id);
    const bool changes = one->behavior == Behavior::merge || one->behavior == Behavior::replace;
    if (matches.empty()) {
      if (changes) return fail(ErrorCode::not_found, fmt::format("id {} does not exist; cannot merge or replace", id.to_string()));
      TRY(append(one));
      continue;
    }
    if (matches.size() > 1) return fail(ErrorCode::invalid, fmt::format("found multiple objects that could accept merge of {}", id.to_string()));
    if (!changes)
      return fail(ErrorCode::already_exists, fmt::format("id {} exists; can not use behavior: '{}', behavior must be merge or replace", id.to_string(), behavior_name(one->behavior)));
    TRY(take_over(pool, *one, *matches[0]));
    const ResourcePtr old = matches[0];
    *std::ranges::find(list_, old) = one;
    stale_ = true;
  }
  return {};
}

namespace {

std::string go_map(const StringMap& map) {
  std::string out = "map[";
  for (const auto& [key, value] : map) out += (out.size() > 4 ? " " : "") + key + ":" + value;
  return out + "]";
}

Result<> check_metadata(const YamlNode& node) {
  const std::string kind = text_of(field(&node, "kind"));
  const Resource probe{const_cast<YamlNode*>(&node)};
  const std::string api_version = text_of(field(&node, "apiVersion"));
  if (kind.empty() && api_version.empty() && is_empty(field(&node, "metadata"))) return fail(ErrorCode::invalid, "missing Resource metadata");
  const auto shown = [&] {
    return fmt::format("{{{{{} {}}} {{{{{} {}}} {} {}}}}}", api_version, kind, probe.name(), probe.ns(), go_map(probe.labels()), go_map(probe.annotations()));
  };
  if (kind.empty()) return fail(ErrorCode::invalid, "missing kind in object " + shown());
  if (kind.ends_with("List") || !probe.name().empty()) return {};
  return fail(ErrorCode::invalid, "missing metadata.name in object " + shown());
}

// Separators are lines that begin with "---"; more than a comment behind it is refused.
Result<std::vector<std::string_view>> split_documents(std::string_view text) {
  std::vector<std::string_view> out;
  std::size_t begin = 0, search = 0;
  while (true) {
    const auto at = text.find("\n---", search);
    if (at == text.npos) break;
    const auto end = text.find('\n', at + 1);
    if (end == text.npos) break;
    const std::string_view rest = trim(text.substr(at + 4, end - at - 4));
    if (!rest.empty() && rest[0] != '#') return fail(ErrorCode::invalid, fmt::format("invalid document separator: {}", trim(text.substr(at, end - at))));
    out.push_back(text.substr(begin, at + 1 - begin));
    begin = search = end + 1;
  }
  if (!text.empty()) out.push_back(text.substr(begin));
  return out;
}

// Places count from the start of the file.
std::unexpected<Error> malformed(Error error, std::ptrdiff_t lines_before) {
  error.message = "MalformedYAMLError: " + error.message;
  if (error.places.empty()) return std::unexpected(std::move(error));
  const auto colon = error.places[0].find(':');
  const std::int64_t line = parse_int(error.places[0].substr(0, colon)).value_or(1) + lines_before;
  error.places[0] = fmt::format("{}{}", line, error.places[0].substr(colon));
  return std::unexpected(std::move(error));
}

Result<> take_apart(YamlPool& pool, std::vector<YamlNode*>& nodes) {
  std::vector<YamlNode*> out;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    YamlNode* node = nodes[i];
    const YamlNode* items = field(node, "items");
    if (!text_of(field(node, "kind")).ends_with("List") || items == nullptr) {
      out.push_back(node);
      continue;
    }
    if (items->is_null()) continue;
    if (!items->is_sequence()) return fail(ErrorCode::invalid, fmt::format("expected array in {}/items, but found something else", text_of(field(node, "kind"))));
    for (const YamlNode* item : items->content) {
      YamlNode* made = text::yaml_node_of(pool, TRY(text::to_json(*item)));
      if (is_empty(made)) continue;
      TRY(check_metadata(*made));
      nodes.push_back(made);
    }
  }
  nodes = std::move(out);
  return {};
}

}  // namespace

Result<std::vector<ResourcePtr>> parse_resources(YamlPool& pool, std::string_view given) {
  const std::string normal = given.find("\r\n") == given.npos ? std::string() : replace_all(std::string(given), "\r\n", "\n");
  const std::string_view text = normal.empty() ? given : std::string_view(normal);
  const auto documents = TRY(split_documents(text));
  std::vector<YamlNode*> nodes;
  for (const auto document : documents) {
    auto read = text::parse_yaml_node(pool, document);
    if (!read) return malformed(read.error(), std::count(text.data(), document.data(), '\n'));
    YamlNode* node = *read;
    if (is_missing(node)) continue;
    const std::string kind = text_of(field(node, "kind"));
    const YamlNode* items = field(node, "items");
    if (documents.size() == 1 && (kind == "List" || kind == "ResourceList") && (items != nullptr || field(node, "functionConfig") != nullptr)) {
      if (items != nullptr) nodes.insert(nodes.end(), items->content.begin(), items->content.end());
    } else {
      nodes.push_back(node);
    }
  }
  std::erase_if(nodes, [](const YamlNode* node) { return is_empty(node); });
  for (const YamlNode* node : nodes) TRY(check_metadata(*node));
  TRY(take_apart(pool, nodes));
  std::vector<ResourcePtr> out;
  for (YamlNode* node : nodes) {
    out.push_back(std::make_shared<Resource>());
    out.back()->node = node;
  }
  return out;
}

namespace {

std::string yaml_text(std::string_view value) {
  const Json one = Json::object({{"k", value}});
  std::string line = text::to_yaml(one);
  return line.substr(3, line.size() - 4);
}

}  // namespace

std::string Origin::to_yaml() const {
  std::string out;
  if (!path.empty()) out += "path: " + yaml_text(path) + "\n";
  if (!configured_in.empty()) out += "configuredIn: " + yaml_text(configured_in) + "\n";
  std::string by;
  for (const auto& [name, value] : {std::pair{"apiVersion", api_version}, {"kind", kind}, {"name", name}, {"namespace", ns}})
    if (!value.empty()) by += fmt::format("  {}: {}\n", name, yaml_text(value));
  return by.empty() ? out : out + "configuredBy:\n" + by;
}

}  // namespace slipway::cd::kustomize
