// SPDX-License-Identifier: Apache-2.0
// Server-side apply: merging what a manager applies into the live object, and who owns which field. Pure; the time is
// given. Sources: "Server-Side Apply" in the Kubernetes documentation, structured-merge-diff's merge package.
#pragma once

#include "base/result.h"
#include "kube/fields.h"

namespace slipway::kube {

enum class Force { no, yes };

struct Applier {
  std::string manager;
  std::string api_version;
  std::string subresource;
  std::string time;  // RFC 3339
  Force force = Force::no;
};

// `live` null: the object is made. Conflict (409): another manager owns a field that would change, with upstream's
// wording: Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas
Result<Json> apply(const Json& live, const Json& applied, const Applier& applier);

// After an ordinary write: the writer owns what it changed. Objects that nobody ever applied stay without managedFields.
Json track_update(const Json& before, const Json& after, const Applier& writer);

// What apply() merges, without ownership: maps by key, keyed lists by item, sets united, the rest replaced.
Json merge_applied(const Json& live, const Json& applied, std::string_view field = {});

}  // namespace slipway::kube
