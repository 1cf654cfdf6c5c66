// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/deployment_plan.h"

#include <doctest/doctest.h>

#include <map>

namespace slipway::cluster {
namespace {

const Wall start{std::chrono::seconds(1'800'000'000)};

Json pod_template(std::string_view image) {
  return Json::object({{"metadata", Json::object({{"labels", Json::object({{"app", "web"}})}})},
                       {"spec", Json::object({{"containers", Json::array({Json::object({{"name", "c"}, {"image", image}})})}})}});
}

Json deployment(std::int64_t replicas, std::string_view image, const Json& surge = 1, const Json& unavailable = 0) {
  return Json::object(
      {{"metadata", Json::object({{"name", "web"}, {"namespace", "shop"}, {"uid", "d"}, {"generation", 1}})},
       {"spec", Json::object({{"replicas", replicas},
                              {"selector", Json::object({{"matchLabels", Json::object({{"app", "web"}})}})},
                              {"strategy", Json::object({{"rollingUpdate", Json::object({{"maxSurge", surge}, {"maxUnavailable", unavailable}})}})},
                              {"template", pod_template(image)}})}});
}

// A small model of the cluster: applies plans, and pods become available one step later unless their image is broken.
struct Cluster {
  Json object;
  std::map<std::string, Json> sets;
  Wall now = start;
  std::int64_t lowest_available = 1 << 20, most_pods = 0;

  explicit Cluster(Json deployment) : object(std::move(deployment)) {}

  DeploymentPlan step() {
    std::vector<ReplicaSetView> views;
    for (const auto& [name, set] : sets) views.push_back(read_replica_set(set));
    DeploymentPlan plan = plan_deployment(read_deployment(object), views, {}, now);
    if (!plan.create.is_null()) {
      const std::string name = plan.create["metadata"]["name"].str();
      sets[name] = plan.create.with_path({"metadata", "creationTimestamp"}, format_rfc3339(now)).with_path({"metadata", "uid"}, name);
    }
    for (const Scale& scale : plan.scale) {
      Json& set = sets.at(scale.replica_set);
      set = set.with_path({"spec", "replicas"}, scale.replicas)
                .with_path({"metadata", "annotations", "deployment.kubernetes.io/desired-replicas"}, std::to_string(plan.desired));
      const Json status = set["status"];  // a copy: set changes below
      for (const char* field : {"replicas", "readyReplicas", "availableReplicas"})
        if (status[field].as_int() > scale.replicas) set = set.with_path({"status", field}, scale.replicas);
    }
    for (const std::string& name : plan.remove) sets.erase(name);
    if (plan.revision) object = object.with_path({"metadata", "annotations", "deployment.kubernetes.io/revision"}, std::to_string(*plan.revision));
    if (plan.set_revision) sets.at(plan.new_set) = sets.at(plan.new_set).with_path({"metadata", "annotations", "deployment.kubernetes.io/revision"}, std::to_string(*plan.set_revision));
    object = object.with("status", plan.status);
    return plan;
  }

  void pods_start() {
    std::int64_t pods = 0, available = 0;
    for (auto& [name, set] : sets) {
      const std::int64_t wanted = set["spec"]["replicas"].as_int();
      const bool broken = set["spec"]["template"]["spec"]["containers"][0]["image"].as_string() == "broken";
      set = set.with_path({"status", "replicas"}, wanted);
      if (!broken) set = set.with_path({"status", "readyReplicas"}, wanted).with_path({"status", "availableReplicas"}, wanted);
      pods += wanted;
      available += set["status"]["availableReplicas"].as_int();
    }
    most_pods = std::max(most_pods, pods);
    lowest_available = std::min(lowest_available, available);
    now += std::chrono::seconds(2);
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      pods_start();
    }
  }

  std::int64_t replicas_of(std::string_view image) const {
    for (const auto& [name, set] : sets)
      if (set["spec"]["template"]["spec"]["containers"][0]["image"].as_string() == image) return set["spec"]["replicas"].as_int();
    return -1;
  }
  std::string progressing() const { return find_condition(object["status"]["conditions"], "Progressing")["reason"].str(); }
};

TEST_CASE("a new Deployment creates one ReplicaSet with all its replicas and becomes available") {
  Cluster cluster(deployment(3, "v1"));
  cluster.run(3);
  CHECK(cluster.replicas_of("v1") == 3);
  CHECK(cluster.progressing() == "NewReplicaSetAvailable");
  CHECK(cluster.object["status"]["availableReplicas"].as_int() == 3);
  CHECK(cluster.object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string() == "1");
}

TEST_CASE("a rolling update never goes below its availability nor above its surge, whatever the numbers") {
  for (std::int64_t replicas : {1, 2, 3, 5, 10})
    for (const Json& surge : {Json(0), Json(1), Json("25%"), Json("100%")})
      for (const Json& unavailable : {Json(0), Json(1), Json("25%")}) {
        Cluster cluster(deployment(replicas, "v1", surge, unavailable));
        cluster.run(4);
        cluster.lowest_available = 1 << 20;
        cluster.most_pods = 0;
        cluster.object = cluster.object.with_path({"spec", "template"}, pod_template("v2"));
        cluster.run(60);
        const DeploymentView view = read_deployment(cluster.object);
        CHECK(cluster.replicas_of("v2") == replicas);
        CHECK(cluster.replicas_of("v1") == 0);
        CHECK(cluster.lowest_available >= replicas - view.unavailable());
        CHECK(cluster.most_pods <= replicas + view.surge());
        CHECK(cluster.progressing() == "NewReplicaSetAvailable");
      }
}

TEST_CASE("pods that never become ready hold the rollout; the deadline is reported and the old ones stay") {
  Cluster cluster(deployment(3, "v1"));
  cluster.run(4);
  cluster.object = cluster.object.with_path({"spec", "template"}, pod_template("broken")).with_path({"spec", "progressDeadlineSeconds"}, 30);
  cluster.run(10);
  CHECK(cluster.progressing() == "ReplicaSetUpdated");
  cluster.run(20);
  CHECK(cluster.progressing() == "ProgressDeadlineExceeded");
  CHECK(cluster.replicas_of("v1") == 3);
  CHECK(cluster.replicas_of("broken") == 1);
}

TEST_CASE("going back to an old template takes its ReplicaSet again, under a new revision") {
  Cluster cluster(deployment(2, "v1"));
  cluster.run(4);
  cluster.object = cluster.object.with_path({"spec", "template"}, pod_template("broken"));
  cluster.run(4);
  cluster.object = cluster.object.with_path({"spec", "template"}, pod_template("v1"));
  cluster.run(6);
  CHECK(cluster.sets.size() == 2);
  CHECK(cluster.replicas_of("v1") == 2);
  CHECK(cluster.replicas_of("broken") == 0);
  CHECK(cluster.object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string() == "3");
}

TEST_CASE("scaling in the middle of a rollout shares the new number out and still completes") {
  Cluster cluster(deployment(10, "v1", Json(3), Json(2)));
  cluster.run(4);
  cluster.object = cluster.object.with_path({"spec", "template"}, pod_template("v2"));
  cluster.run(1);
  cluster.object = cluster.object.with_path({"spec", "replicas"}, 15);
  cluster.run(60);
  CHECK(cluster.replicas_of("v2") == 15);
  CHECK(cluster.replicas_of("v1") == 0);
}

TEST_CASE("Recreate stops the old pods before it starts new ones") {
  Cluster cluster(deployment(2, "v1").with_path({"spec", "strategy"}, Json::object({{"type", "Recreate"}})));
  cluster.run(4);
  cluster.object = cluster.object.with_path({"spec", "template"}, pod_template("v2"));
  CHECK(cluster.step().create.is_null());
  CHECK(cluster.replicas_of("v1") == 0);
  cluster.pods_start();
  cluster.run(3);
  CHECK(cluster.replicas_of("v2") == 2);
}

TEST_CASE("a paused Deployment scales but does not roll out") {
  Cluster cluster(deployment(2, "v1"));
  cluster.run(4);
  cluster.object = cluster.object.with_path({"spec", "paused"}, true).with_path({"spec", "template"}, pod_template("v2")).with_path({"spec", "replicas"}, 4);
  cluster.run(4);
  CHECK(cluster.replicas_of("v2") == -1);
  CHECK(cluster.replicas_of("v1") == 4);
}

TEST_CASE("old ReplicaSets beyond the history limit are removed, the oldest revision first") {
  Cluster cluster(deployment(1, "v1").with_path({"spec", "revisionHistoryLimit"}, 1));
  for (const char* image : {"v1", "v2", "v3", "v4"}) {
    cluster.object = cluster.object.with_path({"spec", "template"}, pod_template(image));
    cluster.run(6);
  }
  CHECK(cluster.sets.size() == 2);
  CHECK(cluster.replicas_of("v3") == 0);
}

TEST_CASE("a plan that was carried out leaves nothing to do") {
  Cluster cluster(deployment(3, "v1"));
  cluster.run(5);
  const Json before = cluster.object["status"];
  const DeploymentPlan plan = cluster.step();
  CHECK(plan.create.is_null());
  CHECK(plan.scale.empty());
  CHECK(plan.status == before);
}

}  // namespace
}  // namespace slipway::cluster
