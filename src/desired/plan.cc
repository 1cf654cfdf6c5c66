// SPDX-License-Identifier: Apache-2.0
#include "desired/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "desired/diff.h"

namespace slipway::desired {

Plan plan(const Set& set, const std::map<ObjectId, Json>& live, const std::vector<Json>& owned, std::string_view app, Prune prune) {
  Plan out;
  std::set<ObjectId> wanted;
  for (const Object& one : set.objects) {
    const ObjectId id = id_of(one.object);
    wanted.insert(id);
    const auto found = live.find(id);
    if (found == live.end() || found->second.is_null()) {
      out.apply.push_back({one.object, one.source, true, {}});
      continue;
    }
    const std::string_view owner = found->second["metadata"]["labels"][app_label].as_string();
    if (!owner.empty() && owner != app) {
      out.refused.push_back(fmt::format("{} ({}) belongs to app {}", id.to_string(), one.source, owner));
      continue;
    }
    // Apps of one name in two namespaces are two apps.
    const std::string_view owner_ns = found->second["metadata"]["annotations"][app_namespace_annotation].as_string();
    const std::string_view app_ns = one.object["metadata"]["annotations"][app_namespace_annotation].as_string();
    if (!owner.empty() && !owner_ns.empty() && !app_ns.empty() && owner_ns != app_ns) {
      out.refused.push_back(fmt::format("{} ({}) belongs to app {}/{}", id.to_string(), one.source, owner_ns, owner));
      continue;
    }
    auto differences = diff(one.object, found->second);
    if (!differences.empty()) out.apply.push_back({one.object, one.source, false, std::move(differences)});
  }

  std::size_t kept = 0;
  for (const Json& object : owned) {
    if (wanted.contains(id_of(object))) {
      ++kept;
    } else if (object["metadata"]["labels"][app_label].as_string() == app && object["metadata"]["annotations"][prune_annotation].as_string() != "disabled" &&
               object["metadata"]["deletionTimestamp"].is_null()) {
      out.prune.push_back(object);
    }
  }
  if (out.prune.empty()) return out;
  if (prune == Prune::no) out.prune_held = "prune is off";
  else if (set.objects.empty()) out.prune_held = "the rendered set is empty";
  else if (kept == 0) out.prune_held = "nothing of what the app owns is in the rendered set";
  if (!out.prune_held.empty()) out.prune.clear();
  std::ranges::stable_sort(out.prune, std::greater{}, [](const Json& object) { return kind_order(object["kind"].as_string()); });
  return out;
}

}  // namespace slipway::desired
