// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/sync.h"

#include <doctest/doctest.h>

#include <mutex>

#include "base/files.h"
#include "cluster/api/api.h"
#include "store/recording_file.h"

namespace slipway::deliver {
namespace {

namespace resources = kube::resources;
using text::Json;

Json json(std::string_view text) { return text::parse_json(text).value(); }

Json definition(const kube::Resource& kind) {
  const Json open = json(R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  const Json schema = Json::object({{"openAPIV3Schema", Json::object({{"type", "object"}, {"properties", Json::object({{"spec", open}, {"status", open}})}})}});
  const Json version = Json::object({{"name", kind.version}, {"served", true}, {"storage", true}, {"schema", schema}, {"subresources", json(R"({"status":{}})")}});
  return Json::object({{"apiVersion", "apiextensions.k8s.io/v1"}, {"kind", "CustomResourceDefinition"},
                       {"metadata", Json::object({{"name", kind.plural + "." + kind.group}})},
                       {"spec", Json::object({{"group", kind.group}, {"scope", "Namespaced"}, {"names", Json::object({{"kind", kind.kind}, {"listKind", kind.kind + "List"}, {"plural", kind.plural}, {"singular", kind.kind == "App" ? "app" : kind.plural.substr(0, kind.plural.size() - 1)}})},
                                              {"versions", Json::array({version})}})}});
}

std::string deployment(const std::string& image) {
  return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: " + image + "}]}\n";
}
constexpr const char* service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {a: b}, ports: [{port: 80}]}\n";

class MemoryCommits final : public Commits {
 public:
  Result<std::string> head(const std::string&, const std::string&, const std::string&) override {
    const std::lock_guard lock(mutex_);
    if (head_.empty()) return fail(ErrorCode::not_found, "no branch main");
    return head_;
  }
  Result<cd::Files> files(const std::string&, const std::string&, const std::string& commit, const std::string& path) override {
    const std::lock_guard lock(mutex_);
    cd::Files out;
    for (const auto& [name, content] : commits_.at(commit))
      if (name.starts_with(path + "/")) out[name] = content;
    return out;
  }
  void add(const std::string& commit, cd::Files files) {
    const std::lock_guard lock(mutex_);
    commits_[commit] = std::move(files);
    head_ = commit;
  }

 private:
  std::mutex mutex_;
  std::string head_;
  std::map<std::string, cd::Files> commits_;
};

// A plane, a branch and the controller; the tests play the pods and the pipeline.
struct Plane {
  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  store::RecordingFiles files;
  std::unique_ptr<api::Api> api = api::Api::open(files, *executor, {.folder = "/api"}).value();
  std::unique_ptr<kube::Client> client = api->local_client(auth::administrator());
  MemoryCommits commits;
  std::unique_ptr<kube::Manager> manager;
  std::function<void(const std::string&, const std::string&)> pushed;

  explicit Plane(std::string_view spec = "{}") {
    for (const auto* kind : {&resources::repositories, &resources::apps, &resources::releases, &resources::pipeline_runs, &resources::task_runs})
      REQUIRE(client->create(resources::custom_resource_definitions, definition(*kind)));
    const Json app = json(R"({"apiVersion":"slipway.dev/v1alpha1","kind":"App","metadata":{"name":"shop","namespace":"default"}})");
    REQUIRE(client->create(resources::apps, app.with("spec", json(spec).with("repository", "hello"))));
    start();
  }
  ~Plane() { stop(); api->stop(); }
  void start() {
    manager = std::make_unique<kube::Manager>(*client, *executor);
    pushed = register_sync(*manager, {*blobs, commits});
    manager->start({});
  }
  void stop() {
    if (manager) manager->stop();
    manager.reset();
  }
  void push(const std::string& commit, const std::string& manifests, const std::string& pipeline = "") {
    cd::Files files{{"deploy/web.yaml", manifests}};
    if (!pipeline.empty()) files[".tekton/" + pipeline] = "{}";
    commits.add(commit, files);
    pushed("default", "hello");
  }
  void fail_run(const std::string& commit) {
    const Json labels = Json::object({{"slipway.dev/repository", "hello"}, {"slipway.dev/commit", commit}});
    const Json failed = json(R"({"conditions":[{"type":"Succeeded","status":"False","reason":"Failed"}],"steps":[{"name":"test","terminated":{"exitCode":2}}]})");
    const Json task = json(R"({"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{"name":"hello-1-unit","namespace":"default","labels":{"tekton.dev/pipelineRun":"hello-1","tekton.dev/pipelineTask":"unit"}},"spec":{}})");
    REQUIRE(client->create(resources::task_runs, task));
    REQUIRE(client->patch(resources::task_runs, {"default", "hello-1-unit"}, kube::PatchType::merge, Json::object({{"status", failed}}), {}, "status"));
    const Json run = json(R"({"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"name":"hello-1","namespace":"default"},"spec":{}})");
    REQUIRE(client->create(resources::pipeline_runs, run.with_path({"metadata", "labels"}, labels)));
    REQUIRE(client->patch(resources::pipeline_runs, {"default", "hello-1"}, kube::PatchType::merge, Json::object({{"status", failed}}), {}, "status"));
  }
  Json app() { return client->get(resources::apps, {"default", "shop"}).value(); }
  Json status() { return app()["status"]; }
  Json web() { return client->get(resources::deployments, {"default", "web"}).value_or(Json()); }
  std::string image() { return web()["spec"]["template"]["spec"]["containers"][0]["image"].str(); }
  bool has_service() { return client->get(resources::services, {"default", "web"}).has_value(); }
  template <class Ready>
  bool until(Ready ready) {
    for (int i = 0; i < 300; ++i) {
      if (ready()) return true;
      executor->sleep(std::chrono::milliseconds(20), {});
    }
    MESSAGE(text::to_json(status()));
    return false;
  }
  void report(bool good) {
    const Json condition = json(good ? R"({"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"})" : R"({"type":"Progressing","status":"False","reason":"ProgressDeadlineExceeded","message":"no progress"})");
    const int n = good ? 1 : 0;
    const Json status = Json::object({{"observedGeneration", web()["metadata"]["generation"]}, {"replicas", 1}, {"updatedReplicas", 1}, {"availableReplicas", n}, {"readyReplicas", n}, {"conditions", Json::array({condition})}});
    REQUIRE(client->patch(resources::deployments, {"default", "web"}, kube::PatchType::merge, Json::object({{"status", status}}), {}, "status"));
  }
  void become_healthy(const std::string& commit, const std::string& image_name, const std::string& more = "") {
    push(commit, deployment(image_name) + more);
    REQUIRE(until([&] { return image() == image_name; }));
    report(true);
    REQUIRE(until([&] { return status()["lastHealthy"]["commit"].as_string() == commit; }));
  }
};

TEST_CASE("drift is put right, a release that fails is rolled back and stays away, a better one is taken and pruned") {
  Plane plane;
  plane.become_healthy("c1", "one", service);
  const std::string good = plane.status()["lastHealthy"]["release"].str();
  REQUIRE(plane.client->remove(resources::services, {"default", "web"}));
  CHECK(plane.until([&] { return plane.has_service(); }));
  REQUIRE(plane.client->patch(resources::deployments, {"default", "web"}, kube::PatchType::merge, json(R"({"spec":{"replicas":5}})")));
  CHECK(plane.until([&] { return plane.web()["spec"]["replicas"].as_int() == 1; }));
  CHECK(plane.until([&] { return plane.status()["drift"][0]["what"].as_string() == "spec.replicas: 5 -> 1"; }));
  plane.report(true);

  plane.push("c2", deployment("two") + service);
  REQUIRE(plane.until([&] { return plane.image() == "two"; }));
  plane.report(false);
  REQUIRE(plane.until([&] { return plane.image() == "one"; }));
  plane.report(true);
  CHECK(plane.until([&] { return plane.status()["health"].as_string() == "Healthy"; }));
  CHECK(plane.status()["quarantined"][0]["commit"].as_string() == "c2");
  CHECK(plane.status()["lastHealthy"]["release"].as_string() == good);
  CHECK(plane.status()["message"].as_string().contains("no progress"));

  plane.push("c3", deployment("two") + service);  // another commit, the same set
  CHECK(plane.until([&] { return plane.status()["desired"]["commit"].as_string() == "c3"; }));
  CHECK(plane.image() == "one");

  plane.push("c4", deployment("three"));
  CHECK(plane.until([&] { return plane.image() == "three"; }));
  CHECK(plane.until([&] { return !plane.has_service(); }));
}

TEST_CASE("an app tells what its repository says of a pipeline that cannot be read") {
  Plane plane;
  plane.become_healthy("c1", "one");
  const Json repository = json(R"({"apiVersion":"slipway.dev/v1alpha1","kind":"Repository","metadata":{"name":"hello","namespace":"default"},"spec":{}})");
  REQUIRE(plane.client->create(resources::repositories, repository));
  plane.push("c2", deployment("two"), "push.yaml");
  const Json status = json(R"({"status":{"message":"commit c2: .tekton/push.yaml:3:1: a key is missing"}})");
  REQUIRE(plane.client->patch(resources::repositories, {"default", "hello"}, kube::PatchType::merge, status, {}, "status"));
  CHECK(plane.until([&] { return plane.status()["message"].as_string().contains(".tekton/push.yaml:3:1"); }));
  CHECK(plane.image() == "one");
}

TEST_CASE("a commit whose run failed is not deployed, and the message keeps saying which step it was") {
  Plane plane;
  plane.become_healthy("c1", "one");
  plane.push("c2", deployment("two"), "push.yaml");
  plane.fail_run("c2");
  CHECK(plane.until([&] { return plane.status()["message"].as_string().contains("task unit, step test: exit code 2"); }));
  CHECK(plane.image() == "one");
}

TEST_CASE("without automatic rollback a release that failed stays, and says why") {
  Plane plane(R"({"rollback":{"automatic":false}})");
  plane.become_healthy("c1", "one");
  plane.push("c2", deployment("two"));
  REQUIRE(plane.until([&] { return plane.image() == "two"; }));
  plane.report(false);
  REQUIRE(plane.until([&] { return plane.status()["message"].as_string().contains("no progress"); }));
  for (int i = 0; i < 3; ++i) {
    plane.stop();
    plane.start();  // each start looks at every app anew
  }
  REQUIRE(plane.client->patch(resources::deployments, {"default", "web"}, kube::PatchType::merge, json(R"({"spec":{"replicas":5}})")));
  CHECK(plane.until([&] { return plane.web()["spec"]["replicas"].as_int() == 1; }));
  CHECK(plane.image() == "two");
}

TEST_CASE("what the plane refuses is no reason to leave half a release behind") {
  Plane plane(R"({"progressDeadlineSeconds":1})");
  plane.become_healthy("c1", "one");
  plane.push("c2", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: early}\ndata: {a: b}\n---\n" + deployment("two") + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: zzz}\nspec: {replicas: 1}\n");
  CHECK(plane.until([&] { return plane.status()["quarantined"][0]["commit"].as_string() == "c2"; }));
  CHECK(plane.until([&] { return plane.image() == "one"; }));
}

TEST_CASE("a rollout goes on where a killed process left it") {
  Plane plane;
  plane.become_healthy("c1", "one");
  plane.push("c2", deployment("two"));
  REQUIRE(plane.until([&] { return plane.image() == "two"; }));
  plane.stop();
  plane.report(false);
  plane.start();
  CHECK(plane.until([&] { return plane.image() == "one"; }));
  CHECK(plane.until([&] { return plane.status()["quarantined"].size() == 1; }));
}

TEST_CASE("without automatic sync a release waits until somebody asks, once") {
  Plane plane(R"({"sync":{"automated":false}})");
  plane.push("c1", deployment("one"));
  REQUIRE(plane.until([&] { return plane.status()["message"].as_string().contains("waits for somebody to ask"); }));
  CHECK(plane.web().is_null());
  REQUIRE(plane.client->patch(resources::apps, {"default", "shop"}, kube::PatchType::merge, json(R"({"metadata":{"annotations":{"slipway.dev/sync-requested-at":"1"}}})")));
  CHECK(plane.until([&] { return plane.image() == "one"; }));
  plane.report(true);
  REQUIRE(plane.until([&] { return plane.status()["health"].as_string() == "Healthy"; }));
  plane.push("c2", deployment("two"));
  CHECK(plane.until([&] { return plane.status()["sync"].as_string() == "OutOfSync"; }));
  CHECK(plane.image() == "one");
}

TEST_CASE("a kind and an object of it may come in one set") {
  Plane plane;
  plane.push("c1", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: lamps.example.com}\nspec: {group: example.com, scope: Namespaced, names: {kind: Lamp, listKind: LampList, plural: lamps, singular: lamp}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}\n---\napiVersion: example.com/v1\nkind: Lamp\nmetadata: {name: hall}\nspec: {on: true}\n");
  const kube::Resource lamps{"example.com", "v1", "lamps", "Lamp"};
  CHECK(plane.until([&] { return plane.client->get(lamps, {"default", "hall"}).has_value(); }));
}

TEST_CASE("a Secret written as stringData is as desired once it is applied") {
  Plane plane;
  plane.become_healthy("c1", "one", "---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {k: v}\n");
  plane.stop();
  plane.start();
  CHECK(plane.until([&] { return plane.status()["sync"].as_string() == "Synced"; }));
  CHECK(plane.status()["drift"].empty());
}

TEST_CASE("an emptied folder takes nothing down") {
  Plane plane;
  plane.become_healthy("c1", "one", service);
  plane.push("c2", "");
  CHECK(plane.until([&] { return plane.status()["desired"]["commit"].as_string() == "c2"; }));
  CHECK(plane.image() == "one");
  CHECK(plane.has_service());
}

}  // namespace
}  // namespace slipway::deliver
