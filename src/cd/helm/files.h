// SPDX-License-Identifier: Apache-2.0
// The files of a chart's folder. Links are followed where they stay inside the folder; one that leads out is an error.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cd/helm/render.h"

namespace slipway::cd::helm {

// The rules of a .helmignore file.
class IgnoreRules final {
 public:
  static Result<IgnoreRules> parse(std::string_view text);
  bool ignores(const std::string& path, bool folder) const;

 private:
  struct Rule {
    std::string pattern;
    bool negated = false, folders_only = false, whole_path = false;
  };
  std::vector<Rule> rules_;
};

Result<std::map<std::string, std::string>> read_chart_files(const std::string& folder, const ChartLimits& limits);

}  // namespace slipway::cd::helm
