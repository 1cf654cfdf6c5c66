// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cluster/controllers/controllers.h"
#include "kube/events.h"
#include "cluster/controllers/replica_set_plan.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;

class ReplicaSets final {
 public:
  explicit ReplicaSets(kube::Manager& manager)
      : manager_(manager), sets_(manager.informer(kube::resources::replica_sets)), pods_(manager.informer(kube::resources::pods)), events_(manager, "replicaset-controller") {}

  Result<kube::Next> reconcile(const ObjectKey& key) {
    const Json object = sets_.get(key);
    if (object.is_null()) return kube::Next::done();
    const ReplicaSetView set = read_replica_set(object);
    std::vector<PodView> own, orphans;
    for (const Json& pod : pods_.owned_by(set.uid)) own.push_back(read_pod(pod));
    if (static_cast<std::int64_t>(own.size()) < set.replicas) orphans = find_orphans(set);
    const ReplicaSetPlan plan = plan_replica_set(set, own, orphans, manager_.clock().now());
    TRY(hand_over(plan, set));
    auto changed = change(plan, set);
    TRY(write_status(plan, object));
    TRY(std::move(changed));
    if (plan.create == 50) return kube::Next::after(std::chrono::milliseconds(1));
    return plan.look_again ? kube::Next::after(*plan.look_again) : kube::Next::done();
  }

 private:
  std::vector<PodView> find_orphans(const ReplicaSetView& set) {
    std::vector<PodView> out;
    for (const Json& pod : pods_.list(set.ns))
      if (kube::controller_of(pod).is_null() && matches_selector(set.object["spec"]["selector"], pod["metadata"]["labels"])) out.push_back(read_pod(pod));
    return out;
  }

  Result<> hand_over(const ReplicaSetPlan& plan, const ReplicaSetView& set) {
    for (const std::string& name : plan.adopt) TRY(set_owner({set.ns, name}, Json::array({kube::controller_reference(kube::resources::replica_sets, set.object)})));
    for (const std::string& name : plan.let_go) TRY(set_owner({set.ns, name}, nullptr));
    return {};
  }

  Result<> set_owner(const ObjectKey& pod, const Json& references) {
    const Json metadata = Json::object({{"ownerReferences", references}, {"uid", pods_.get(pod)["metadata"]["uid"]}});
    pods_.observed(TRY(manager_.client().patch(kube::resources::pods, pod, kube::PatchType::merge, Json::object({{"metadata", metadata}}))));
    return {};
  }

  Result<> change(const ReplicaSetPlan& plan, const ReplicaSetView& set) {
    for (std::int64_t i = 0; i < plan.create; ++i) {
      auto created = manager_.client().create(kube::resources::pods, pod_from_template(set.object));
      if (!created) {
        events_.warning(set.object, "FailedCreate", fmt::format("Error creating: {}", created.error().message));
        return std::unexpected(std::move(created.error()));
      }
      pods_.observed(*created);
      events_.normal(set.object, "SuccessfulCreate", fmt::format("Created pod: {}", (*created)["metadata"]["name"].as_string()));
    }
    for (const std::string& name : plan.remove) {
      auto removed = manager_.client().remove(kube::resources::pods, {set.ns, name});
      if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(std::move(removed.error()));
      if (removed && (*removed)["kind"].as_string() == "Pod") pods_.observed(*removed);
      events_.normal(set.object, "SuccessfulDelete", fmt::format("Deleted pod: {}", name));
    }
    return {};
  }

  Result<> write_status(const ReplicaSetPlan& plan, const Json& object) {
    if (object["status"] == plan.status) return {};
    Json status = plan.status;
    for (const auto& member : object["status"].members())
      if (!status.contains(member.key())) status = status.with(member.key(), nullptr);
    sets_.observed(TRY(manager_.client().patch(kube::resources::replica_sets, kube::key_of(object), kube::PatchType::merge, Json::object({{"status", status}}), {}, "status")));
    return {};
  }

  kube::Manager& manager_;
  kube::Informer& sets_;
  kube::Informer& pods_;
  kube::EventRecorder events_;
};

}  // namespace

void register_replica_sets(kube::Manager& manager) {
  const auto state = std::make_shared<ReplicaSets>(manager);
  auto& controller = manager.controller("replicaset", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  auto& sets = manager.informer(kube::resources::replica_sets);
  sets.on_change([&controller](const Json& before, const Json& after) { controller.enqueue(kube::key_of(after.is_null() ? before : after)); });
  manager.informer(kube::resources::pods).on_change([&controller, &sets](const Json& before, const Json& after) {
    const Json& pod = after.is_null() ? before : after;
    const std::string ns = kube::key_of(pod).ns;
    const Json reference = kube::controller_of(pod);
    if (reference["kind"].as_string() == "ReplicaSet") controller.enqueue({ns, reference["name"].str()});
    if (!reference.is_null()) return;
    for (const Json& set : sets.list(ns))
      if (matches_selector(set["spec"]["selector"], pod["metadata"]["labels"])) controller.enqueue(kube::key_of(set));
  });
}

}  // namespace slipway::cluster
