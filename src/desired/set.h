// SPDX-License-Identifier: Apache-2.0
// The desired set: the objects that an app should consist of, each with where it came from. What every delivery format
// compiles to; a value, serialisable, so that a stored set can be applied again without rendering. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "kube/client.h"

namespace slipway::desired {

using text::Json;

struct Object {
  Json object;
  std::string source;  // "deploy/web.yaml:12"
};

// What tells objects apart: group, kind, namespace, name (the version may change).
struct ObjectId {
  std::string group, kind, ns, name;
  std::string to_string() const;  // "Deployment shop/web"
  auto operator<=>(const ObjectId&) const = default;
};
ObjectId id_of(const Json& object);

struct Set {
  std::vector<Object> objects;
  std::string digest() const;  // "sha256:…" of the objects in canonical form, whatever their order and sources
  std::string to_text() const;
  static Result<Set> parse(std::string_view text);
};

// In which order kinds are made: namespaces and definitions first, then what others refer to, then what runs. The
// order is Helm's (InstallOrder) and Argo CD's. Objects of unknown kinds come last.
int kind_order(std::string_view kind);
void sort_for_apply(Set& set);

// Images whose repository is named get their digest; the rest stay. `images`: "127.0.0.1:5000/hello" -> "sha256:…".
Json with_image_digests(const Json& object, const std::map<std::string, std::string>& images);

// Every object carries the app's name, so that what is no longer wanted is found again.
inline constexpr const char* app_label = "slipway.dev/app";
inline constexpr const char* app_namespace_annotation = "slipway.dev/app-namespace";
inline constexpr const char* prune_annotation = "slipway.dev/prune";  // "disabled": never pruned
Json owned(const Json& object, const kube::ObjectKey& app);

}  // namespace slipway::desired
