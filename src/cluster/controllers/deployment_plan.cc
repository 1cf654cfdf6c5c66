// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/deployment_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace slipway::cluster {
namespace {

constexpr std::string_view revision_key = "deployment.kubernetes.io/revision";
constexpr std::string_view desired_key = "deployment.kubernetes.io/desired-replicas";
constexpr std::string_view max_key = "deployment.kubernetes.io/max-replicas";

class Planner {
 public:
  Planner(const DeploymentView& deployment, const std::vector<ReplicaSetView>& sets, const std::vector<PodView>& pods, Wall now)
      : deployment_(deployment), pods_(pods), now_(now) {
    for (const auto& set : sets) {
      if (!new_set_ && same_template(set.object["spec"]["template"], deployment.object["spec"]["template"])) new_set_ = set;
      else old_.push_back(set);
    }
    std::ranges::sort(old_, {}, [](const auto& set) { return std::tuple(set.created, set.name); });
  }

  DeploymentPlan make() {
    if (!deployment_.deleting) {
      if (deployment_.paused || scaling_asked()) scale_in_proportion();
      else if (deployment_.recreate) recreate();
      else roll();
      if (!deployment_.paused) clean_up();
      set_revisions();
    }
    plan_.desired = deployment_.replicas;
    plan_.most = deployment_.replicas + deployment_.surge();
    plan_.new_set = new_set_ ? new_set_->name : plan_.create["metadata"]["name"].str();
    plan_.status = status();
    return std::move(plan_);
  }

 private:
  std::int64_t replicas_of(const ReplicaSetView& set) const {
    const auto planned = planned_.find(set.name);
    return planned == planned_.end() ? set.replicas : planned->second;
  }

  void scale_to(const ReplicaSetView& set, std::int64_t replicas) {
    if (replicas_of(set) == replicas) return;
    planned_[set.name] = replicas;
    std::erase_if(plan_.scale, [&](const Scale& scale) { return scale.replica_set == set.name; });
    if (set.replicas != replicas) plan_.scale.push_back({set.name, replicas});
  }

  // Marks the ReplicaSet as sized for the present number of replicas.
  void mark_sized(const ReplicaSetView& set) {
    const bool listed = std::ranges::any_of(plan_.scale, [&](const Scale& scale) { return scale.replica_set == set.name; });
    if (!listed && set.desired_annotation != deployment_.replicas) plan_.scale.push_back({set.name, replicas_of(set)});
  }

  std::int64_t total_replicas() const {
    std::int64_t total = new_set_ ? replicas_of(*new_set_) : 0;
    for (const auto& set : old_) total += replicas_of(set);
    return total;
  }

  std::int64_t new_revision() const {
    std::int64_t newest = 0;
    for (const auto& set : old_) newest = std::max(newest, set.revision);
    return newest + 1;
  }

  // The number of a ReplicaSet's replicas was set for another number of the Deployment's: it was scaled meanwhile.
  bool scaling_asked() const {
    const auto differs = [&](const ReplicaSetView& set) {
      return set.replicas > 0 && set.desired_annotation && *set.desired_annotation != deployment_.replicas;
    };
    return (new_set_ && differs(*new_set_)) || std::ranges::any_of(old_, differs);
  }

  void scale_in_proportion() {
    share_out_new_size();
    if (new_set_) mark_sized(*new_set_);
    for (const auto& set : old_)
      if (set.replicas > 0) mark_sized(set);
  }

  void share_out_new_size() {
    std::vector<const ReplicaSetView*> active;
    if (new_set_ && new_set_->replicas > 0) active.push_back(&*new_set_);
    for (const auto& set : old_)
      if (set.replicas > 0) active.push_back(&set);
    if (active.empty() && new_set_) return scale_to(*new_set_, deployment_.replicas);
    if (active.size() == 1) return scale_to(*active[0], deployment_.replicas);
    const bool rolled_out = new_set_ && new_set_->available >= deployment_.replicas && new_set_->replicas == deployment_.replicas;
    if (rolled_out) {
      for (const auto& set : old_) scale_to(set, 0);
      return;
    }
    share_out(active);
  }

  // The larger ReplicaSets take the larger part of what is added or taken, the newest what remains of the rounding.
  void share_out(std::vector<const ReplicaSetView*>& active) {
    const std::int64_t allowed = deployment_.replicas > 0 ? deployment_.replicas + deployment_.surge() : 0;
    const std::int64_t total = total_replicas();
    std::int64_t left = allowed - total;
    if (left == 0 || total == 0) return;
    std::ranges::sort(active, [](const auto* a, const auto* b) { return std::tuple(-a->replicas, b->created) < std::tuple(-b->replicas, a->created); });
    for (std::size_t i = 0; i < active.size(); ++i) {
      const std::int64_t share = i + 1 == active.size() ? left : (active[i]->replicas * (allowed - total) + (allowed > total ? total / 2 : -total / 2)) / total;
      const std::int64_t bounded = left > 0 ? std::clamp<std::int64_t>(share, 0, left) : std::clamp<std::int64_t>(share, left, 0);
      scale_to(*active[i], std::max<std::int64_t>(0, active[i]->replicas + bounded));
      left -= bounded;
    }
  }

  std::int64_t room_for_new(std::int64_t have) const {
    if (deployment_.recreate) return deployment_.replicas;
    const std::int64_t room = deployment_.replicas + deployment_.surge() - total_replicas();
    return have + std::clamp<std::int64_t>(deployment_.replicas - have, 0, std::max<std::int64_t>(0, room));
  }

  void create_new(std::int64_t replicas) {
    const Json& spec = deployment_.object["spec"];
    const std::string hash = template_hash(spec["template"], deployment_.collisions);
    const Json pod_template = spec["template"].with_path({"metadata", "labels", "pod-template-hash"}, hash);
    const Json selector = spec["selector"].with_path({"matchLabels", "pod-template-hash"}, hash);
    Json annotations = deployment_.object["metadata"]["annotations"].without("kubectl.kubernetes.io/last-applied-configuration");
    annotations = annotations.with(revision_key, std::to_string(new_revision()))
                      .with(desired_key, std::to_string(deployment_.replicas))
                      .with(max_key, std::to_string(deployment_.replicas + deployment_.surge()));
    Json metadata = Json::object({{"name", deployment_.name + "-" + hash}, {"namespace", deployment_.ns},
                                  {"labels", pod_template["metadata"]["labels"]}, {"annotations", annotations}});
    metadata = metadata.with("ownerReferences", Json::array({kube_reference()}));
    plan_.create = Json::object({{"apiVersion", "apps/v1"}, {"kind", "ReplicaSet"}, {"metadata", metadata},
                                 {"spec", Json::object({{"replicas", replicas}, {"minReadySeconds", deployment_.min_ready_seconds},
                                                        {"selector", selector}, {"template", pod_template}})}});
  }

  Json kube_reference() const {
    return Json::object({{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", deployment_.name}, {"uid", deployment_.uid},
                         {"controller", true}, {"blockOwnerDeletion", true}});
  }

  void roll() {
    if (!new_set_) return create_new(room_for_new(0));  // the old ones shrink when the new one is seen
    if (new_set_->replicas > deployment_.replicas) return scale_to(*new_set_, deployment_.replicas);
    if (const auto wanted = room_for_new(new_set_->replicas); wanted != new_set_->replicas) return scale_to(*new_set_, wanted);
    shrink_old();
  }

  void shrink_old() {
    std::int64_t old_total = 0;
    for (const auto& set : old_) old_total += set.replicas;
    if (old_total == 0) return;
    const std::int64_t minimum = deployment_.replicas - deployment_.unavailable();
    const std::int64_t new_unavailable = new_set_->replicas - new_set_->available;
    const std::int64_t spare = total_replicas() - minimum - new_unavailable;
    if (spare <= 0) return;
    const std::int64_t cleaned = drop_unhealthy(spare);
    std::int64_t available = new_set_->available;
    for (const auto& set : old_) available += set.available;
    std::int64_t may_go = std::min(available - minimum, spare - cleaned);
    for (const auto& set : old_) {
      if (may_go <= 0) return;
      const std::int64_t have = replicas_of(set), gone = std::min(have, may_go);
      scale_to(set, have - gone);
      may_go -= gone;
    }
  }

  // Old pods that do not serve go first: nobody misses them.
  std::int64_t drop_unhealthy(std::int64_t at_most) {
    std::int64_t dropped = 0;
    for (const auto& set : old_) {
      const std::int64_t unhealthy = std::min(set.replicas - set.available, at_most - dropped);
      if (unhealthy <= 0) continue;
      scale_to(set, set.replicas - unhealthy);
      dropped += unhealthy;
    }
    return dropped;
  }

  void recreate() {
    bool waiting = false;
    for (const auto& set : old_) {
      if (set.replicas > 0) scale_to(set, 0);
      waiting |= set.replicas > 0 || has_pods(set);
    }
    if (waiting) return;
    if (!new_set_) create_new(deployment_.replicas);
    else scale_to(*new_set_, deployment_.replicas);
  }

  bool has_pods(const ReplicaSetView& set) const {
    return std::ranges::any_of(pods_, [&](const PodView& pod) {
      if (pod.phase == "Succeeded" || pod.phase == "Failed") return false;
      for (const Json& owner : pod.object["metadata"]["ownerReferences"].items())
        if (owner["uid"].as_string() == set.uid) return true;
      return false;
    });
  }

  bool complete() const {
    return new_set_ && updated() == deployment_.replicas && new_set_->available >= deployment_.replicas && total_actual() == deployment_.replicas &&
           new_set_->observed_generation >= new_set_->generation;
  }

  void clean_up() {
    if (!complete()) return;
    std::vector<const ReplicaSetView*> idle;
    for (const auto& set : old_)
      if (set.replicas == 0 && set.actual == 0 && !set.deleting) idle.push_back(&set);
    std::ranges::sort(idle, {}, [](const auto* set) { return set->revision; });
    const auto surplus = static_cast<std::int64_t>(idle.size()) - deployment_.history_limit;
    for (std::int64_t i = 0; i < surplus; ++i) plan_.remove.push_back(idle[static_cast<std::size_t>(i)]->name);
  }

  void set_revisions() {
    std::int64_t revision = new_revision();
    if (new_set_) {
      revision = std::max(revision, new_set_->revision);
      if (new_set_->revision != revision) plan_.set_revision = revision;
    } else if (plan_.create.is_null()) {
      return;
    }
    if (deployment_.revision != revision) plan_.revision = revision;
  }

  std::int64_t updated() const { return new_set_ ? new_set_->actual : 0; }
  std::int64_t total_actual() const {
    return std::accumulate(old_.begin(), old_.end(), updated(), [](std::int64_t sum, const auto& set) { return sum + set.actual; });
  }
  std::int64_t sum(std::int64_t ReplicaSetView::* field) const {
    std::int64_t total = new_set_ ? (*new_set_).*field : 0;
    for (const auto& set : old_) total += set.*field;
    return total;
  }

  Json status() {
    const Json& before = deployment_.object["status"];
    const std::int64_t available = sum(&ReplicaSetView::available), total = total_actual();
    Json status = Json::object({{"observedGeneration", deployment_.generation}});
    const auto count = [&](std::string_view name, std::int64_t value) {
      if (value != 0) status = status.with(name, value);  // as upstream: zero counts are left out
    };
    count("replicas", total);
    count("updatedReplicas", updated());
    count("readyReplicas", sum(&ReplicaSetView::ready));
    count("availableReplicas", available);
    count("unavailableReplicas", std::max<std::int64_t>(0, std::max(total, deployment_.replicas) - available));
    if (!before["collisionCount"].is_null()) status = status.with("collisionCount", before["collisionCount"]);
    const bool enough = available >= deployment_.replicas - deployment_.unavailable();
    Json conditions = with_condition(before["conditions"], "Available", enough, enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                                     enough ? "Deployment has minimum availability." : "Deployment does not have minimum availability.", now_, true);
    return status.with("conditions", progressing(before, conditions, status));
  }

  Json progressing(const Json& before, const Json& conditions, const Json& status) {
    const Json& condition = find_condition(before["conditions"], "Progressing");
    const std::string name = new_set_ ? new_set_->name : plan_.create["metadata"]["name"].str();
    const auto say = [&](bool good, std::string_view reason, std::string message) {
      return with_condition(conditions, "Progressing", good, reason, message, now_, true);
    };
    if (deployment_.paused) {
      return say(true, "DeploymentPaused", "Deployment is paused");
    }
    if (complete()) {
      if (condition["reason"].as_string() == "NewReplicaSetAvailable") return keep_or(conditions, condition, name);
      return say(true, "NewReplicaSetAvailable", fmt::format("ReplicaSet \"{}\" has successfully progressed.", name));
    }
    if (!plan_.create.is_null()) return say(true, "NewReplicaSetCreated", fmt::format("Created new replica set \"{}\"", name));
    if (made_progress(before, status) || condition.is_null() || condition["reason"].as_string() == "NewReplicaSetAvailable") {
      look_again_in(std::chrono::seconds(deployment_.progress_deadline_seconds));
      return stamped(say(true, "ReplicaSetUpdated", fmt::format("ReplicaSet \"{}\" is progressing.", name)));
    }
    if (condition["reason"].as_string() == "ProgressDeadlineExceeded") return conditions;
    const Wall deadline = parse_time(condition["lastUpdateTime"].as_string()) + std::chrono::seconds(deployment_.progress_deadline_seconds);
    if (now_ >= deadline)
      return say(false, "ProgressDeadlineExceeded", fmt::format("ReplicaSet \"{}\" has timed out progressing.", name));
    look_again_in(deadline - now_);
    return conditions;
  }

  Json keep_or(const Json& conditions, const Json& condition, const std::string& name) {
    const std::string message = fmt::format("ReplicaSet \"{}\" has successfully progressed.", name);
    if (condition["message"].as_string() == message) return conditions;
    return with_condition(conditions, "Progressing", true, "NewReplicaSetAvailable", message, now_, true);
  }

  // Progress restarts the deadline, also where the words stay the same.
  Json stamped(const Json& conditions) const {
    std::vector<Json> out;
    for (const Json& condition : conditions.items())
      out.push_back(condition["type"].as_string() == "Progressing" ? condition.with("lastUpdateTime", format_rfc3339(now_)) : condition);
    return Json::array(std::move(out));
  }

  bool made_progress(const Json& before, const Json& status) const {
    const auto old_count = [](const Json& s) { return s["replicas"].as_int() - s["updatedReplicas"].as_int(); };
    return status["updatedReplicas"].as_int() > before["updatedReplicas"].as_int() || old_count(status) < old_count(before) ||
           status["readyReplicas"].as_int() > before["readyReplicas"].as_int() ||
           status["availableReplicas"].as_int() > before["availableReplicas"].as_int();
  }

  void look_again_in(std::chrono::nanoseconds delay) { plan_.look_again = delay + std::chrono::seconds(1); }

  const DeploymentView& deployment_;
  const std::vector<PodView>& pods_;
  const Wall now_;
  std::optional<ReplicaSetView> new_set_;
  std::vector<ReplicaSetView> old_;  // oldest first
  std::map<std::string, std::int64_t> planned_;
  DeploymentPlan plan_;
};

}  // namespace

DeploymentPlan plan_deployment(const DeploymentView& deployment, const std::vector<ReplicaSetView>& sets, const std::vector<PodView>& pods, Wall now) {
  return Planner(deployment, sets, pods, now).make();
}

}  // namespace slipway::cluster
