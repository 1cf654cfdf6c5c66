// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/runs.h"

#include <doctest/doctest.h>

#include <thread>

#include "ci/tekton/task_status.h"
#include "kube/testing/fake_client.h"
#include "source/repositories.h"

namespace slipway::tekton {
namespace {

using kube::ObjectKey;

Json json(std::string_view text) { return text::parse_json(text).value(); }

// The controllers over an API in memory. Pods do not run: the test says how they end.
class Plane {
 public:
  Plane() { start(); }
  ~Plane() { stop(); }

  void start() {
    manager_ = std::make_unique<kube::Manager>(client, *executor);
    register_pipeline_runs(*manager_);
    register_task_runs(*manager_, {attempts, *blobs, repositories, "https://h", "https://hub", "pin", "shim", [](const std::string&) -> Result<ImageCommand> { return fail(ErrorCode::not_found, ""); }});
    manager_->start({});
  }
  void stop() {
    manager_->stop();
    manager_.reset();
  }

  void create(const kube::Resource& resource, std::string_view name, std::string_view spec) {
    const auto made = client.create(resource, Json::object({{"metadata", Json::object({{"name", name}, {"namespace", "shop"}})}, {"spec", json(spec)}}));
    REQUIRE(made.has_value());
  }

  Json get(const kube::Resource& resource, const std::string& name) { return client.get(resource, {"shop", name}).value_or(Json()); }

  template <class Ready>
  Json await(const kube::Resource& resource, const std::string& name, Ready ready) {
    Json object;
    for (int i = 0; i < 4000; ++i) {
      object = get(resource, name);
      if (ready(object)) return object;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    FAIL(resource.plural << " " << name << " never came: " << text::to_json(object["status"]));
    return object;
  }
  Json await_pod(const std::string& name) {
    return await(kube::resources::pods, name, [](const Json& pod) { return !pod.is_null(); });
  }
  Json await_done(const kube::Resource& resource, const std::string& name) {
    return await(resource, name, [](const Json& run) { return is_done(run); });
  }

  // Every step of the pod ends with this code and these results.
  void end_pod(const std::string& name, int code, const Json& results = Json::object()) {
    const Json pod = await_pod(name);
    std::vector<Json> statuses;
    const std::string message = text::to_json(Json::object({{"exitCode", code}, {"reason", code == 0 ? "Completed" : "Error"}, {"results", results}}));
    for (const Json& container : pod["spec"]["containers"].items())
      statuses.push_back(Json::object({{"name", container["name"]}, {"state", Json::object({{"terminated", Json::object({{"exitCode", code}, {"message", message}})}})}}));
    const Json status = Json::object({{"phase", code == 0 ? "Succeeded" : "Failed"}, {"containerStatuses", Json::array(std::move(statuses))}});
    REQUIRE(client.patch(kube::resources::pods, {"shop", name}, kube::PatchType::merge, Json::object({{"status", status}}), {}, "status").has_value());
  }

  std::size_t pods() { return client.list(kube::resources::pods)->items.size(); }

  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  kube::testing::FakeClient client;
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  hub::Logs logs{folder.path() + "/logs", *executor};
  hub::Attempts attempts{folder.path() + "/attempts", *blobs, logs, *executor};
  source::PushJournal journal{folder.path() + "/pushes"};
  source::Repositories repositories{folder.path() + "/git", journal, executor->clock()};

 private:
  std::unique_ptr<kube::Manager> manager_;
};

constexpr const char* one_step = R"J({"taskSpec":{"results":[{"name":"out"}],"steps":[{"name":"s","image":"i","script":"echo $(context.taskRun.name)"}]}})J";
const auto& task_runs = kube::resources::task_runs;
const auto& pipeline_runs = kube::resources::pipeline_runs;

std::string reason_of(const Json& run) { return succeeded_of(run)["reason"].str(); }

}  // namespace

TEST_CASE_FIXTURE(Plane, "a TaskRun becomes one pod with its capability, and ends as the pod does") {
  create(task_runs, "one", one_step);
  const Json pod = await_pod("one-pod");
  const Json plan = text::parse_json(get(kube::resources::secrets, "one-pod")["stringData"]["plan.json"].as_string()).value();
  CHECK(plan["steps"][0]["script"].as_string() == "echo one");
  end_pod("one-pod", 0, Json::object({{"out", "x"}}));
  const Json run = await_done(task_runs, "one");
  CHECK(reason_of(run) == "Succeeded");
  CHECK(run["status"]["podName"].as_string() == "one-pod");
  CHECK(run["status"]["results"] == json(R"J([{"name":"out","type":"string","value":"x"}])J"));
  CHECK(run["status"]["steps"][0]["name"].as_string() == "s");
  CHECK(!run["status"]["completionTime"].is_null());
  CHECK(get(kube::resources::secrets, "one-pod").is_null());  // the capability is over
}

TEST_CASE_FIXTURE(Plane, "a task is tried again as often as it may be, in a pod of its own, and the tries are told") {
  create(task_runs, "flaky", R"J({"retries":1,"taskSpec":{"steps":[{"name":"s","image":"i","script":"x"}]}})J");
  end_pod("flaky-pod", 4);
  end_pod("flaky-pod-retry1", 5);
  const Json run = await_done(task_runs, "flaky");
  CHECK(reason_of(run) == "Failed");
  CHECK(succeeded_of(run)["message"].as_string() == "\"step-s\" exited with code 5");
  CHECK(run["status"]["retriesStatus"].size() == 1);
  CHECK(run["status"]["retriesStatus"][0]["podName"].as_string() == "flaky-pod");
}

TEST_CASE_FIXTURE(Plane, "a restart goes on with the pod that runs: no step is started twice") {
  create(task_runs, "long", one_step);
  await_pod("long-pod");
  await(task_runs, "long", [](const Json& run) { return !run["status"]["podName"].is_null(); });
  stop();
  start();
  end_pod("long-pod", 0);
  await_done(task_runs, "long");
  CHECK(pods() == 1);
}

TEST_CASE_FIXTURE(Plane, "a pod that somebody deleted fails its run; its step is not run again by itself") {
  create(task_runs, "gone", one_step);
  await(task_runs, "gone", [](const Json& run) { return !run["status"]["podName"].is_null(); });
  REQUIRE(client.remove(kube::resources::pods, {"shop", "gone-pod"}).has_value());
  CHECK(reason_of(await_done(task_runs, "gone")) == "PodDeleted");
  CHECK(pods() == 0);
}

TEST_CASE_FIXTURE(Plane, "tasks of a pipeline get their params and results, wait for what they need, and finally tells how it went") {
  create(pipeline_runs, "p", R"J({"params":[{"name":"who","value":"me"}],"pipelineSpec":{"params":[{"name":"who"}],"results":[{"name":"all","value":"$(tasks.second.results.out)"}],
    "tasks":[{"name":"second","params":[{"name":"in","value":"$(tasks.first.results.out)"}],"taskSpec":{"params":[{"name":"in"}],"results":[{"name":"out"}],"steps":[{"image":"i","script":"$(params.in) $(params.who)"}]}},
             {"name":"first","taskSpec":{"results":[{"name":"out"}],"steps":[{"image":"i","script":"x"}]}},
             {"name":"never","when":[{"input":"$(params.who)","operator":"in","values":["you"]}],"taskSpec":{"steps":[{"image":"i","script":"x"}]}}],
    "finally":[{"name":"tell","taskSpec":{"steps":[{"image":"i","script":"$(tasks.status) $(tasks.never.status)"}]}}]}})J");
  await_pod("p-first-pod");
  CHECK(get(kube::resources::pods, "p-second-pod").is_null());
  end_pod("p-first-pod", 0, Json::object({{"out", "42"}}));
  await_pod("p-second-pod");
  const auto script = [&](const char* pod) { return text::parse_json(get(kube::resources::secrets, pod)["stringData"]["plan.json"].as_string()).value()["steps"][0]["script"].str(); };
  CHECK(script("p-second-pod") == "42 me");
  end_pod("p-second-pod", 0, Json::object({{"out", "done"}}));
  await_pod("p-tell-pod");
  CHECK(script("p-tell-pod") == "Completed None");
  end_pod("p-tell-pod", 0);
  const Json run = await_done(pipeline_runs, "p");
  CHECK(reason_of(run) == "Completed");
  CHECK(succeeded_of(run)["message"].as_string() == "Tasks Completed: 3 (Failed: 0, Cancelled 0), Skipped: 1");
  CHECK(run["status"]["results"] == json(R"J([{"name":"all","value":"done"}])J"));
  CHECK(run["status"]["skippedTasks"][0]["reason"].as_string() == "When Expressions evaluated to false");
  CHECK(run["status"]["childReferences"].size() == 3);
  CHECK(pods() == 3);
}

TEST_CASE_FIXTURE(Plane, "a failed task stops the pipeline, finally still runs, and the message names what failed") {
  create(pipeline_runs, "p", R"J({"pipelineSpec":{"tasks":[{"name":"test","taskSpec":{"steps":[{"name":"unit","image":"i","script":"x"}]}},
    {"name":"deploy","runAfter":["test"],"taskSpec":{"steps":[{"image":"i","script":"x"}]}}],"finally":[{"name":"tell","taskSpec":{"steps":[{"image":"i","script":"x"}]}}]}})J");
  end_pod("p-test-pod", 2);
  end_pod("p-tell-pod", 0);
  const Json run = await_done(pipeline_runs, "p");
  CHECK(reason_of(run) == "Failed");
  CHECK(succeeded_of(run)["message"].as_string() == "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 1; task test: \"step-unit\" exited with code 2");
  CHECK(get(kube::resources::pods, "p-deploy-pod").is_null());
}

TEST_CASE_FIXTURE(Plane, "a cancelled pipeline takes its pods with it") {
  create(pipeline_runs, "p", R"J({"pipelineSpec":{"tasks":[{"name":"long","taskSpec":{"steps":[{"image":"i","script":"x"}]}}]}})J");
  await_pod("p-long-pod");
  REQUIRE(client.patch(pipeline_runs, {"shop", "p"}, kube::PatchType::merge, json(R"J({"spec":{"status":"Cancelled"}})J")).has_value());
  CHECK(reason_of(await_done(pipeline_runs, "p")) == "Cancelled");
  CHECK(reason_of(await_done(task_runs, "p-long")) == "TaskRunCancelled");
  CHECK(get(kube::resources::pods, "p-long-pod").is_null());
}

TEST_CASE_FIXTURE(Plane, "what a run leaves out or this does not support ends it with the name of it") {
  create(pipeline_runs, "no-pipeline", R"J({"pipelineRef":{"name":"none"}})J");
  CHECK(succeeded_of(await_done(pipeline_runs, "no-pipeline"))["message"].as_string().find("pipelines.tekton.dev \"none\" not found") != std::string::npos);
  create(task_runs, "no-task", R"J({"taskRef":{"name":"none"}})J");
  CHECK(reason_of(await_done(task_runs, "no-task")) == "CouldntGetTask");
  create(task_runs, "sidecars", R"J({"taskSpec":{"sidecars":[{}],"steps":[{"image":"i","script":"x"}]}})J");
  CHECK(succeeded_of(await_done(task_runs, "sidecars"))["message"].as_string() == "the field taskSpec.sidecars is not supported");
  create(pipeline_runs, "claim", R"J({"workspaces":[{"name":"w","persistentVolumeClaim":{"claimName":"c"}}],"pipelineSpec":{"workspaces":[{"name":"w"}],
    "tasks":[{"name":"t","workspaces":[{"name":"w"}],"taskSpec":{"workspaces":[{"name":"w"}],"steps":[{"image":"i","script":"x"}]}}]}})J");
  CHECK(succeeded_of(await_done(pipeline_runs, "claim"))["message"].as_string().find("persistentVolumeClaim is not supported") != std::string::npos);
}

TEST_CASE_FIXTURE(Plane, "an image task asks for a build of the tree that its workspace holds, and answers its digest") {
  const auto tree = blobs->put("a tar").value();
  const Json metadata = Json::object({{"name", "image"}, {"namespace", "shop"}, {"annotations", Json::object({{trees_annotation, "{\"source\":[\"" + tree.value + "\"]}"}})}});
  const Json spec = json(R"J({"taskRef":{"name":"buildah"},"params":[{"name":"IMAGE","value":"127.0.0.1:5000/app:1"}],"workspaces":[{"name":"source","emptyDir":{}}]})J");
  REQUIRE(client.create(task_runs, Json::object({{"metadata", metadata}, {"spec", spec}})).has_value());
  const Json build = await(kube::resources::image_builds, "image", [](const Json& b) { return !b.is_null(); });
  CHECK(build["spec"]["context"]["blob"].as_string() == tree.value);
  REQUIRE(client.patch(kube::resources::image_builds, {"shop", "image"}, kube::PatchType::merge, json(R"J({"status":{"phase":"Succeeded","digest":"sha256:1"}})J"), {}, "status").has_value());
  const Json run = await_done(task_runs, "image");
  CHECK(run["status"]["results"] == json(R"J([{"name":"IMAGE_DIGEST","type":"string","value":"sha256:1"},{"name":"IMAGE_URL","type":"string","value":"127.0.0.1:5000/app:1"}])J"));
}

}  // namespace slipway::tekton
