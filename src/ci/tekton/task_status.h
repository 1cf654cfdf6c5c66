// SPDX-License-Identifier: Apache-2.0
// A TaskRun's status from its pod: pure. Shape and reasons: Tekton pkg/pod/status.go, taskrun_types.go.
#pragma once

#include <string>

#include "base/clock.h"
#include "ci/tekton/substitute.h"

namespace slipway::tekton {

enum class Progress { under_way, succeeded, failed };

struct TaskState {
  Progress progress = Progress::under_way;
  std::string reason;   // "Running", "Succeeded", "Failed", "TaskRunImagePullFailed", …
  std::string message;
  Json steps = Json::array();    // status.steps
  Json results = Json::array();  // status.results, in the order of their declaration
};

// `declared` are the task's results as its spec names them.
TaskState judge_pod(const Json& pod, const Json& declared);

// The one condition of a run; its transition time is kept where the status stays.
Json succeeded_condition(const Json& before, std::string_view status, std::string_view reason, std::string_view message, Wall now);
const Json& succeeded_of(const Json& run);  // null where it has none
bool is_done(const Json& run);              // its condition is True or False

}  // namespace slipway::tekton
