// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "ci/dockerfile/ignore.h"
#include "ci/dockerfile/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace slipway::dockerfile;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto rules = IgnoreRules::parse(text.substr(0, 1000))) (void)rules->ignores("a/b/c.txt");
  const auto file = read_lines(text, "fuzz");
  if (!file) return 0;
  const Options options{.arguments = {{"a", "1"}}};
  const auto lines = outline(*file, options);
  if (!lines) return 0;
  std::map<std::string, BaseImage> images;
  for (const auto& image : lines->images) images[image] = {};
  const auto build = plan(*file, *lines, options, images);
  if (!build) return 0;
  for (std::size_t i = 0; i < build->stages.size(); ++i)
    for (const std::size_t need : build->stages[i].needs)
      if (need >= i) std::abort();
  (void)slipway::text::to_json(to_json(*build));
  return 0;
}
