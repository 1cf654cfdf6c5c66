// SPDX-License-Identifier: Apache-2.0
// What the API serves: one table of built-in resources, and those that CustomResourceDefinitions add. Any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/client.h"

namespace slipway::api {

using text::Json;

struct Column {
  std::string name, type, path;  // path: as ".spec.replicas"
  int priority = 0;
};

struct ResourceInfo {
  kube::Resource id;
  std::string singular;
  std::vector<std::string> short_names, categories;
  bool has_status = false, has_scale = false;
  bool custom = false;
  bool stored = true;               // false: answered without being kept (reviews)
  std::vector<Column> columns;      // between NAME and AGE
  Json schema;                      // of a custom resource's version

  std::string list_kind() const { return id.kind + "List"; }
  std::string qualified() const { return id.group.empty() ? id.plural : id.plural + "." + id.group; }
  // Events of both groups are the same objects.
  std::string storage_prefix() const;
  std::string storage_key(std::string_view ns, std::string_view name) const;
};
using ResourcePointer = std::shared_ptr<const ResourceInfo>;

class ResourceTable final {
 public:
  ResourceTable();
  ResourcePointer find(std::string_view group, std::string_view version, std::string_view plural) const;
  std::vector<ResourcePointer> all() const;  // in the order of discovery
  // Replaces what this definition served before; an empty list removes it.
  void set_custom(const std::string& definition, std::vector<ResourcePointer> versions);

 private:
  std::vector<ResourcePointer> built_in_;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<ResourcePointer>> custom_;
};

std::vector<ResourcePointer> resources_of_definition(const Json& definition);

}  // namespace slipway::api
