// SPDX-License-Identifier: Apache-2.0
// The pod of a TaskRun: a container a step, the shim first in each, ordered by it. Pure.
//
// The pod has no ServiceAccount token; its capability (a Secret of its own) opens the hub for this one attempt.
// Shape: Tekton pkg/pod/pod.go (labels, container names, folders); workspaces of the run are trees in the hub that the
// shim lays out (docs/objects.md).
#pragma once

#include "ci/tekton/runs.h"
#include "ci/tekton/task.h"
#include "wire/plan.h"

namespace slipway::tekton {

// A workspace of the task bound by its run.
struct BoundWorkspace {
  std::string name;                // of the task's
  std::string sub_path;
  bool is_tree = false;            // shared by the run through the hub
  std::vector<std::string> blobs;  // then its tars
  Json volume;                     // else {"emptyDir": …}, {"configMap": …}, {"secret": …} or {"projected": …}
};

struct PodRequest {
  Json task_run;
  std::string task_name;           // label; empty for an inline task
  Task task;
  std::vector<BoundWorkspace> workspaces;
  std::string attempt, pod_name, shim_image, hub, pin;
  std::vector<std::string> reports;
  std::map<std::string, ImageCommand> image_commands;  // by image, for steps that have neither script nor command
};

struct PodAndPlan {
  Json pod;
  wire::Plan plan;  // goes into the Secret of the pod's name
};

Result<PodAndPlan> make_pod(const PodRequest& request);

// The Secret that the pod mounts as its capability.
Json make_capability(const PodRequest& request, const wire::Plan& plan, const std::string& token);

// $(workspaces.NAME.path), .bound and their like.
void set_workspace_variables(Variables& variables, const std::vector<TaskWorkspace>& declared, const std::vector<BoundWorkspace>& bound);

}  // namespace slipway::tekton
