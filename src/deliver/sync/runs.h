// SPDX-License-Identifier: Apache-2.0
// What the runs of a commit say about it: whether its app may go out, with which images, or why not. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "text/json.h"

namespace slipway::deliver {

using text::Json;

struct CommitVerdict {
  enum class Kind { go, wait, failed } kind = Kind::go;
  std::string run;      // the PipelineRun's name
  std::string message;  // of wait and failed: names task, step and failing test
  std::map<std::string, std::string> images;  // "127.0.0.1:5000/hello" -> "sha256:…"
};

// `has_pipeline`: the commit brings a pipeline, so its run is waited for even before it is there. `pipeline`: which of
// several runs counts (slipway.dev/original-pipelinerun); empty: all of them must succeed.
CommitVerdict judge_commit(bool has_pipeline, const std::string& pipeline, const std::vector<Json>& runs, const std::vector<Json>& task_runs);

// "task unit, step test: exit code 2; failing test respond.answers (3 of 7 failed)"
std::string why_task_failed(const Json& task_run);

}  // namespace slipway::deliver
