// SPDX-License-Identifier: Apache-2.0
// How kustomize tells objects apart, and which kinds it takes for cluster-scoped. Pure.
#pragma once

#include <string>
#include <string_view>

#include "text/yaml_node.h"

namespace slipway::cd::kustomize {

struct Gvk {
  std::string group, version, kind;
  bool operator==(const Gvk&) const = default;
  auto operator<=>(const Gvk&) const = default;
  static Gvk of(std::string_view api_version, std::string_view kind);
  static Gvk of(const text::YamlNode& object);
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  // Each part that the selector names is equal.
  bool is_selected(const Gvk& selector) const {
    return (selector.group.empty() || group == selector.group) && (selector.version.empty() || version == selector.version) &&
           (selector.kind.empty() || kind == selector.kind);
  }
  std::string to_string() const;  // "Deployment.v1.apps"
  bool is_cluster_scoped() const;
};

// The legacy order of kinds: what others need first, webhooks last.
bool is_before(const Gvk& a, const Gvk& b);
int default_rank(const Gvk& gvk);  // by kind alone; 0 for most

inline constexpr std::string_view no_namespace = "_non_namespaceable_";

struct ResId {
  Gvk gvk;
  std::string name, ns;
  bool cluster_scoped = false;
  std::string effective_namespace() const;  // "default" where none is named
  std::string key() const;        // equal where two ids are
  std::string to_string() const;  // "Deployment.v1.apps/web.shop"
};

}  // namespace slipway::cd::kustomize
