// SPDX-License-Identifier: Apache-2.0
// Renders a Helm chart as `helm template` does. Reads the chart's folder; contacts no cluster (`lookup` finds nothing).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/template/execute.h"

namespace slipway::cd::helm {

using text::gotmpl::Map;
using text::gotmpl::Value;

struct ChartLimits {
  std::size_t files = 20'000;
  std::size_t file_bytes = 5 * 1024 * 1024;
  std::size_t total_bytes = 100 * 1024 * 1024;
  std::size_t depth = 20;    // subcharts in subcharts
  std::size_t folders = 64;  // folders in folders
};

struct Chart {
  std::string name;  // the alias, where its parent gives one
  Map metadata;      // Chart.yaml
  Map values;
  std::map<std::string, std::string> templates;  // "templates/x.yaml"
  std::map<std::string, std::string> files;      // what .Files sees
  std::map<std::string, std::string> crds;
  std::optional<text::Json> schema;  // values.schema.json
  std::vector<Chart> charts;
};

Result<Chart> load_chart(const std::string& folder, const ChartLimits& limits = {});
// Drops the subcharts that conditions and tags switch off, and gives aliases.
Result<> choose_dependencies(Chart& chart, const Map& values);
// What the user gave over what the charts bring; null removes.
Map coalesce_values(const Chart& chart, const Map& given);
Result<bool> version_matches(std::string_view constraint, std::string_view version);  // Masterminds/semver

struct RenderOptions {
  std::string release = "release-name", namespace_name = "default", kube_version = "v1.36.0";
  std::vector<std::string> api_versions;
  bool include_crds = false, hooks = true, tests = true, is_upgrade = false, check_schema = true;
};
std::span<const std::string_view> default_api_versions();
Result<std::string> render_chart(Chart chart, const Map& given, const RenderOptions& options);

// Shared by the files of this folder.
void add_helm_functions(text::gotmpl::Functions& functions);
Result<std::string> print_manifests(const std::map<std::string, std::string>& files, const RenderOptions& options);

}  // namespace slipway::cd::helm
