// SPDX-License-Identifier: Apache-2.0
// Sets of fields of an object, in the form of metadata.managedFields[].fieldsV1, and which lists are maps.
//
// Source: structured-merge-diff's FieldsV1 ("f:" a field, "k:" an item by its keys, "v:" an item of a set, "." the item
// itself) and the list types of the built-in API ("x-kubernetes-list-type", "patchMergeKey"). Pure.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json.h"

namespace slipway::kube {

using text::Json;

// How the items of a list are told apart.
struct ListKind {
  enum class Kind { atomic, set, keyed } kind = Kind::atomic;
  std::vector<std::string> keys;  // of a keyed list; the first is the strategic merge key
};
// By the list's field name and its items; a list of a custom resource whose name means nothing here is atomic.
ListKind list_kind(std::string_view field, const Json& list);
// A map that is replaced as a whole, such as a label selector.
bool is_atomic_map(std::string_view field, const Json& value);
// "k:{\"name\":\"x\"}", "v:\"x\"", or nothing where the item lacks its key. A port without protocol is TCP.
std::optional<std::string> item_key(const ListKind& kind, const Json& item);

class FieldSet final {
 public:
  static FieldSet of(const Json& object);  // all that the object says, but for what identifies it
  static FieldSet parse(const Json& fields_v1);
  Json to_json() const;
  bool empty() const { return !self && children.empty(); }
  bool covers(const std::vector<std::string>& path) const;  // a member at the path or above a leaf of it

  FieldSet united(const FieldSet& other) const;
  FieldSet without(const FieldSet& other) const;
  FieldSet common(const FieldSet& other) const;
  // Every member as a path of keys.
  void each(const std::function<void(const std::vector<std::string>&)>& visit) const;
  void insert(const std::vector<std::string>& path);
  void erase(const std::vector<std::string>& path);

  bool self = false;  // a member ends here
  std::map<std::string, FieldSet> children;

 private:
  void walk(std::vector<std::string>& path, const std::function<void(const std::vector<std::string>&)>& visit) const;
};

// ".spec.template.spec.containers[name=\"app\"].image", as conflicts name it.
std::string describe_path(const std::vector<std::string>& path);
// The value at a path of keys; nothing where it is absent.
std::optional<Json> value_at(const Json& object, const std::vector<std::string>& path);
// The object without what stands at the path; lists lose the item.
Json without_path(const Json& object, const std::vector<std::string>& path);

}  // namespace slipway::kube
