// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <random>

#include "desired/diff.h"
#include "desired/health.h"
#include "desired/plan.h"
#include "kube/apply.h"

namespace slipway::desired {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }

Json config(const std::string& name, const std::string& value = "1", const std::string& app = "shop") {
  return owned(json(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"ns"}})").with_path({"metadata", "name"}, name).with_path({"data", "k"}, value), {"ns", app});
}

TEST_CASE("a set's digest depends on its objects alone, and a stored set comes back as it was") {
  Set a{{{config("a"), "x:1"}, {config("b"), "x:2"}}}, b{{{config("b"), "y:9"}, {config("a"), "y:3"}}};
  CHECK(a.digest() == b.digest());
  CHECK(a.digest() != Set{{{config("a", "2"), "x:1"}}}.digest());
  CHECK(Set::parse(a.to_text()).value().digest() == a.digest());
  CHECK(Set::parse(a.to_text()).value().objects[1].source == "x:2");
}

TEST_CASE("what others need is applied first") {
  Set set{{{json(R"({"kind":"Deployment","metadata":{"name":"d"}})"), ""}, {json(R"({"kind":"Unknown","metadata":{"name":"u"}})"), ""},
           {json(R"({"kind":"Namespace","metadata":{"name":"n"}})"), ""}, {json(R"({"kind":"ConfigMap","metadata":{"name":"c"}})"), ""}}};
  sort_for_apply(set);
  std::string order;
  for (const auto& one : set.objects) order += one.object["kind"].str() + " ";
  CHECK(order == "Namespace ConfigMap Deployment Unknown ");
}

TEST_CASE("an image becomes its digest by its repository name, wherever containers stand; others stay") {
  const Json object = json(R"({"spec":{"template":{"spec":{"initContainers":[{"image":"r:5000/a:1"}],"containers":[{"image":"r:5000/a"},{"image":"r:5000/ab:1"},{"image":"a"}]}}}})");
  const Json out = with_image_digests(object, {{"r:5000/a", "sha256:x"}})["spec"]["template"]["spec"];
  CHECK(out["initContainers"][0]["image"].as_string() == "r:5000/a@sha256:x");
  CHECK(out["containers"][0]["image"].as_string() == "r:5000/a@sha256:x");
  CHECK(out["containers"][1]["image"].as_string() == "r:5000/ab:1");
  CHECK(out["containers"][2]["image"].as_string() == "a");
}

TEST_CASE("a difference is told by path, live value first; what the server added is not one") {
  const Json desired = json(R"({"spec":{"replicas":3,"template":{"containers":[{"name":"a","image":"1"}]},"empty":{}}})");
  const Json live = json(R"({"spec":{"replicas":5,"template":{"containers":[{"name":"side"},{"name":"a","image":"2","policy":"x"}]},"more":1},"status":{}})");
  CHECK(diff(desired, live) == std::vector<std::string>{"spec.replicas: 5 -> 3", R"(spec.template.containers[a].image: "2" -> "1")"});
  CHECK(diff(desired, desired).empty());
}

TEST_CASE("what was applied does not differ from what is desired, whatever else is there") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Json desired = config("a", std::to_string(random() % 3)), live = config("a", std::to_string(random() % 3)).with_path({"data", "other"}, "x");
    for (int i = 0; i < 3; ++i) desired = desired.with_path({"data", std::to_string(random() % 4)}, static_cast<int>(random() % 2));
    const Json applied = kube::apply(live, desired, {"slipway", "v1", "", "t", kube::Force::yes}).value();
    CHECK(diff(desired, applied).empty());
  }
}

TEST_CASE("what an API only writes in another form is no difference") {
  const auto with_limits = [](const char* limits) { return json(R"({"kind":"Pod","spec":{"containers":[{"name":"a","resources":{"limits":{}}}]}})").with_path({"spec", "containers"}, Json::array({Json::object({{"name", "a"}, {"resources", Json::object({{"limits", json(limits)}})}})})); };
  CHECK(diff(with_limits(R"({"cpu":0.5,"memory":"1Gi"})"), with_limits(R"({"cpu":"500m","memory":"1073741824"})")).empty());
  CHECK(diff(with_limits(R"({"cpu":"100m"})"), with_limits(R"({"cpu":"0.1"})")).empty());
  CHECK(diff(with_limits(R"({"cpu":2})"), with_limits(R"({"cpu":"1500m"})")) == std::vector<std::string>{R"(spec.containers[a].resources.limits.cpu: "1500m" -> 2)"});
  CHECK(!diff(json(R"({"kind":"ConfigMap","data":{"limits":"1"}})"), json(R"({"kind":"ConfigMap","data":{"limits":"1.0"}})")).empty());
  CHECK(diff(json(R"({"metadata":{"creationTimestamp":null},"status":{"x":1}})"), json(R"({"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z"}})")).empty());
}

TEST_CASE("a Secret's stringData is compared with the data that it became, and no value is told") {
  const Json desired = json(R"({"apiVersion":"v1","kind":"Secret","stringData":{"k":"hunter2"}})");
  CHECK(diff(desired, json(R"({"apiVersion":"v1","kind":"Secret","data":{"k":"aHVudGVyMg=="}})")).empty());
  CHECK(diff(desired, json(R"({"apiVersion":"v1","kind":"Secret","data":{"k":"eA=="}})")) == std::vector<std::string>{"data.k: differs"});
}

TEST_CASE("prune takes only what the app owns and is no longer wanted") {
  const Set set{{{config("a"), ""}}};
  const std::vector<Json> present{config("a"), config("old"), config("foreign", "1", "other"),
                                  config("kept").with_path({"metadata", "annotations", prune_annotation}, "disabled")};
  const Plan made = plan(set, {{id_of(config("a")), config("a")}}, present, "shop", Prune::yes);
  REQUIRE(made.prune.size() == 1);
  CHECK(made.prune[0]["metadata"]["name"].as_string() == "old");
  CHECK(made.apply.empty());
}

TEST_CASE("an empty set, or one that shares nothing with what is there, deletes nothing and says so") {
  CHECK(plan({}, {}, {config("a")}, "shop", Prune::yes).prune.empty());
  CHECK(plan({}, {}, {config("a")}, "shop", Prune::yes).prune_held == "the rendered set is empty");
  CHECK(plan({{{config("b"), ""}}}, {}, {config("a")}, "shop", Prune::yes).prune.empty());
}

TEST_CASE("an object of another app is refused by name; one that nobody owns is adopted") {
  const Set set{{{config("a"), "deploy/a.yaml:1"}}};
  const Plan refused = plan(set, {{id_of(config("a")), config("a", "1", "other")}}, {}, "shop", Prune::yes);
  CHECK(refused.refused == std::vector<std::string>{"ConfigMap ns/a (deploy/a.yaml:1) belongs to app other"});
  CHECK(refused.apply.empty());
  const Json of_another_namespace = config("a").with_path({"metadata", "annotations", app_namespace_annotation}, "other");
  CHECK(plan(set, {{id_of(config("a")), of_another_namespace}}, {}, "shop", Prune::yes).refused == std::vector<std::string>{"ConfigMap ns/a (deploy/a.yaml:1) belongs to app other/shop"});
  const Json unowned = json(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"ns","name":"a"},"data":{"k":"1"}})");
  CHECK(plan(set, {{id_of(unowned), unowned}}, {}, "shop", Prune::yes).apply.size() == 1);
}

TEST_CASE("a Deployment is healthy only when its controller has seen it and every new replica is available") {
  Json live = json(R"({"kind":"Deployment","metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"availableReplicas":2}})");
  CHECK(health_of(live).health == Health::progressing);
  live = live.with_path({"status", "observedGeneration"}, 2);
  CHECK(health_of(live).health == Health::healthy);
  CHECK(health_of(live.with_path({"status", "replicas"}, 3)).health == Health::progressing);
  CHECK(health_of(live.with_path({"status", "availableReplicas"}, 1)).message == "1 of 2 updated replicas are available");
  CHECK(health_of(live.with_path({"status", "conditions"}, json(R"([{"type":"Progressing","reason":"ProgressDeadlineExceeded","message":"late"}])"))).health == Health::degraded);
  CHECK(health_of(Json()).health == Health::missing);
  CHECK(health_of(json(R"({"kind":"ConfigMap"})")).health == Health::healthy);
}

}  // namespace
}  // namespace slipway::desired
