// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/runs.h"

#include <doctest/doctest.h>

namespace slipway::deliver {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }

Json run(std::string_view status) {
  return json(R"({"metadata":{"name":"r","annotations":{"slipway.dev/original-pipelinerun":"build"}}})")
      .with("status", Json::object({{"conditions", Json::array({Json::object({{"type", "Succeeded"}, {"status", status}, {"message", "Tasks Completed: 1"}})})}}));
}

const Json failed_task = json(R"({"metadata":{"name":"r-unit","labels":{"tekton.dev/pipelineRun":"r","tekton.dev/pipelineTask":"unit"},
  "annotations":{"slipway.dev/test-summary":"{\"tests\":7,\"failures\":1,\"failing\":\"respond.answers\"}"}},
  "status":{"conditions":[{"type":"Succeeded","status":"False"}],"steps":[{"name":"prepare","terminated":{"exitCode":0}},{"name":"test","terminated":{"exitCode":2}}]}})");

TEST_CASE("a commit without pipeline goes out at once; with one its run is waited for") {
  CHECK(judge_commit(false, "", {}, {}).kind == CommitVerdict::Kind::go);
  CHECK(judge_commit(true, "", {}, {}).kind == CommitVerdict::Kind::wait);
  CHECK(judge_commit(true, "", {run("Unknown")}, {}).message == "run r is under way");
  CHECK(judge_commit(true, "other", {run("True")}, {}).kind == CommitVerdict::Kind::wait);
}

TEST_CASE("a failed run names task, step and failing test") {
  const auto verdict = judge_commit(true, "", {run("False")}, {failed_task});
  CHECK(verdict.kind == CommitVerdict::Kind::failed);
  CHECK(verdict.message == "run r failed: task unit, step test: exit code 2; failing test respond.answers (1 of 7 failed)");
}

TEST_CASE("the images of a run are those that its tasks pushed, by repository") {
  const Json pushed = json(R"({"metadata":{"labels":{"tekton.dev/pipelineRun":"r"}},"status":{"results":[{"name":"IMAGE_URL","value":"h:5000/hello:abc\n"},{"name":"IMAGE_DIGEST","value":"sha256:1\n"}]}})");
  const auto verdict = judge_commit(true, "build", {run("True")}, {pushed});
  CHECK(verdict.kind == CommitVerdict::Kind::go);
  CHECK(verdict.images == std::map<std::string, std::string>{{"h:5000/hello", "sha256:1"}});
}

}  // namespace
}  // namespace slipway::deliver
