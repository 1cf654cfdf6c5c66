// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/api.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "store/recording_file.h"

namespace slipway::api {
namespace {

using kube::resources::config_maps, kube::resources::deployments, kube::resources::namespaces, kube::resources::pods, kube::resources::services;
using text::Json;

struct Fixture {
  std::unique_ptr<Executor> executor = make_system_executor();
  store::RecordingFiles files;
  std::unique_ptr<Api> api;
  std::unique_ptr<kube::Client> admin;
  Fixture() { open(); }
  void open() {
    admin.reset();
    api.reset();
    auto opened = Api::open(files, *executor, {.folder = "/api"});
    REQUIRE_MESSAGE(opened.has_value(), opened.error().to_string());
    api = std::move(*opened);
    admin = api->local_client(auth::administrator());
  }
};

Json config_map(const char* name, const char* value) {
  return Json::object({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", Json::object({{"name", name}, {"namespace", "default"}, {"labels", Json::object({{"app", name}})}})}, {"data", Json::object({{"k", value}})}});
}

Json deployment(const char* name) {
  return text::parse_json(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"web"}]}}}})").value().with_path({"metadata", "name"}, name);
}

TEST_CASE("an object is created with what the server gives it, and is there after a restart") {
  Fixture f;
  const Json made = f.admin->create(config_maps, config_map("a", "1")).value();
  CHECK(!made["metadata"]["uid"].as_string().empty());
  CHECK(!made["metadata"]["resourceVersion"].as_string().empty());
  CHECK(f.admin->create(config_maps, config_map("a", "1")).error().message == "configmaps \"a\" already exists");
  f.open();
  CHECK(f.admin->get(config_maps, {"default", "a"}).value() == made);
  CHECK(f.admin->get(config_maps, {"default", "b"}).error().message == "configmaps \"b\" not found");
}

TEST_CASE("a stale update is a conflict in Kubernetes' words, and no update writes nothing") {
  Fixture f;
  const Json first = f.admin->create(config_maps, config_map("a", "1")).value();
  const Json second = f.admin->update(config_maps, first.with_path({"data", "k"}, "2")).value();
  CHECK(f.admin->update(config_maps, first).error().message ==
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again");
  CHECK(f.admin->update(config_maps, second).value()["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]);
}

TEST_CASE("a list is paged over one state and filtered by labels and fields") {
  Fixture f;
  for (const char* name : {"a", "b", "c"}) REQUIRE(f.admin->create(config_maps, config_map(name, "1")));
  const auto first = f.admin->list(config_maps, {.ns = "default", .limit = 2}).value();
  CHECK(first.items.size() == 2);
  REQUIRE(f.admin->create(config_maps, config_map("d", "1")));
  const auto rest = f.admin->list(config_maps, {.ns = "default", .limit = 2, .continue_token = first.continue_token}).value();
  CHECK(rest.items.size() == 1);
  CHECK(rest.resource_version == first.resource_version);
  CHECK(f.admin->list(config_maps, {.label_selector = "app in (a,d),app!=a"}).value().items.size() == 1);
  CHECK(f.admin->list(config_maps, {.field_selector = "metadata.name=b"}).value().items.size() == 1);
  CHECK(f.admin->list(config_maps, {.continue_token = "bm9uc2Vuc2U"}).error().code == ErrorCode::invalid);
}

TEST_CASE("a watch tells additions, changes and removals in order, and ends with the callback's word") {
  Fixture f;
  const auto list = f.admin->list(config_maps).value();
  const Json made = f.admin->create(config_maps, config_map("a", "1")).value();
  REQUIRE(f.admin->patch(config_maps, {"default", "a"}, kube::PatchType::merge, Json::object({{"data", Json::object({{"k", "2"}})}})));
  REQUIRE(f.admin->remove(config_maps, {"default", "a"}));
  std::vector<kube::WatchKind> kinds;
  REQUIRE(f.admin->watch(config_maps, {.ns = "default", .resource_version = list.resource_version}, [&](const kube::WatchEvent& event) {
    kinds.push_back(event.kind);
    return kinds.size() < 3;
  }, {}));
  CHECK(kinds == std::vector{kube::WatchKind::added, kube::WatchKind::modified, kube::WatchKind::deleted});
}

TEST_CASE("a Deployment gets its defaults, keeps its status to the status subresource and counts generations") {
  Fixture f;
  const Json made = f.admin->create(deployments, deployment("web")).value();
  CHECK(made.at_path({"spec", "strategy", "rollingUpdate", "maxSurge"}).as_string() == "25%");
  CHECK(made["metadata"]["generation"].as_int() == 1);
  const Json status = f.admin->update(deployments, made.with("status", Json::object({{"replicas", 3}})), "status").value();
  CHECK(status["status"]["replicas"].as_int() == 3);
  CHECK(status["metadata"]["generation"].as_int() == 1);
  const Json scaled = f.admin->patch(deployments, {"default", "web"}, kube::PatchType::merge, text::parse_json(R"({"spec":{"replicas":5}})").value(), {}, "scale").value();
  CHECK(scaled["spec"]["replicas"].as_int() == 5);
  const Json now = f.admin->get(deployments, {"default", "web"}).value();
  CHECK(now["metadata"]["generation"].as_int() == 2);
  CHECK(now["status"]["replicas"].as_int() == 3);
  CHECK(f.admin->update(deployments, now.with_path({"spec", "selector", "matchLabels", "x"}, "y")).error().message.find("field is immutable") != std::string::npos);
}

TEST_CASE("what is missing is named with its field") {
  Fixture f;
  const auto refused = f.admin->create(deployments, deployment("web").without_path({"spec", "selector"}));
  CHECK(refused.error().message == "Deployment.apps \"web\" is invalid: spec.selector: Required value");
  CHECK(refused.error().code == ErrorCode::invalid);
  CHECK(f.admin->create(config_maps, config_map("Big", "1")).error().message.find("RFC 1123 subdomain") != std::string::npos);
  CHECK(f.admin->create(config_maps, config_map("big", std::string(1024 * 1024 + 1, 'x').c_str())).error().message.find("Too long") != std::string::npos);
}

TEST_CASE("Services get addresses and ports that no other has, also after a restart") {
  Fixture f;
  const auto service = [](const char* name) {
    return text::parse_json(R"({"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default"},"spec":{"type":"NodePort","ports":[{"port":80}]}})").value().with_path({"metadata", "name"}, name);
  };
  const Json a = f.admin->create(services, service("a")).value();
  f.open();
  const Json b = f.admin->create(services, service("b")).value();
  CHECK(a["spec"]["clusterIP"] != b["spec"]["clusterIP"]);
  CHECK(a["spec"]["ports"][std::size_t{0}]["nodePort"] != b["spec"]["ports"][std::size_t{0}]["nodePort"]);
  CHECK(b["spec"]["ports"][std::size_t{0}]["targetPort"].as_int() == 80);
  CHECK(f.admin->create(services, service("c").with_path({"spec", "clusterIP"}, a["spec"]["clusterIP"])).error().message.find("already allocated") != std::string::npos);
  CHECK(f.admin->get(services, {"default", "kubernetes"}).value()["spec"]["clusterIP"].as_string() == "10.96.0.1");
}

TEST_CASE("a pod that runs is given its grace, one that runs nowhere is gone at once") {
  Fixture f;
  const Json pod = text::parse_json(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"spec":{"containers":[{"name":"c","image":"web:1"}]}})").value();
  const Json made = f.admin->create(pods, pod).value();
  CHECK(made["spec"]["serviceAccountName"].as_string() == "default");
  CHECK(made["spec"]["volumes"].size() == 1);
  REQUIRE(f.admin->create(pods, Json::object({{"metadata", made["metadata"]}, {"target", Json::object({{"name", "n1"}})}}), "binding"));
  CHECK(f.admin->remove(pods, {"default", "p"}).value()["metadata"]["deletionGracePeriodSeconds"].as_int() == 30);
  CHECK(f.admin->get(pods, {"default", "p"}).value()["metadata"].contains("deletionTimestamp"));
  REQUIRE(f.admin->remove(pods, {"default", "p"}, {.grace_seconds = 0}));
  CHECK(!f.admin->get(pods, {"default", "p"}));
  REQUIRE(f.admin->create(pods, pod));
  REQUIRE(f.admin->remove(pods, {"default", "p"}));
  CHECK(!f.admin->get(pods, {"default", "p"}));
}

TEST_CASE("a finalizer keeps an object until it is taken away, and a terminating namespace takes nothing new") {
  Fixture f;
  const Json made = f.admin->create(config_maps, config_map("a", "1").with_path({"metadata", "finalizers"}, Json::array({"x.dev/y"}))).value();
  REQUIRE(f.admin->remove(config_maps, {"default", "a"}));
  REQUIRE(f.admin->get(config_maps, {"default", "a"}));
  REQUIRE(f.admin->patch(config_maps, {"default", "a"}, kube::PatchType::merge, text::parse_json(R"({"metadata":{"finalizers":null}})").value()));
  CHECK(!f.admin->get(config_maps, {"default", "a"}));
  REQUIRE(f.admin->create(namespaces, Json::object({{"metadata", Json::object({{"name", "shop"}})}})));
  const Json going = f.admin->remove(namespaces, {"", "shop"}).value();
  CHECK(going["status"]["phase"].as_string() == "Terminating");
  CHECK(f.admin->create(config_maps, config_map("b", "1").with_path({"metadata", "namespace"}, "shop")).error().code == ErrorCode::forbidden);
  CHECK(f.admin->create(config_maps, config_map("b", "1").with_path({"metadata", "namespace"}, "none")).error().message == "namespaces \"none\" not found");
  REQUIRE(f.admin->update(namespaces, going.with_path({"spec", "finalizers"}, Json::array()), "finalize"));
  CHECK(!f.admin->get(namespaces, {"", "shop"}));
}

TEST_CASE("a custom resource is served as soon as its definition is, pruned, defaulted and validated") {
  Fixture f;
  const Json definition = text::parse_json(R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"apps.slipway.dev"},"spec":{"group":"slipway.dev","scope":"Namespaced","names":{"plural":"apps","kind":"App"},"versions":[{"name":"v1alpha1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","required":["path"],"properties":{"path":{"type":"string"},"prune":{"type":"boolean","default":true}}}}}}}]}})").value();
  REQUIRE(f.admin->create(kube::resources::custom_resource_definitions, definition));
  f.open();
  const auto app = [](const char* spec) { return text::parse_json(std::string(R"({"apiVersion":"slipway.dev/v1alpha1","kind":"App","metadata":{"name":"a","namespace":"default"},"spec":)") + spec + "}").value(); };
  CHECK(f.admin->create(kube::resources::apps, app("{}")).error().message.find("spec.path: Required value") != std::string::npos);
  const Json made = f.admin->create(kube::resources::apps, app(R"({"path":"x","unknown":1})")).value();
  CHECK(made["spec"] == text::parse_json(R"({"path":"x","prune":true})").value());
}

TEST_CASE("the local client is authorized like everybody") {
  Fixture f;
  const auto tenant = f.api->local_client(auth::service_account("shop", "default"));
  CHECK(tenant->list(config_maps, {.ns = "default"}).error().code == ErrorCode::forbidden);
  CHECK(f.api->local_client(auth::anonymous())->list(config_maps).error().code == ErrorCode::unauthenticated);
  CHECK(f.api->local_client(auth::anonymous())->raw("GET", "/livez").value() == "ok");
}

TEST_CASE("a patch of a type that is not served is refused by name") {
  Fixture f;
  REQUIRE(f.admin->create(config_maps, config_map("a", "1")));
  const auto refused = f.admin->raw("PATCH", "/api/v1/namespaces/default/configmaps/a", "{}", "application/xml");
  CHECK(refused.error().message.find("got application/xml") != std::string::npos);
}

TEST_CASE("a JSON patch that does not fit is refused and changes nothing; one that fits is applied") {
  Fixture f;
  REQUIRE(f.admin->create(config_maps, config_map("a", "1")));
  const auto patch = [](std::string_view op, std::string_view path) { return Json::array({Json::object({{"op", op}, {"path", path}, {"value", "2"}})}); };
  CHECK(f.admin->patch(config_maps, {"default", "a"}, kube::PatchType::json, patch("replace", "/data/nothing")).error().code == ErrorCode::invalid);
  CHECK(f.admin->patch(config_maps, {"default", "a"}, kube::PatchType::json, patch("add", "/data/new")).value()["data"]["new"].as_string() == "2");
}

TEST_CASE("server-side apply makes, changes and shares an object; another manager's field is a conflict") {
  Fixture f;
  const auto apply = [&](std::string_view manager, std::string_view value, bool force) {
    const Json object = Json::object({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", Json::object({{"name", "a"}, {"namespace", "default"}})},
                                      {"data", Json::object({{"k", value}})}});
    return f.admin->patch(config_maps, {"default", "a"}, kube::PatchType::apply, object, {.field_manager = std::string(manager), .force = force});
  };
  REQUIRE(apply("one", "1", false));
  const auto again = apply("one", "1", false).value();
  CHECK(again["metadata"]["resourceVersion"] == apply("one", "1", false).value()["metadata"]["resourceVersion"]);
  CHECK(apply("two", "2", false).error().message == "Apply failed with 1 conflict: conflict with \"one\" using v1: .data.k");
  CHECK(apply("two", "2", true).value()["data"]["k"].as_string() == "2");
}

}  // namespace
}  // namespace slipway::api
