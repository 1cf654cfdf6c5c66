// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/pod_plan.h"

#include <algorithm>

namespace slipway::cluster {
namespace {

using sandbox::Phase;

bool is_sidecar(const Json& container) { return container["restartPolicy"].as_string() == "Always"; }

class Planner {
 public:
  explicit Planner(const PlanInput& input) : in_(input), policy_(restart_policy_of(input.pod)) {}

  PodPlan make() {
    const Json& spec = in_.pod["spec"];
    plan_.initialized = plan_init(spec["initContainers"]);
    if (plan_.initialized) plan_main(spec["containers"]);
    plan_.phase = phase(spec);
    if (is_over()) stop_sidecars(spec["initContainers"]);
    if (in_.stopping || is_over()) plan_.start.clear();
    return std::move(plan_);
  }

 private:
  bool is_over() const { return plan_.phase == PodPhase::succeeded || plan_.phase == PodPhase::failed; }

  // In order; true once every one has done its part. Sidecars that stand are kept up meanwhile and afterwards.
  bool plan_init(const Json& containers) {
    bool done = true;
    for (const Json& container : containers.items()) {
      const std::string name = container["name"].str();
      const ContainerRecord* last = in_.state.newest(name);
      if (is_sidecar(container)) {
        if (done || last) keep_up(name, last, RestartPolicy::always);
        done = done && last && last->phase == Phase::running && health(name).started;
        // Once the pod's own containers were started, a sidecar that is away for a moment does not hold them back.
        if (started_main()) done = true;
        continue;
      }
      if (!done) continue;
      if (last && last->phase == Phase::exited && last->exit_code == 0) continue;
      done = false;
      if (last && last->phase == Phase::exited && policy_ == RestartPolicy::never) init_failed_ = true;
      keep_up(name, last, policy_ == RestartPolicy::never ? RestartPolicy::never : RestartPolicy::on_failure);
    }
    return done;
  }

  void plan_main(const Json& containers) {
    for (const Json& container : containers.items()) {
      const std::string name = container["name"].str();
      keep_up(name, in_.state.newest(name), policy_);
    }
  }

  void keep_up(const std::string& name, const ContainerRecord* last, RestartPolicy policy) {
    if (!last) return plan_.start.push_back({name, 0});
    if (last->phase == Phase::running && health(name).unhealthy) return plan_.stop.push_back(name);
    if (last->phase != Phase::exited || !restarts(*last, policy)) return;
    const Wall due = last->finished + back_off_after(last->attempt - counted_from(name));
    if (in_.now >= due) return plan_.start.push_back({name, last->attempt + 1});
    plan_.in_back_off.insert(name);
    plan_.look_again = plan_.look_again ? std::min(*plan_.look_again, due) : due;
  }

  static bool restarts(const ContainerRecord& last, RestartPolicy policy) {
    return policy == RestartPolicy::always || (policy == RestartPolicy::on_failure && last.exit_code != 0);
  }

  std::int64_t counted_from(const std::string& name) const {
    const auto found = in_.first_counted.find(name);
    return found == in_.first_counted.end() ? 0 : found->second;
  }

  ContainerHealth health(const std::string& name) const {
    const auto found = in_.health.find(name);
    return found == in_.health.end() ? ContainerHealth{} : found->second;
  }

  bool started_main() const {
    return std::ranges::any_of(in_.pod["spec"]["containers"].items(), [&](const Json& c) { return in_.state.newest(c["name"].as_string()); });
  }

  PodPhase phase(const Json& spec) const {
    if (init_failed_) return PodPhase::failed;
    if (!plan_.initialized) return PodPhase::pending;
    bool all_exited = true, any_failed = false, any_begun = false;
    for (const Json& container : spec["containers"].items()) {
      const ContainerRecord* last = in_.state.newest(container["name"].as_string());
      any_begun |= last && last->phase != Phase::starting;
      const bool over = last && last->phase == Phase::exited && (in_.stopping || !restarts(*last, policy_));
      all_exited &= over;
      any_failed |= over && last->exit_code != 0;
    }
    if (all_exited) return any_failed ? PodPhase::failed : PodPhase::succeeded;
    return any_begun ? PodPhase::running : PodPhase::pending;
  }

  void stop_sidecars(const Json& containers) {
    for (const Json& container : containers.items()) {
      const ContainerRecord* last = in_.state.newest(container["name"].as_string());
      if (is_sidecar(container) && last && last->phase == Phase::running) plan_.stop.push_back(last->name);
    }
  }

  const PlanInput& in_;
  const RestartPolicy policy_;
  PodPlan plan_;
  bool init_failed_ = false;
};

}  // namespace

RestartPolicy restart_policy_of(const Json& pod) {
  const std::string_view policy = pod["spec"]["restartPolicy"].as_string("Always");
  return policy == "Never" ? RestartPolicy::never : policy == "OnFailure" ? RestartPolicy::on_failure : RestartPolicy::always;
}

std::chrono::seconds back_off_after(std::int64_t failures) {
  if (failures <= 0) return std::chrono::seconds(0);
  const std::int64_t doublings = std::min<std::int64_t>(failures - 1, 10);
  return std::min(first_back_off * (std::int64_t{1} << doublings), longest_back_off);
}

PodPlan plan_pod(const PlanInput& input) { return Planner(input).make(); }

}  // namespace slipway::cluster
