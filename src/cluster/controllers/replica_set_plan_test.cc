// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/replica_set_plan.h"

#include <doctest/doctest.h>

namespace slipway::cluster {
namespace {

const Wall now{std::chrono::seconds(1'800'000'000)};

ReplicaSetView set_of(std::int64_t replicas, std::int64_t min_ready = 0) {
  const Json labels = Json::object({{"app", "web"}});
  return read_replica_set(Json::object(
      {{"metadata", Json::object({{"name", "web-1"}, {"namespace", "shop"}, {"uid", "r"}, {"generation", 4}})},
       {"spec", Json::object({{"replicas", replicas}, {"minReadySeconds", min_ready}, {"selector", Json::object({{"matchLabels", labels}})},
                              {"template", Json::object({{"metadata", Json::object({{"labels", labels}})}})}})}}));
}

PodView pod(std::string name, bool ready = true, std::string phase = "Running", std::string app = "web") {
  return {.object = Json::object({{"metadata", Json::object({{"labels", Json::object({{"app", app}})}})}}),
          .name = std::move(name), .phase = std::move(phase), .node = "n", .ready = ready, .ready_since = now - std::chrono::seconds(5)};
}

TEST_CASE("missing pods are created, surplus ones removed: the least missed first") {
  CHECK(plan_replica_set(set_of(3), {pod("a")}, {}, now).create == 2);
  const auto plan = plan_replica_set(set_of(1), {pod("ready"), pod("starting", false), pod("pending", false, "Pending")}, {}, now);
  CHECK(plan.remove == std::vector<std::string>{"pending", "starting"});
}

TEST_CASE("ended and deleted pods do not count, and are replaced") {
  PodView leaving = pod("leaving");
  leaving.deleting = true;
  const auto plan = plan_replica_set(set_of(2), {pod("a"), leaving, pod("done", false, "Failed")}, {}, now);
  CHECK(plan.create == 1);
  CHECK(plan.status["replicas"].as_int() == 1);
  CHECK(plan.status["terminatingReplicas"].as_int() == 1);
}

TEST_CASE("a matching orphan is adopted instead of creating one; an own pod that no longer matches is let go") {
  const auto plan = plan_replica_set(set_of(2), {pod("a"), pod("relabelled", true, "Running", "other")}, {pod("orphan"), pod("stranger", true, "Running", "x")}, now);
  CHECK(plan.adopt == std::vector<std::string>{"orphan"});
  CHECK(plan.let_go == std::vector<std::string>{"relabelled"});
  CHECK(plan.create == 0);
}

TEST_CASE("a pod is available only when it was ready for minReadySeconds, and then is looked at again") {
  const auto plan = plan_replica_set(set_of(1, 10), {pod("a")}, {}, now);
  CHECK(plan.status["readyReplicas"].as_int() == 1);
  CHECK(plan.status["availableReplicas"].is_null());
  CHECK(plan.look_again == std::chrono::seconds(5));
}

TEST_CASE("a burst is bounded") { CHECK(plan_replica_set(set_of(1000), {}, {}, now).create == 50); }

TEST_CASE("a set that is being deleted creates nothing") {
  ReplicaSetView set = set_of(3);
  set.deleting = true;
  CHECK(plan_replica_set(set, {}, {pod("orphan")}, now).create == 0);
  CHECK(plan_replica_set(set, {}, {pod("orphan")}, now).adopt.empty());
}

}  // namespace
}  // namespace slipway::cluster
