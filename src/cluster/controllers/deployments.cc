// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "cluster/controllers/controllers.h"
#include "cluster/controllers/deployment_plan.h"
#include "kube/events.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;

class Deployments final {
 public:
  explicit Deployments(kube::Manager& manager)
      : manager_(manager),
        deployments_(manager.informer(kube::resources::deployments)),
        sets_(manager.informer(kube::resources::replica_sets)),
        pods_(manager.informer(kube::resources::pods)),
        events_(manager, "deployment-controller") {}

  Result<kube::Next> reconcile(const ObjectKey& key) {
    const Json object = deployments_.get(key);
    if (object.is_null()) return kube::Next::done();  // the garbage collector has what it owned
    const DeploymentView deployment = read_deployment(object);
    std::vector<ReplicaSetView> sets;
    std::vector<PodView> pods;
    for (const Json& set : sets_.owned_by(deployment.uid)) sets.push_back(read_replica_set(set));
    if (deployment.recreate)
      for (const auto& set : sets)
        for (const Json& pod : pods_.owned_by(set.uid)) pods.push_back(read_pod(pod));
    const DeploymentPlan plan = plan_deployment(deployment, sets, pods, manager_.clock().now());
    TRY(create(plan, deployment));
    TRY(scale(plan, deployment, sets));
    TRY(set_revisions(plan, key));
    TRY(remove(plan, key.ns));
    TRY(write_status(plan, object));
    return plan.look_again ? kube::Next::after(*plan.look_again) : kube::Next::done();
  }

 private:
  Result<> create(const DeploymentPlan& plan, const DeploymentView& deployment) {
    if (plan.create.is_null()) return {};
    auto created = manager_.client().create(kube::resources::replica_sets, plan.create);
    if (!created && created.error().code == ErrorCode::already_exists) return resolve_collision(plan, deployment);
    if (!created) return std::unexpected(std::move(created.error()));
    sets_.observed(*created);
    events_.normal(deployment.object, "ScalingReplicaSet",
                   fmt::format("Scaled up replica set {} from 0 to {}", plan.new_set, plan.create["spec"]["replicas"].as_int()));
    return {};
  }

  // The name is taken: by our own ReplicaSet that the cache has not seen yet, or by another template with the same hash.
  Result<> resolve_collision(const DeploymentPlan& plan, const DeploymentView& deployment) {
    const Json taken = TRY(manager_.client().get(kube::resources::replica_sets, {deployment.ns, plan.new_set}));
    if (kube::controller_of(taken)["uid"].as_string() == deployment.uid &&
        same_template(taken["spec"]["template"], deployment.object["spec"]["template"])) {
      sets_.observed(taken);
      return {};
    }
    const Json patch = Json::object({{"status", Json::object({{"collisionCount", deployment.collisions + 1}})}});
    deployments_.observed(TRY(manager_.client().patch(kube::resources::deployments, kube::key_of(deployment.object),
                                                      kube::PatchType::merge, patch, {}, "status")));
    return fail(ErrorCode::conflict, "the name of the new ReplicaSet is taken; another is tried");
  }

  Result<> scale(const DeploymentPlan& plan, const DeploymentView& deployment, const std::vector<ReplicaSetView>& sets) {
    for (const Scale& scale : plan.scale) {
      const auto set = std::ranges::find(sets, scale.replica_set, &ReplicaSetView::name);
      const Json annotations = Json::object({{"deployment.kubernetes.io/desired-replicas", std::to_string(plan.desired)},
                                             {"deployment.kubernetes.io/max-replicas", std::to_string(plan.most)}});
      // The precondition keeps a plan made from an older state from being carried out on a newer one.
      const Json patch = Json::object({{"metadata", Json::object({{"annotations", annotations}, {"resourceVersion", set->object["metadata"]["resourceVersion"]}})},
                                       {"spec", Json::object({{"replicas", scale.replicas}})}});
      sets_.observed(TRY(manager_.client().patch(kube::resources::replica_sets, {deployment.ns, scale.replica_set}, kube::PatchType::merge, patch)));
      if (set->replicas != scale.replicas)
        events_.normal(deployment.object, "ScalingReplicaSet",
                       fmt::format("Scaled {} replica set {} from {} to {}", scale.replicas > set->replicas ? "up" : "down", scale.replica_set,
                                   set->replicas, scale.replicas));
    }
    return {};
  }

  Result<> set_revisions(const DeploymentPlan& plan, const ObjectKey& key) {
    const auto patch = [](std::int64_t revision) {
      return Json::object({}).with_path({"metadata", "annotations", "deployment.kubernetes.io/revision"}, std::to_string(revision));
    };
    if (plan.set_revision)
      sets_.observed(TRY(manager_.client().patch(kube::resources::replica_sets, {key.ns, plan.new_set}, kube::PatchType::merge, patch(*plan.set_revision))));
    if (plan.revision)
      deployments_.observed(TRY(manager_.client().patch(kube::resources::deployments, key, kube::PatchType::merge, patch(*plan.revision))));
    return {};
  }

  Result<> remove(const DeploymentPlan& plan, const std::string& ns) {
    for (const std::string& name : plan.remove) {
      const auto removed = manager_.client().remove(kube::resources::replica_sets, {ns, name});
      if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(removed.error());
    }
    return {};
  }

  Result<> write_status(const DeploymentPlan& plan, const Json& object) {
    if (object["status"] == plan.status) return {};
    // A merge patch: fields that are no longer there are set to null.
    Json status = plan.status;
    for (const auto& member : object["status"].members())
      if (!status.contains(member.key())) status = status.with(member.key(), nullptr);
    deployments_.observed(TRY(manager_.client().patch(kube::resources::deployments, kube::key_of(object), kube::PatchType::merge,
                                                      Json::object({{"status", status}}), {}, "status")));
    return {};
  }

  kube::Manager& manager_;
  kube::Informer& deployments_;
  kube::Informer& sets_;
  kube::Informer& pods_;
  kube::EventRecorder events_;
};

}  // namespace

void register_deployments(kube::Manager& manager) {
  const auto state = std::make_shared<Deployments>(manager);
  auto& controller = manager.controller("deployment", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  manager.informer(kube::resources::deployments).on_change([&controller](const Json& before, const Json& after) {
    controller.enqueue(kube::key_of(after.is_null() ? before : after));
  });
  const auto owner = [&controller](const Json& before, const Json& after) {
    const Json& object = after.is_null() ? before : after;
    const Json reference = kube::controller_of(object);
    if (reference["kind"].as_string() == "Deployment") controller.enqueue({kube::key_of(object).ns, reference["name"].str()});
  };
  manager.informer(kube::resources::replica_sets).on_change(owner);
  // A Recreate rollout waits for the last old pod to be gone.
  auto& sets = manager.informer(kube::resources::replica_sets);
  manager.informer(kube::resources::pods).on_change([&sets, owner](const Json& before, const Json& after) {
    if (!after.is_null()) return;
    const Json set = sets.get({kube::key_of(before).ns, kube::controller_of(before)["name"].str()});
    if (!set.is_null()) owner(set, set);
  });
}

}  // namespace slipway::cluster
