// SPDX-License-Identifier: Apache-2.0
// `slipway kustomize build`: the arguments, the output and the exit codes of kustomize (conventions C5).
#include <fmt/format.h>
#include <unistd.h>

#include "base/files.h"
#include "cd/kustomize/build.h"
#include "cli/commands.h"

namespace slipway::cli {
namespace {

namespace kustomize = cd::kustomize;

Result<> write_output(const kustomize::Built& built, const std::string& path) {
  if (path.empty()) return write_all(STDOUT_FILENO, kustomize::to_yaml(built));
  if (!is_folder(path)) return write_file_atomically(path, kustomize::to_yaml(built), 0644);
  for (const auto& [name, text] : kustomize::to_files(built)) {
    if (name.find('/') != name.npos) return fail(ErrorCode::invalid, fmt::format("\"{}\" is no name for a file", name));
    TRY(write_file_atomically(path + "/" + name, text, 0644));
  }
  return {};
}

Result<kustomize::Options> options_of(const Invocation& invocation) {
  kustomize::Options options;
  const std::string restriction = invocation.get("load-restrictor");
  if (restriction == "LoadRestrictionsNone" || restriction == "none") options.restriction = kustomize::Restriction::none;
  else if (restriction != "LoadRestrictionsRootOnly" && restriction != "rootOnly")
    return fail(ErrorCode::invalid, fmt::format("illegal flag value --load-restrictor {}; legal values: [LoadRestrictionsRootOnly LoadRestrictionsNone]", restriction));
  for (const auto* refused : {"enable-alpha-plugins", "enable-exec", "network"})
    if (invocation.has(refused)) return fail(ErrorCode::invalid, fmt::format("--{} is refused: exec and container functions are not run, only builtin plugins are", refused));
  options.managed_by_label = invocation.has("enable-managedby-label");
  return options;
}

Result<> run_build(const Invocation& invocation) {
  const auto options = TRY(options_of(invocation));
  const kustomize::DiskTree tree;
  const kustomize::Built built = TRY(kustomize::build(tree, invocation.arguments.empty() ? "." : invocation.arguments[0], options));
  for (const std::string& warning : built.warnings) TRY(write_all(STDERR_FILENO, warning + "\n"));
  return write_output(built, invocation.get("output"));
}

Result<Exit> build(const Invocation& invocation) {
  const auto done = run_build(invocation);
  if (done) return Exit::ok;
  TRY(write_all(STDERR_FILENO, fmt::format("error: {}\n", done.error().to_string())));
  return Exit::failed;
}

}  // namespace

std::vector<Command> kustomize_commands() {
  const std::vector<Flag> flags = {
      {"output", 'o', "PATH", "write to this file, or a file an object into this folder"},
      {"load-restrictor", 0, "WHICH", "LoadRestrictionsNone: files outside of a kustomization's folder may be read", "LoadRestrictionsRootOnly"},
      {"enable-helm", 0, "", "accepted as kustomize does; helmCharts are refused by name for now"},
      {"enable-managedby-label", 0, "", "label every object with app.kubernetes.io/managed-by"},
      {"enable-alpha-plugins", 0, "", "refused: plugins that are not built in are not run"},
      {"enable-exec", 0, "", "refused: executables are not run"},
      {"network", 0, "", "refused: functions in containers are not run"},
      {"helm-command", 0, "PATH", "accepted; no helm is run", "helm"},
      {"reorder", 0, "ORDER", "accepted; sortOptions decides, else the legacy order", "legacy"},
  };
  return {{"kustomize build", "[DIR]", "Print the objects of a kustomization, as kustomize 5.8 does",
           "Reads DIR (or the current folder) and what it refers to; remote bases and helmCharts are refused by name.", flags, build}};
}

}  // namespace slipway::cli
