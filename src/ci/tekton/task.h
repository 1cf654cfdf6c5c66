// SPDX-License-Identifier: Apache-2.0
// A Task as far as it is supported: decoded once, after its variables are filled in. Pure.
//
// What the format has and this does not do is refused by the field's name, never passed over.
// Source: Tekton Tasks (docs/tasks.md), pkg/apis/pipeline/v1/task_types.go, container_types.go.
#pragma once

#include <string>
#include <vector>

#include "ci/tekton/substitute.h"

namespace slipway::tekton {

struct TaskStep {
  std::string name, image, script, working_dir;
  std::vector<std::string> command, args;
  Json env, env_from, volume_mounts, security_context, resources, image_pull_policy;
  std::int64_t timeout_seconds = 0;
  bool continue_on_error = false;
};

struct TaskWorkspace {
  std::string name, mount_path;  // "/workspace/NAME" unless it says otherwise
  bool optional = false, read_only = false;
};

struct Task {
  Json params;  // as declared
  std::vector<TaskStep> steps;
  std::vector<TaskWorkspace> workspaces;
  std::vector<std::string> results;
  Json volumes;

  // `spec` with all that can be filled in filled in.
  static Result<Task> decode(const Json& spec);
  // Of a spec whose variables still stand in it: what is needed to fill them in.
  static Result<std::vector<TaskWorkspace>> workspaces_of(const Json& spec);
  static Result<std::vector<std::string>> results_of(const Json& spec);
};

}  // namespace slipway::tekton
