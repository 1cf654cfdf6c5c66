// SPDX-License-Identifier: Apache-2.0
// The catalogue tasks that are built in: git-clone, buildah, kaniko. They take upstream's params and workspaces and give
// its results, without a pod: a clone is a tree of the hub, a build is an ImageBuild.
// Source: the Tekton catalog (task/git-clone, task/buildah, task/kaniko).
#pragma once

#include <optional>

#include "ci/tekton/runs.h"

namespace slipway::tekton {

// The spec of a built-in task (its params, workspaces and results; no steps), null where the name is none.
Json builtin_spec(std::string_view name);

struct Clone {
  std::map<std::string, std::string> results;
  store::Digest tree;  // what the workspace `output` gains
};
Result<Clone> clone(const RunDependencies& dependencies, const std::string& ns, const Json& params);

// The ImageBuild of a buildah or kaniko task; `context` is the flattened workspace `source`.
Result<Json> image_build(std::string_view task, const Json& task_run, const Json& params, const store::Digest& context);

// Words of a shell command line without its expansions: quotes and backslashes only.
Result<std::vector<std::string>> shell_words(std::string_view text);

}  // namespace slipway::tekton
