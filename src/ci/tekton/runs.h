// SPDX-License-Identifier: Apache-2.0
// The controllers of TaskRun and PipelineRun.
//
// A PipelineRun becomes a TaskRun a task, named after both, so that a controller that was killed finds its own again; a
// TaskRun becomes one pod (or, for a built-in task, what that does) and never a second one for the same attempt. All
// that decides is in the API's objects: a restart goes on where it stood.
// Sources: Tekton PipelineRuns, TaskRuns (docs/pipelineruns.md, docs/taskruns.md), pkg/reconciler.
#pragma once

#include <functional>

#include "hub/attempts.h"
#include "kube/control.h"
#include "store/blobs.h"

namespace slipway::source {
class Repositories;
}

namespace slipway::tekton {

using text::Json;

struct ImageCommand {
  std::vector<std::string> entrypoint, command;
};

struct RunDependencies {
  hub::Attempts& attempts;
  store::BlobStore& blobs;
  source::Repositories& repositories;
  std::string base_url;    // of hosted repositories: "https://127.0.0.1:8443"
  std::string hub, pin;    // as a step's pod reaches the hub
  std::string shim_image;  // the image whose root holds slipway-shim
  // What an image that is known here runs by itself; not_found where it is not known.
  std::function<Result<ImageCommand>(const std::string& image)> image_command;
};

void register_task_runs(kube::Manager& manager, const RunDependencies& dependencies);
void register_pipeline_runs(kube::Manager& manager);

// Annotations of a TaskRun that the two controllers share.
inline constexpr const char* trees_annotation = "slipway.dev/trees";      // JSON: workspace -> tars it begins with
inline constexpr const char* changes_annotation = "slipway.dev/changes";  // JSON: workspace -> tar of what the task changed
inline constexpr const char* tests_annotation = "slipway.dev/test-summary";
inline constexpr const char* reports_annotation = "slipway.dev/test-reports";  // globs, by commas

// The attempt of a TaskRun that is under way, or its last one: the owner of its logs at the hub.
std::string attempt_of(const Json& task_run);

}  // namespace slipway::tekton
