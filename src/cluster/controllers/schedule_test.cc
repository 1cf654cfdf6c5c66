// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/schedule.h"

#include <doctest/doctest.h>

namespace slipway::cluster {
namespace {

Json parse(std::string_view text) { return text::parse_json(text).value(); }

const Json node = parse(R"({"metadata":{"name":"n1","labels":{"disk":"ssd"}},
  "status":{"allocatable":{"cpu":"2","memory":"1Gi","pods":"3"},"conditions":[{"type":"Ready","status":"True"}]}})");

Json pod(std::string_view cpu, std::string_view placed_on = "") {
  Json out = parse(R"({"spec":{"containers":[{"resources":{"requests":{}}}]}})");
  out = out.with_path({"spec", "containers"}, Json::array({Json::object({{"resources", Json::object({{"requests", Json::object({{"cpu", cpu}})}})}})}));
  return placed_on.empty() ? out : out.with_path({"spec", "nodeName"}, placed_on);
}

TEST_CASE("a pod goes to a ready node with room for what it requests") {
  CHECK(place(pod("500m"), {node}, {pod("1500m", "n1")}).node == "n1");
  CHECK(place(pod("501m"), {node}, {pod("1500m", "n1")}).message == "0/1 nodes are available: 1 Insufficient cpu.");
  CHECK(place(pod("0"), {node}, {pod("0", "n1"), pod("0", "n1"), pod("0", "n1")}).message == "0/1 nodes are available: 1 Too many pods.");
}

TEST_CASE("a node that is not ready, cordoned, tainted or not selected is passed over, and the reason is told") {
  CHECK(place(pod("1"), {node.with_path({"status", "conditions"}, Json::array())}, {}).message.find("not ready") != std::string::npos);
  CHECK(place(pod("1"), {node.with_path({"spec", "unschedulable"}, true)}, {}).message.find("unschedulable") != std::string::npos);
  const Json tainted = node.with_path({"spec", "taints"}, parse(R"([{"key":"gpu","value":"yes","effect":"NoSchedule"}])"));
  CHECK(place(pod("1"), {tainted}, {}).node.empty());
  CHECK(place(pod("1").with_path({"spec", "tolerations"}, parse(R"([{"key":"gpu","operator":"Exists"}])")), {tainted}, {}).node == "n1");
  CHECK(place(pod("1").with_path({"spec", "nodeSelector"}, parse(R"({"disk":"hdd"})")), {node}, {}).node.empty());
  CHECK(place(pod("1"), {}, {}).message == "no nodes available to schedule pods");
}

}  // namespace
}  // namespace slipway::cluster
