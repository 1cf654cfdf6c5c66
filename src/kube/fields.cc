// SPDX-License-Identifier: Apache-2.0
#include "kube/fields.h"

#include <algorithm>
#include <array>

namespace slipway::kube {
namespace {

struct KeyedList {
  std::string_view field;
  std::vector<std::string> keys;
};

// The keyed lists of the built-in kinds. A field name means the same wherever it stands, but for ports.
const std::vector<KeyedList>& keyed_lists() {
  static const std::vector<KeyedList> lists{
      {"containers", {"name"}}, {"initContainers", {"name"}}, {"ephemeralContainers", {"name"}}, {"volumes", {"name"}}, {"env", {"name"}},
      {"volumeMounts", {"mountPath"}}, {"volumeDevices", {"devicePath"}}, {"imagePullSecrets", {"name"}}, {"conditions", {"type"}},
      {"ownerReferences", {"uid"}}, {"hostAliases", {"ip"}}, {"topologySpreadConstraints", {"topologyKey", "whenUnsatisfiable"}},
      {"secrets", {"name"}}, {"podIPs", {"ip"}}, {"hostIPs", {"ip"}}, {"addresses", {"type"}}, {"resourceClaims", {"name"}}};
  return lists;
}

constexpr std::array<std::string_view, 2> set_lists{"finalizers", "podCIDRs"};
constexpr std::array<std::string_view, 9> atomic_maps{"selector", "labelSelector", "nodeSelector", "secretKeyRef", "configMapKeyRef",
                                                      "fieldRef", "resourceFieldRef", "targetRef", "involvedObject"};
constexpr std::array<std::string_view, 9> identity{"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
                                                   "deletionTimestamp", "managedFields", "generateName"};

bool all_objects_with(const Json& list, std::string_view key) {
  return std::ranges::all_of(list.items(), [&](const Json& item) { return item.is_object() && item.contains(key); });
}

}  // namespace

ListKind list_kind(std::string_view field, const Json& list) {
  if (field == "ports" && all_objects_with(list, "containerPort")) return {ListKind::Kind::keyed, {"containerPort", "protocol"}};
  if (field == "ports" && all_objects_with(list, "port")) return {ListKind::Kind::keyed, {"port", "protocol"}};
  for (const KeyedList& known : keyed_lists())
    if (known.field == field && all_objects_with(list, known.keys[0])) return {ListKind::Kind::keyed, known.keys};
  if (std::ranges::find(set_lists, field) != set_lists.end()) return {ListKind::Kind::set, {}};
  return {};
}

bool is_atomic_map(std::string_view field, const Json& value) { return value.is_object() && std::ranges::find(atomic_maps, field) != atomic_maps.end(); }

std::optional<std::string> item_key(const ListKind& kind, const Json& item) {
  if (kind.kind == ListKind::Kind::set) return "v:" + text::to_json(item);
  Json key = Json::object();
  std::vector<std::string> names = kind.keys;
  std::ranges::sort(names);
  for (const std::string& name : names) {
    if (item.contains(name)) key = key.with(name, item[name]);
    else if (name == "protocol") key = key.with(name, "TCP");
    else return std::nullopt;
  }
  return "k:" + text::to_json(key);
}

namespace {

void collect(const Json& value, std::string_view field, FieldSet& into);

void collect_members(const Json& object, FieldSet& into) {
  for (const auto& member : object.members()) collect(member.value, member.key(), into.children["f:" + std::string(member.key())]);
}

void collect(const Json& value, std::string_view field, FieldSet& into) {
  if (value.is_object() && !value.empty() && !is_atomic_map(field, value)) return collect_members(value, into);
  if (value.is_array() && !value.empty()) {
    const ListKind kind = list_kind(field, value);
    if (kind.kind != ListKind::Kind::atomic) {
      for (const Json& item : value.items()) {
        const auto key = item_key(kind, item);
        if (!key) continue;
        FieldSet& child = into.children[*key];
        child.self = true;
        if (item.is_object()) collect_members(item, child);
      }
      return;
    }
  }
  into.self = true;
}

}  // namespace

FieldSet FieldSet::of(const Json& object) {
  FieldSet out;
  collect_members(object.without("apiVersion").without("kind"), out);
  if (const auto metadata = out.children.find("f:metadata"); metadata != out.children.end()) {
    for (const auto name : identity) metadata->second.children.erase("f:" + std::string(name));
    metadata->second.self = false;
    if (metadata->second.empty()) out.children.erase(metadata);
  }
  return out;
}

FieldSet FieldSet::parse(const Json& fields) {
  FieldSet out;
  if (fields.empty()) out.self = true;
  for (const auto& member : fields.members()) {
    if (member.key() == ".") out.self = true;
    else out.children[std::string(member.key())] = parse(member.value);
  }
  return out;
}

Json FieldSet::to_json() const {
  Json out = Json::object();
  if (self && !children.empty()) out = out.with(".", Json::object());
  for (const auto& [key, child] : children) out = out.with(key, child.to_json());
  return out;
}

void FieldSet::insert(const std::vector<std::string>& path) {
  FieldSet* at = this;
  for (const auto& key : path) at = &at->children[key];
  at->self = true;
}

void FieldSet::erase(const std::vector<std::string>& path) {
  std::vector<FieldSet*> way{this};
  for (const auto& key : path) {
    const auto next = way.back()->children.find(key);
    if (next == way.back()->children.end()) return;
    way.push_back(&next->second);
  }
  way.back()->self = false;
  for (std::size_t i = path.size(); i > 0 && way[i]->empty(); --i) way[i - 1]->children.erase(path[i - 1]);
}

bool FieldSet::covers(const std::vector<std::string>& path) const {
  const FieldSet* at = this;
  for (const auto& key : path) {
    const auto next = at->children.find(key);
    if (next == at->children.end()) return at->self && at != this && at->children.empty();
    at = &next->second;
  }
  return at->self || !at->children.empty();
}

void FieldSet::walk(std::vector<std::string>& path, const std::function<void(const std::vector<std::string>&)>& visit) const {
  if (self && !path.empty()) visit(path);
  for (const auto& [key, child] : children) {
    path.push_back(key);
    child.walk(path, visit);
    path.pop_back();
  }
}

void FieldSet::each(const std::function<void(const std::vector<std::string>&)>& visit) const {
  std::vector<std::string> path;
  walk(path, visit);
}

FieldSet FieldSet::united(const FieldSet& other) const {
  FieldSet out = *this;
  other.each([&](const auto& path) { out.insert(path); });
  return out;
}

FieldSet FieldSet::without(const FieldSet& other) const {
  FieldSet out = *this;
  other.each([&](const auto& path) { out.erase(path); });
  return out;
}

FieldSet FieldSet::common(const FieldSet& other) const {
  FieldSet out;
  each([&](const auto& path) {
    const FieldSet* at = &other;
    for (const auto& key : path) {
      const auto next = at->children.find(key);
      if (next == at->children.end()) return;
      at = &next->second;
    }
    if (at->self) out.insert(path);
  });
  return out;
}

std::string describe_path(const std::vector<std::string>& path) {
  std::string out;
  for (const auto& key : path) {
    if (key.starts_with("f:")) {
      out += "." + key.substr(2);
    } else if (key.starts_with("k:")) {
      const auto parts = text::parse_json(key.substr(2));
      std::string inside;
      if (parts)
        for (const auto& member : parts->members()) inside += (inside.empty() ? "" : ",") + std::string(member.key()) + "=" + text::to_json(member.value);
      out += "[" + inside + "]";
    } else {
      out += "[=" + key.substr(2) + "]";
    }
  }
  return out;
}

namespace {

// The index of the item that the key names.
std::optional<std::size_t> find_item(const Json& list, std::string_view field, const std::string& key) {
  const ListKind kind = list_kind(field, list);
  for (std::size_t i = 0; i < list.size(); ++i)
    if (kind.kind != ListKind::Kind::atomic && item_key(kind, list[i]) == key) return i;
  return std::nullopt;
}

Json without_at(const Json& value, std::string_view field, const std::vector<std::string>& path, std::size_t depth) {
  const std::string& key = path[depth];
  const bool last = depth + 1 == path.size();
  if (key.starts_with("f:")) {
    const std::string name = key.substr(2);
    if (!value.contains(name)) return value;
    return last ? value.without(name) : value.with(name, without_at(value[name], name, path, depth + 1));
  }
  const auto index = find_item(value, field, key);
  if (!index) return value;
  if (!last) return value.with_item(*index, without_at(value[*index], {}, path, depth + 1));
  std::vector<Json> rest;
  for (std::size_t i = 0; i < value.size(); ++i)
    if (i != *index) rest.push_back(value[i]);
  return Json::array(std::move(rest));
}

}  // namespace

std::optional<Json> value_at(const Json& object, const std::vector<std::string>& path) {
  Json at = object;
  std::string field;
  for (const auto& key : path) {
    if (key.starts_with("f:")) {
      field = key.substr(2);
      if (!at.contains(field)) return std::nullopt;
      const Json next = at[field];
      at = next;
    } else {
      const auto index = find_item(at, field, key);
      if (!index) return std::nullopt;
      const Json next = at[*index];
      at = next;
    }
  }
  return at;
}

Json without_path(const Json& object, const std::vector<std::string>& path) { return path.empty() ? object : without_at(object, {}, path, 0); }

}  // namespace slipway::kube
