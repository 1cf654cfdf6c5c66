// SPDX-License-Identifier: Apache-2.0
// An object on its way through a build, and the ordered set of them.
//
// What upstream keeps in internal annotations (former names, behaviour of a generator, prefixes) are fields here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cd/kustomize/id.h"
#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {

enum class Behavior { unspecified, create, replace, merge };

// Where an object, or a change of it, comes from (buildMetadata).
struct Origin {
  std::string path, configured_in, api_version, kind, name, ns;
  std::string to_yaml() const;
};

struct Resource {
  YamlNode* node = nullptr;  // nullptr: deleted
  struct Former {
    std::string name, ns, kind;
  };
  std::vector<Former> former;  // oldest first
  std::vector<std::string> prefixes, suffixes, variables;
  Behavior behavior = Behavior::unspecified;
  bool needs_hash = false, allow_name_change = false, allow_kind_change = false;
  std::optional<Origin> origin;
  std::vector<Origin> transformations;

  std::string_view kind() const;
  std::string_view name() const;
  std::string_view ns() const;
  Gvk gvk() const { return Gvk::of(*node); }
  ResId id() const;                    // as it stands
  ResId original_id() const;
  std::vector<ResId> former_ids() const;
  void store_id();                     // before a change of name, namespace or kind
  bool is_empty() const { return kustomize::is_empty(node); }
  StringMap annotations() const { return string_map(lookup(node, {"metadata", "annotations"})); }
  StringMap labels() const { return string_map(lookup(node, {"metadata", "labels"})); }
};

Result<> set_name(YamlPool& pool, YamlNode& object, std::string_view name);
Result<> set_namespace(YamlPool& pool, YamlNode& object, std::string_view ns);  // empty: removed
Result<> set_top(YamlPool& pool, YamlNode& object, std::string_view name, std::string_view value);

using ResourcePtr = std::shared_ptr<Resource>;

class ResourceMap final {
 public:
  const std::vector<ResourcePtr>& all() const { return list_; }
  std::vector<ResourcePtr>& edit() { stale_ = true; return list_; }  // ids may change through it
  void touched() { stale_ = true; }
  Result<> append(ResourcePtr resource);  // an id that is there already is refused
  Result<> append_all(const ResourceMap& other);
  Result<> absorb(YamlPool& pool, const std::vector<ResourcePtr>& generated);  // by their behaviour
  void drop_empty();
  // In order; among former and present ids.
  const std::vector<ResourcePtr>& by_any_id(const ResId& id) const;
  Result<ResourcePtr> only_by_any_id(const ResId& id) const;

 private:
  void index() const;
  std::vector<ResourcePtr> list_;
  mutable bool stale_ = true;
  mutable std::unordered_map<std::string, std::vector<ResourcePtr>> any_;
  mutable std::unordered_map<std::string, std::size_t> current_;  // how many have it
};

// A patch or a generated object takes over metadata of `other`.
Result<> merge_metadata(YamlPool& pool, Resource& resource, const Resource& other);

// The objects of a file: documents, Lists taken apart; nothing of this refers to the pool of the text.
Result<std::vector<ResourcePtr>> parse_resources(YamlPool& pool, std::string_view text);

}  // namespace slipway::cd::kustomize
