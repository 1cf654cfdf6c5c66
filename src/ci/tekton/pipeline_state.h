// SPDX-License-Identifier: Apache-2.0
// What a PipelineRun's controller reads from its TaskRuns and makes of its tasks: pure.
#pragma once

#include "ci/tekton/pipeline.h"
#include "run/plan.h"

namespace slipway::tekton {

// A run with its pipeline and its TaskRuns, one for each task that has begun.
struct RunView {
  Json run;
  Pipeline pipeline;
  Json params;                           // resolved
  std::map<std::string, Json> children;  // by pipeline task
};

// "RUN-TASK", shortened with a hash where it would be longer than a name may be.
std::string child_name(const std::string& run, const std::string& task);

run::Progress progress_of(const RunView& view);

// Params, context, results of the tasks that succeeded; for final tasks also $(tasks.NAME.status) and $(tasks.status).
enum class ForFinal { no, yes };
Variables variables_of(const RunView& view, ForFinal final);

// Whether a value still holds "$(tasks.X.results.Y)": X gave no such result. The name, or empty.
std::string missing_result(const Json& value);

// `when` after its variables are filled in.
Result<bool> when_holds(const Json& when);

// The tars of a workspace of the run, as the tasks that are done left it: the earliest first.
std::vector<std::string> tree_of(const RunView& view, const std::string& workspace);

// Whether a workspace of the run is shared through the hub, and what it is bound to otherwise.
bool is_tree_workspace(const Json& binding);

// The TaskRun of a task.
Result<Json> make_task_run(const RunView& view, const PipelineTask& task);

}  // namespace slipway::tekton
