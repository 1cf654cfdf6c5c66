// SPDX-License-Identifier: Apache-2.0
// `slipway helm`: what helm itself would print.
#include <fmt/format.h>
#include <unistd.h>

#include "base/files.h"
#include "cd/helm/render.h"
#include "cli/commands.h"
#include "text/yaml.h"

namespace slipway::cli {
namespace {

void lay_over(cd::helm::Map& into, const cd::helm::Map& over) {
  for (const auto& [key, value] : over) {
    auto& place = into[key];
    if (place.map() && value.map()) lay_over(*place.map(), *value.map());
    else place = value;
  }
}

Result<std::string> rendered(const Invocation& invocation) {
  cd::helm::RenderOptions options;
  if (invocation.arguments.size() == 2) options.release = invocation.arguments[0];
  if (invocation.has("namespace")) options.namespace_name = invocation.get("namespace");
  if (invocation.has("kube-version")) options.kube_version = invocation.get("kube-version");
  options.api_versions = invocation.all("api-versions");
  options.include_crds = invocation.has("include-crds");
  options.hooks = !invocation.has("no-hooks");
  options.tests = !invocation.has("skip-tests");
  options.check_schema = !invocation.has("skip-schema-validation");
  options.is_upgrade = invocation.has("is-upgrade");
  cd::helm::Map given;
  for (const std::string& path : invocation.all("values")) {
    auto json = TRY(text::parse_yaml(TRY(read_file(path)), path));
    auto value = text::gotmpl::from_json(json, text::gotmpl::Numbers::all_floats);
    if (value.map()) lay_over(given, *value.map());
  }
  auto chart = TRY(cd::helm::load_chart(invocation.arguments.back()));
  return cd::helm::render_chart(std::move(chart), given, options);
}

Result<Exit> helm_template(const Invocation& invocation) {
  const auto text = rendered(invocation);
  if (text) {
    TRY(write_all(STDOUT_FILENO, *text));
    return Exit::ok;
  }
  TRY(write_all(STDERR_FILENO, fmt::format("Error: {}\n", text.error().to_string())));
  return Exit::failed;
}

}  // namespace

std::vector<Command> helm_commands() {
  return {{.path = "helm template", .arguments = "NAME CHART", .summary = "Render a chart's templates as helm does", .details = "",
           .flags = {{"namespace", 'n', "NAMESPACE", "the release's namespace"},
                     {"values", 'f', "FILE", "values of a YAML file", "", true},
                     {"kube-version", 0, "VERSION", "the version in Capabilities"},
                     {"api-versions", 'a', "VERSION", "further API versions in Capabilities", "", true},
                     {"include-crds", 0, "", "print the crds/ folder too"},
                     {"no-hooks", 0, "", "leave hooks out"},
                     {"skip-tests", 0, "", "leave tests out"},
                     {"skip-schema-validation", 0, "", "do not check values against values.schema.json"},
                     {"is-upgrade", 0, "", "render as an upgrade"}},
           .run = helm_template}};
}

}  // namespace slipway::cli
