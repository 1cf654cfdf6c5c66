// SPDX-License-Identifier: Apache-2.0
#include "main/foreign_plane.h"

#include <doctest/doctest.h>

#include "kube/testing/fake_client.h"

namespace slipway::app {
namespace {

using kube::Json;

Json service_at(const char* address) {
  return Json::object({{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", Json::object({{"name", "kubernetes"}, {"namespace", "default"}})}, {"spec", Json::object({{"clusterIP", address}})}});
}

TEST_CASE("no role gives nodes more than reads, the status of image builds apart") {
  for (const Json& role : plane_roles()) {
    for (const Json& rule : role["rules"].items()) {
      const bool status = rule["resources"] == Json::array({"imagebuilds/status"});
      for (const Json& verb : rule["verbs"].items()) CHECK_MESSAGE((status || verb == Json("get") || verb == Json("list") || verb == Json("watch")), text::to_json(role));
    }
  }
}

TEST_CASE("a plane with another Service network is refused by its address") {
  const auto executor = make_system_executor();
  kube::testing::FakeClient plane;
  REQUIRE(plane.create(kube::resources::services, service_at("10.43.0.1")));
  const auto refused = check_service_network(plane, *executor, {});
  REQUIRE(!refused);
  CHECK(refused.error().message.find("10.43.0.1") != std::string::npos);
  REQUIRE(plane.update(kube::resources::services, service_at("10.96.0.1")));
  CHECK(check_service_network(plane, *executor, {}));
}

TEST_CASE("a plane that publishes no authority for client certificates is refused") {
  const auto executor = make_system_executor();
  kube::testing::FakeClient plane;
  const Json map = Json::object({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", Json::object({{"name", "extension-apiserver-authentication"}, {"namespace", "kube-system"}})},
                                 {"data", Json::object()}});
  REQUIRE(plane.create(kube::resources::config_maps, map));
  CHECK(client_authority(plane, *executor, {}).error().code == ErrorCode::invalid);
}

}  // namespace
}  // namespace slipway::app
