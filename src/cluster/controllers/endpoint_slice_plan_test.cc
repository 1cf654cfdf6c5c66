// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/endpoint_slice_plan.h"

#include <doctest/doctest.h>

namespace slipway::cluster {
namespace {

Json service(const Json& target) {
  return Json::object({{"metadata", Json::object({{"name", "web"}, {"namespace", "shop"}, {"uid", "s"}})},
                       {"spec", Json::object({{"ports", Json::array({Json::object({{"name", "http"}, {"port", 80}, {"targetPort", target}})})}})}});
}

PodView pod(std::string name, std::string ip, bool ready = true, bool deleting = false, int port = 8080) {
  const Json container = Json::object({{"ports", Json::array({Json::object({{"name", "http"}, {"containerPort", port}})})}});
  return {.object = Json::object({{"spec", Json::object({{"containers", Json::array({container})}})}}),
          .name = std::move(name), .ns = "shop", .phase = "Running", .node = "n", .ip = std::move(ip), .deleting = deleting, .ready = ready};
}

TEST_CASE("ready, serving and terminating are told apart; pods without an address are left out") {
  const auto slices = plan_endpoint_slices(service(8080), {pod("b", "10.0.0.2", false), pod("a", "10.0.0.1"), pod("c", "10.0.0.3", true, true), pod("d", "")});
  REQUIRE(slices.size() == 1);
  const auto endpoints = slices[0]["endpoints"].items();
  REQUIRE(endpoints.size() == 3);
  CHECK(text::to_json(endpoints[0]["conditions"]) == R"({"ready":true,"serving":true,"terminating":false})");
  CHECK(text::to_json(endpoints[1]["conditions"]) == R"({"ready":false,"serving":false,"terminating":false})");
  CHECK(text::to_json(endpoints[2]["conditions"]) == R"({"ready":false,"serving":true,"terminating":true})");
}

TEST_CASE("a named port is looked up on each pod; pods with other numbers get a slice of their own") {
  const auto slices = plan_endpoint_slices(service("http"), {pod("a", "10.0.0.1"), pod("b", "10.0.0.2", true, false, 9090)});
  REQUIRE(slices.size() == 2);
  CHECK(slices[0]["ports"][0]["port"].as_int() == 8080);
  CHECK(slices[1]["ports"][0]["port"].as_int() == 9090);
}

TEST_CASE("names stay the same from run to run, differ by slice, and fit; a Service without pods has one empty slice") {
  std::vector<PodView> many;
  for (int i = 0; i < 150; ++i) many.push_back(pod("p" + std::to_string(i), "10.0.0.1"));
  const auto one = plan_endpoint_slices(service(80), many), two = plan_endpoint_slices(service(80), many);
  REQUIRE(one.size() == 2);
  CHECK(one == two);
  CHECK(one[0]["metadata"]["name"] != one[1]["metadata"]["name"]);
  CHECK(plan_endpoint_slices(service(80), {}).size() == 1);
}

}  // namespace
}  // namespace slipway::cluster
