// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/replica_set_plan.h"

#include <algorithm>

#include "kube/control.h"

namespace slipway::cluster {
namespace {

constexpr std::int64_t max_burst = 50;

// What is least missed goes first: not placed, pending, not ready, often restarted, young.
auto removal_rank(const PodView& pod) {
  const int phase = pod.phase == "Pending" ? 0 : pod.phase == "Unknown" ? 1 : 2;
  return std::tuple(!pod.node.empty(), phase, pod.ready, -pod.restarts, -pod.created.time_since_epoch().count(), pod.name);
}

bool selected(const ReplicaSetView& set, const PodView& pod) {
  return matches_selector(set.object["spec"]["selector"], pod.object["metadata"]["labels"]);
}

}  // namespace

Json pod_from_template(const Json& set) {
  const Json& tmpl = set["spec"]["template"];
  Json metadata = Json::object({{"generateName", set["metadata"]["name"].str() + "-"}, {"namespace", set["metadata"]["namespace"]}});
  for (const char* field : {"labels", "annotations", "finalizers"})
    if (!tmpl["metadata"][field].empty()) metadata = metadata.with(field, tmpl["metadata"][field]);
  metadata = metadata.with("ownerReferences", Json::array({kube::controller_reference(kube::resources::replica_sets, set)}));
  return Json::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", tmpl["spec"]}});
}

ReplicaSetPlan plan_replica_set(const ReplicaSetView& set, const std::vector<PodView>& own, const std::vector<PodView>& orphans, Wall now) {
  ReplicaSetPlan plan;
  std::vector<const PodView*> active;
  std::int64_t terminating = 0;
  for (const PodView& pod : own) {
    if (!selected(set, pod)) {
      if (!pod.deleting) plan.let_go.push_back(pod.name);
    } else if (pod.active()) {
      active.push_back(&pod);
    } else {
      terminating += pod.deleting;
    }
  }
  if (!set.deleting)
    for (const PodView& pod : orphans)
      if (pod.active() && selected(set, pod)) {
        plan.adopt.push_back(pod.name);
        active.push_back(&pod);
      }

  const auto have = static_cast<std::int64_t>(active.size());
  if (!set.deleting && have < set.replicas) plan.create = std::min(set.replicas - have, max_burst);
  if (!set.deleting && have > set.replicas) {
    std::vector<const PodView*> order = active;
    std::ranges::sort(order, {}, [](const PodView* pod) { return removal_rank(*pod); });
    for (std::int64_t i = 0; i < have - set.replicas; ++i) plan.remove.push_back(order[static_cast<std::size_t>(i)]->name);
  }

  std::int64_t ready = 0, available = 0, labelled = 0;
  const Json& wanted = set.object["spec"]["template"]["metadata"]["labels"];
  for (const PodView* pod : active) {
    ready += pod->ready;
    available += pod->available(set.min_ready_seconds, now);
    labelled += std::ranges::all_of(wanted.members(), [&](const auto& label) { return pod->object["metadata"]["labels"][label.key()] == label.value; });
    if (pod->ready && !pod->available(set.min_ready_seconds, now)) {
      const auto due = *pod->ready_since + std::chrono::seconds(set.min_ready_seconds) - now;
      plan.look_again = std::min<std::chrono::nanoseconds>(plan.look_again.value_or(due), due);
    }
  }
  plan.status = Json::object({{"replicas", have}});
  const auto count = [&](std::string_view name, std::int64_t value) {
    if (value) plan.status = plan.status.with(name, value);
  };
  count("fullyLabeledReplicas", labelled);
  count("readyReplicas", ready);
  count("availableReplicas", available);
  count("terminatingReplicas", terminating);
  plan.status = plan.status.with("observedGeneration", set.generation);
  return plan;
}

}  // namespace slipway::cluster
