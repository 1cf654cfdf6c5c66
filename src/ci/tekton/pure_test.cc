// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdio>

#include "base/files.h"
#include "ci/tekton/pac.h"
#include "ci/tekton/pipeline.h"

namespace slipway::tekton {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }

TEST_CASE("variables are replaced in every string; a whole list spreads; what is unknown and what is the shell's stays") {
  Variables variables;
  variables.set_param("who", "world");
  variables.set_param("list", json(R"J(["a","b"])J"));
  variables.set_param("object", json(R"J({"key":"v"})J"));
  variables.set("tasks.build.results.digest", "sha256:1");
  CHECK(variables.apply(json(R"J({"x":"hello $(params.who) $(params['who'])","y":["-v","$(params.list[*])"],"z":"$(params.list[1])$(params.object.key)"})J")) ==
        json(R"J({"x":"hello world world","y":["-v","a","b"],"z":"bv"})J"));
  CHECK(variables.apply_text("$(tasks.build.results.digest) $(params.none) $$(params.who) $(open") == "sha256:1 $(params.none) $$(params.who) $(open");
  CHECK(tasks_read_by(json(R"J({"a":["$(tasks.one.results.x)"],"b":"$(tasks.two.results.y.z) $(tasks.three.status)"})J")) == std::set<std::string>{"one", "two"});
}

TEST_CASE("tasks are ordered by runAfter and by what they read; finally comes in its own phase") {
  const auto pipeline = Pipeline::decode(json(R"J({"tasks":[{"name":"deploy","taskRef":{"name":"d"},"params":[{"name":"i","value":"$(tasks.build.results.image)"}]},
    {"name":"build","taskRef":{"name":"b"},"runAfter":["test"]},{"name":"test","taskSpec":{"steps":[]}}],"finally":[{"name":"notify","taskRef":{"name":"n"}}]})J")).value();
  std::string order;
  for (const auto& task : pipeline.tasks) order += task.name + " ";
  CHECK(order == "test build deploy notify ");
  CHECK(pipeline.graph.nodes()[2].needs[0].need == run::Need::data);
  CHECK(pipeline.graph.nodes()[3].phase == run::Phase::final);
}

TEST_CASE("what a pipeline cannot be is refused in upstream's words; what is not supported by the field's name") {
  const auto error_of = [](std::string_view tasks) { return Pipeline::decode(Json::object({{"tasks", json(tasks)}})).error().to_string(); };
  CHECK(error_of(R"J([{"name":"a","taskRef":{"name":"x"},"runAfter":["b"]},{"name":"b","taskRef":{"name":"x"},"runAfter":["a"]}])J").find("cycle detected") == 0);
  CHECK(error_of(R"J([{"name":"a","taskRef":{"name":"x"},"runAfter":["z"]}])J") == "task a depends on z but z wasn't present in Pipeline");
  CHECK(error_of(R"J([{"name":"a","taskRef":{"name":"x"},"matrix":{}}])J") == "the field tasks.matrix is not supported (a)");
  CHECK(error_of(R"J([{"name":"a","taskRef":{"resolver":"git"}}])J") == "the field taskRef.resolver is not supported (a)");
  CHECK(error_of(R"J([{"name":"a"}])J").find("got neither") != std::string::npos);
  CHECK(error_of("[]") == "missing field(s): spec.tasks");
}

TEST_CASE("params are given, defaulted, or missing by name") {
  const Json declared = json(R"J([{"name":"a"},{"name":"b","default":"x"}])J");
  CHECK(resolve_params(declared, json(R"J([{"name":"a","value":"1"}])J"), "task").value() == json(R"J({"a":"1","b":"x"})J"));
  CHECK(resolve_params(declared, {}, "task t").error().message == "task t missing values for these params which have no default values: [a]");
  CHECK(parse_duration("1h30m", 0).value() == 5400);
  CHECK(parse_duration("", 7).value() == 7);
  CHECK(!parse_duration("soon", 0));
}

const Push push{"default", "hello", "https://h/git/default/hello.git", "main", std::string(40, 'a'), "dev"};

TEST_CASE("a push starts the runs whose annotations match its branch, under a name that is the same each time") {
  const std::string text = "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata:\n  generateName: build-\n  annotations:\n    pipelinesascode.tekton.dev/on-event: \"[push]\"\n"
                           "    pipelinesascode.tekton.dev/on-target-branch: \"[main, release/*]\"\nspec:\n  params: [{name: r, value: \"{{ revision }} {{ unknown }}\"}]\n  pipelineRef: {name: p}\n"
                           "---\napiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec: {tasks: [{name: t, taskRef: {name: mine}}, {name: u, taskRef: {name: git-clone}}]}\n"
                           "---\napiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: mine}\nspec: {steps: []}\n";
  const auto runs = pipeline_runs_for_push({{".tekton/a.yaml", text}}, push).value();
  REQUIRE(runs.size() == 1);
  CHECK(runs == pipeline_runs_for_push({{".tekton/a.yaml", text}}, push).value());
  CHECK(runs[0]["metadata"]["name"].as_string().starts_with("build-aaaaaaa-"));
  CHECK(runs[0]["spec"]["params"][0]["value"].as_string() == push.commit + " {{ unknown }}");
  CHECK(runs[0]["spec"]["pipelineSpec"]["tasks"][0]["taskSpec"].is_object());
  CHECK(runs[0]["spec"]["pipelineSpec"]["tasks"][1]["taskRef"]["name"].as_string() == "git-clone");
  Push other = push;
  other.branch = "feature";
  CHECK(pipeline_runs_for_push({{".tekton/a.yaml", text}}, other).value().empty());
  other.branch = "release/1";
  CHECK(pipeline_runs_for_push({{".tekton/a.yaml", text}}, other).value().size() == 1);
}

TEST_CASE("a file that is wrong is named with its line; an annotation that is not supported too") {
  CHECK(pipeline_runs_for_push({{".tekton/a.yaml", "a: 1\n b: 2"}}, push).error().to_string().starts_with(".tekton/a.yaml:2:"));
  CHECK(pipeline_runs_for_push({{".tekton/a.yaml", "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: x, annotations: {pipelinesascode.tekton.dev/on-cel-expression: \"true\"}}\n"}}, push)
            .error().message.find("on-cel-expression is not supported") != std::string::npos);
}

TEST_CASE("a task that upstream would fetch from its catalogue must be one that is built in") {
  const auto with_task = [](const std::string& key, const std::string& task) {
    return pipeline_runs_for_push({{".tekton/a.yaml", "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata:\n  name: x\n  annotations:\n    pipelinesascode.tekton.dev/on-event: push\n"
                                                      "    pipelinesascode.tekton.dev/on-target-branch: main\n    pipelinesascode.tekton.dev/" + key + ": \"" + task + "\"\nspec: {pipelineSpec: {tasks: []}}\n"}},
                                  push);
  };
  CHECK(with_task("task", "git-clone").value().size() == 1);
  CHECK(with_task("task-1", "[git-clone:0.9, buildah]").value().size() == 1);
  CHECK(with_task("task-2", "golang-test").error().message.find("names golang-test, which is not built in") != std::string::npos);
}

TEST_CASE("globs: a star stays inside a part, two stars do not") {
  CHECK(matches_glob("release/*", "release/1.2"));
  CHECK(!matches_glob("release/*", "release/1/2"));
  CHECK(matches_glob("**", "a/b/c"));
  CHECK(!matches_glob("main", "main2"));
}

TEST_CASE("the example's pipeline is understood") {
  const auto text = read_file("examples/hello/.tekton/push.yaml");
  if (!text) return (void)std::puts("SKIPPED: run from the top of the tree");
  const auto runs = pipeline_runs_for_push({{".tekton/push.yaml", *text}}, push).value();
  REQUIRE(runs.size() == 1);
  CHECK(Pipeline::decode(runs[0]["spec"]["pipelineSpec"]).value().tasks.size() == 4);
}

}  // namespace
}  // namespace slipway::tekton
