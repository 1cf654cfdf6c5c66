// SPDX-License-Identifier: Apache-2.0
// A kustomization -> its objects, as `kustomize build` 5.8 makes them. Reads the file tree, nothing else.
//
// Linear in the number of objects: ids and former names are indexed. What a build cannot do by itself is an error that
// begins with Needs{ref} (a remote base) or Needs{chart} (helmCharts).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cd/kustomize/files.h"
#include "text/json.h"

namespace slipway::cd::kustomize {

struct Options {
  Restriction restriction = Restriction::root_only;
  bool managed_by_label = false;
};

struct Built {
  std::vector<text::Json> objects;     // in kustomize's order
  std::vector<std::string> warnings;   // for stderr
};

Result<Built> build(const FileTree& tree, const std::string& folder, const Options& options = {});
std::string to_yaml(const Built& built);  // byte for byte what kustomize prints
// As `kustomize build -o FOLDER` names them: "apps_v1_deployment_web.yaml".
std::vector<std::pair<std::string, std::string>> to_files(const Built& built);

}  // namespace slipway::cd::kustomize
