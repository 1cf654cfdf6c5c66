// SPDX-License-Identifier: Apache-2.0
// Pipelines-as-Code: which PipelineRuns of .tekton/ a push starts, made ready to create. Pure.
// Annotations and placeholders: pipelinesascode.com, "Authoring PipelineRun".
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::tekton {

using text::Json;

struct Push {
  std::string ns, repository, url, branch, commit, sender;
};

// Files by path. Pipelines and Tasks beside the runs are put into them. Errors name file:line:column.
Result<std::vector<Json>> pipeline_runs_for_push(const std::map<std::string, std::string>& files, const Push& push);

bool matches_glob(std::string_view pattern, std::string_view text);  // '*' anything but '/', "**" anything

}  // namespace slipway::tekton
