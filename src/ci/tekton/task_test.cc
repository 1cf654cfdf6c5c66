// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "ci/tekton/builtin.h"
#include "ci/tekton/pod.h"
#include "ci/tekton/task_status.h"

namespace slipway::tekton {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }

PodRequest request_for(std::string_view spec, std::vector<BoundWorkspace> workspaces = {}) {
  return {.task_run = json(R"J({"metadata":{"name":"run","namespace":"shop","uid":"u1","labels":{"tekton.dev/pipelineRun":"p"}},"spec":{}})J"), .task_name = {}, .task = Task::decode(json(spec)).value(),
          .workspaces = std::move(workspaces), .attempt = "u1-0", .pod_name = "run-pod", .shim_image = "slipway.dev/shim:installed", .hub = "https://10.244.0.1:8443", .pin = "aa", .reports = {},
          .image_commands = {{"tool", {{"/bin/tool"}, {"--help"}}}}};
}

const Json& container(const Json& pod, std::size_t index) { return pod["spec"]["containers"][index]; }

std::string error_of(std::string_view spec) {
  const auto task = Task::decode(json(spec));
  return task ? "" : task.error().to_string();
}

}  // namespace

TEST_CASE("each step is a container that begins with the shim; the pod has a capability and no token of a ServiceAccount") {
  const auto made = make_pod(request_for(R"J({"steps":[{"name":"one","image":"a","script":"true"},{"image":"b","command":["x"],"args":["y"],"env":[{"name":"K","value":"v"}],"workingDir":"/w"}]})J")).value();
  CHECK(made.pod["spec"]["automountServiceAccountToken"] == Json(false));
  CHECK(made.pod["spec"]["restartPolicy"].as_string() == "Never");
  CHECK(container(made.pod, 0)["command"] == json(R"J(["/slipway/shim/slipway-shim","step","--index","0"])J"));
  CHECK(container(made.pod, 1)["name"].as_string() == "step-unnamed-1");
  CHECK(container(made.pod, 1)["workingDir"].as_string() == "/w");
  CHECK(made.plan.steps[0].script == "true");
  CHECK(made.plan.steps[1].command == std::vector<std::string>{"x", "y"});
  CHECK(made.pod["metadata"]["labels"]["tekton.dev/taskRun"].as_string() == "run");
  CHECK(made.pod["metadata"]["ownerReferences"][0]["uid"].as_string() == "u1");
}

TEST_CASE("a step without script and command runs what its image says, or is refused where that is not known") {
  CHECK(make_pod(request_for(R"J({"steps":[{"image":"tool"}]})J"))->plan.steps[0].command == std::vector<std::string>{"/bin/tool", "--help"});
  CHECK(make_pod(request_for(R"J({"steps":[{"image":"tool","args":["-v"]}]})J"))->plan.steps[0].command == std::vector<std::string>{"/bin/tool", "-v"});
  CHECK(make_pod(request_for(R"J({"steps":[{"name":"s","image":"unknown"}]})J")).error().message == "step s has neither a script nor a command, and the entrypoint of its image unknown is not known here");
}

TEST_CASE("a shared workspace is an empty folder that the shim fills; others are ordinary volumes, and a missing one is named") {
  const char* const spec = R"J({"workspaces":[{"name":"source"},{"name":"keys","mountPath":"/keys","readOnly":true},{"name":"maybe","optional":true}],"steps":[{"image":"a","script":"x"}]})J";
  BoundWorkspace tree{.name = "source", .sub_path = "app", .is_tree = true, .blobs = {"sha256:1", "sha256:2"}, .volume = {}};
  BoundWorkspace keys{.name = "keys", .sub_path = {}, .is_tree = false, .blobs = {}, .volume = json(R"J({"secret":{"secretName":"k"}})J")};
  const auto made = make_pod(request_for(spec, {tree, keys})).value();
  CHECK(made.plan.workspaces.size() == 1);
  CHECK(made.plan.workspaces[0].blobs.size() == 2);
  CHECK(made.plan.secret_folders == std::vector<std::string>{"/keys"});
  const std::string mounts = text::to_json(container(made.pod, 0)["volumeMounts"]);
  CHECK(mounts.find(R"J({"name":"ws-source","mountPath":"/workspace/source","subPath":"app"})J") != std::string::npos);
  CHECK(mounts.find(R"J({"name":"ws-source","mountPath":"/slipway/workspaces/source"})J") != std::string::npos);
  CHECK(mounts.find(R"J({"name":"ws-keys","mountPath":"/keys","readOnly":true})J") != std::string::npos);
  CHECK(make_pod(request_for(spec, {keys})).error().message == "expected workspace \"source\" to be provided by the TaskRun");
}

TEST_CASE("what a step's environment takes from a Secret is masked in its log") {
  const auto made = make_pod(request_for(R"J({"stepTemplate":{"env":[{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]},"steps":[{"image":"a","script":"x"}]})J")).value();
  CHECK(made.plan.secret_variables == std::vector<std::string>{"PASSWORD"});
  CHECK(container(made.pod, 0)["env"][0]["name"].as_string() == "PASSWORD");
}

TEST_CASE("what a task cannot be is refused; what is not supported by the field's name") {
  CHECK(error_of(R"J({"steps":[]})J") == "missing field(s): steps");
  CHECK(error_of(R"J({"steps":[{"script":"x"}]})J") == "missing field(s): steps[0].image");
  CHECK(error_of(R"J({"steps":[{"image":"a","script":"x","command":["y"]}]})J") == "script cannot be used with command: steps[0].script");
  CHECK(error_of(R"J({"sidecars":[{}],"steps":[{"image":"a"}]})J") == "the field taskSpec.sidecars is not supported");
  CHECK(error_of(R"J({"steps":[{"image":"a","ref":{"name":"x"}}]})J") == "the field steps.ref is not supported");
  CHECK(error_of(R"J({"steps":[{"image":"a","onError":"maybe"}]})J").find("steps[0].onError") != std::string::npos);
  CHECK(error_of(R"J({"steps":[{"name":"s","image":"a"},{"name":"s","image":"a"}]})J") == "invalid value: two steps are named s");
}

TEST_CASE("a pod's containers become the steps of the status, results and the first failure included") {
  const Json pod = json(R"J({"spec":{"containers":[{"name":"step-one"},{"name":"step-two"},{"name":"step-three"}]},"status":{"phase":"Failed","containerStatuses":[
    {"name":"step-one","state":{"terminated":{"exitCode":0,"message":"{\"exitCode\":0,\"reason\":\"Completed\",\"results\":{\"a\":\"1\",\"list\":\"[1,2]\"}}"}}},
    {"name":"step-two","state":{"terminated":{"exitCode":3,"message":"{\"exitCode\":3,\"reason\":\"Error\",\"results\":{}}"}}},
    {"name":"step-three","state":{"terminated":{"exitCode":1,"message":"{\"exitCode\":1,\"reason\":\"Skipped\",\"results\":{}}"}}}]}})J");
  const TaskState state = judge_pod(pod, json(R"J([{"name":"a"},{"name":"list","type":"array"},{"name":"never"}])J"));
  CHECK(state.progress == Progress::failed);
  CHECK(state.message == "\"step-two\" exited with code 3");
  CHECK(state.steps[2]["terminationReason"].as_string() == "Skipped");
  CHECK(state.results == json(R"J([{"name":"a","type":"string","value":"1"},{"name":"list","type":"array","value":[1,2]}])J"));
}

TEST_CASE("a step that may fail does not fail its task, and an image that never comes does") {
  const Json passed = json(R"J({"spec":{"containers":[{"name":"step-one"}]},"status":{"phase":"Succeeded","containerStatuses":[
    {"name":"step-one","state":{"terminated":{"exitCode":0,"message":"{\"exitCode\":7,\"reason\":\"Continued\",\"results\":{}}"}}}]}})J");
  const TaskState state = judge_pod(passed, {});
  CHECK(state.progress == Progress::succeeded);
  CHECK(state.steps[0]["terminated"]["exitCode"].as_int() == 7);
  const Json waiting = json(R"J({"spec":{"containers":[{"name":"step-one"}]},"status":{"phase":"Pending","containerStatuses":[{"name":"step-one","state":{"waiting":{"reason":"ImagePullBackOff","message":"no such image"}}}]}})J");
  CHECK(judge_pod(waiting, {}).reason == "TaskRunImagePullFailed");
  CHECK(judge_pod(waiting, {}).message == "the step \"one\" cannot start: no such image");
}

TEST_CASE("a container that ended without a word of the shim is told by what the node knows") {
  const Json pod = json(R"J({"spec":{"containers":[{"name":"step-one"}]},"status":{"phase":"Failed","containerStatuses":[{"name":"step-one","state":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}}]}})J");
  CHECK(judge_pod(pod, {}).message == "\"step-one\" exited with code 137");
  CHECK(judge_pod(pod, {}).steps[0]["terminationReason"].as_string() == "OOMKilled");
}

TEST_CASE("the image tasks become an ImageBuild; arguments of the build that are not supported are named") {
  const Json run = json(R"J({"metadata":{"name":"r","namespace":"shop","uid":"u"}})J");
  const auto context = store::Digest::of("x");
  const auto build = image_build("buildah", run, json(R"J({"IMAGE":"h/app:1","CONTEXT":"./src/","DOCKERFILE":"./Dockerfile","BUILD_EXTRA_ARGS":"--build-arg 'A=b c' --target=final --label k=v"})J"), context).value();
  CHECK(build["spec"]["subPath"].as_string() == "src");
  CHECK(build["spec"]["buildArgs"] == json(R"J([{"name":"A","value":"b c"}])J"));
  CHECK(build["spec"]["target"].as_string() == "final");
  CHECK(build["spec"]["labels"]["k"].as_string() == "v");
  CHECK(image_build("kaniko", run, json(R"J({"IMAGE":"h/app","EXTRA_ARGS":["--build-arg=A=b","--cache=true"]})J"), context)->at_path({"spec", "buildArgs"}).size() == 1);
  CHECK(image_build("buildah", run, json(R"J({"IMAGE":"h/app","BUILD_EXTRA_ARGS":"--squash"})J"), context).error().message.find("--squash") != std::string::npos);
  const Json bound = run.with("spec", json(R"J({"serviceAccountName":"ci","workspaces":[{"name":"dockerconfig","secret":{"secretName":"reg"}}]})J"));
  const Json with_secret = image_build("kaniko", bound, json(R"J({"IMAGE":"h/app"})J"), context).value();
  CHECK(with_secret["spec"]["dockerConfigSecret"].as_string() == "reg");
  CHECK(with_secret["spec"]["serviceAccountName"].as_string() == "ci");
  const Json other = run.with("spec", json(R"J({"workspaces":[{"name":"dockerconfig","configMap":{"name":"reg"}}]})J"));
  CHECK(image_build("kaniko", other, json(R"J({"IMAGE":"h/app"})J"), context).error().code == ErrorCode::invalid);
  CHECK(!shell_words("an 'open quote"));
}

}  // namespace slipway::tekton
