// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "cd/kustomize/kustomization.h"
#include "cd/kustomize/transformers.h"

namespace slipway::cd::kustomize {
namespace {

std::string kind_key(const Gvk& gvk) {
  return fmt::format("{}_{}_{}", gvk.group.empty() ? "~G" : gvk.group, gvk.version.empty() ? "~V" : gvk.version, gvk.kind.empty() ? "~K" : gvk.kind);
}

struct Key {
  int rank = 0;
  std::string kind, id;
  bool is_namespace = false;  // of the core group: behind all others of its name
  bool operator<(const Key& other) const {
    if (rank != other.rank) return rank < other.rank;
    if (kind != other.kind) return is_namespace && other.is_namespace ? kind > other.kind : kind < other.kind;
    return id < other.id;
  }
};

}  // namespace

Result<> sort_objects(ResourceMap& map, const Json& options) {
  const std::string order = options.is_null() ? "legacy" : options["order"].str();
  const Json& legacy = options["legacySortOptions"];
  if (order != "fifo" && order != "legacy") return fail(ErrorCode::invalid, "the field 'sortOptions.order' must be one of [fifo, legacy]");
  if (order == "fifo" && !legacy.is_null())
    return fail(ErrorCode::invalid, "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'");
  if (order == "fifo") return {};
  std::map<std::string, int, std::less<>> ranks;
  if (!legacy.is_null()) {
    int rank = -static_cast<int>(legacy["orderFirst"].size());
    for (const auto& kind : strings_of(legacy["orderFirst"])) ranks[kind] = rank++;
    rank = 1;
    for (const auto& kind : strings_of(legacy["orderLast"])) ranks[kind] = rank++;
  }
  std::vector<std::pair<Key, ResourcePtr>> keyed;
  for (const ResourcePtr& one : map.edit()) {
    const ResId id = one->id();
    Key key;
    if (legacy.is_null()) {
      key.rank = default_rank(id.gvk);
    } else if (const auto found = ranks.find(id.gvk.kind); found != ranks.end()) {
      key.rank = found->second;
    }
    key.kind = kind_key(id.gvk);
    key.is_namespace = id.gvk.kind == "Namespace";
    key.id = fmt::format("{}|{}|{}", id.gvk.to_string(), id.ns.empty() ? "~X" : id.ns, id.name.empty() ? "~N" : id.name);
    keyed.emplace_back(std::move(key), one);
  }
  std::ranges::stable_sort(keyed, [](const auto& a, const auto& b) { return a.first < b.first; });
  auto& list = map.edit();
  for (std::size_t i = 0; i < keyed.size(); ++i) list[i] = keyed[i].second;
  return {};
}

}  // namespace slipway::cd::kustomize
