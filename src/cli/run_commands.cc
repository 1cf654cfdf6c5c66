// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/output.h"

namespace slipway::cli {
namespace {

const Json& succeeded(const Json& run) {
  static const Json none;
  for (const Json& condition : run["status"]["conditions"].items())
    if (condition["type"].as_string() == "Succeeded") return condition;
  return none;
}

// A word, never a colour alone (C2).
std::string word_of(const Json& run) {
  const std::string_view status = succeeded(run)["status"].as_string();
  if (status == "True") return "Succeeded";
  return status == "False" ? succeeded(run)["reason"].str("Failed") : "Running";
}

Result<Exit> list(const Invocation& invocation) {
  const auto found = TRY(TRY(connect(invocation))->list(kube::resources::pipeline_runs, {.ns = invocation.get("namespace")}));
  TRY(show(invocation, found.items, true, [&] {
    Table table({"NAME", "STATUS", "COMMIT", "AGE", "MESSAGE"});
    for (const Json& run : found.items)
      table.add({run["metadata"]["name"].str(), word_of(run), run["metadata"]["labels"]["slipway.dev/commit"].str().substr(0, 10), age_of(run), succeeded(run)["message"].str()});
    return table;
  }));
  return Exit::ok;
}

// Waits for the end; the exit code is the run's (C5).
Result<Exit> watch(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  Json run;
  std::string last;
  while (true) {
    TRY(client->watch(kube::resources::pipeline_runs, {.ns = invocation.get("namespace"), .field_selector = "metadata.name=" + invocation.arguments[0], .resource_version = "0"},
                      [&](const kube::WatchEvent& event) {
                        if (event.kind == kube::WatchKind::bookmark) return true;
                        run = event.object;
                        const std::string line = fmt::format("{} {}: {}\n", invocation.arguments[0], word_of(run), succeeded(run)["message"].as_string());
                        if (line != last) progress(last = line);
                        return word_of(run) == "Running" && event.kind != kube::WatchKind::deleted;
                      }, {}));
    if (!run.is_null() && word_of(run) != "Running") break;
  }
  return word_of(run) == "Succeeded" ? Exit::ok : word_of(run) == "Cancelled" ? Exit::cancelled : Exit::failed;
}

Result<Exit> logs(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const std::string ns = invocation.get("namespace");
  const auto tasks = TRY(client->list(kube::resources::task_runs, {.ns = ns, .label_selector = "tekton.dev/pipelineRun=" + invocation.arguments[0]}));
  if (tasks.items.empty()) return fail(ErrorCode::not_found, fmt::format("run {} has no tasks", invocation.arguments[0]));
  for (const Json& task : tasks.items) {
    const std::string pod = task["status"]["podName"].str(), name = task["metadata"]["labels"]["tekton.dev/pipelineTask"].str();
    for (const Json& step : task["status"]["steps"].items()) {
      const std::string prefix = fmt::format("[{} : {}] ", name, step["name"].as_string());
      const auto text = client->raw("GET", fmt::format("/api/v1/namespaces/{}/pods/{}/log?container={}", ns, pod, step["container"].as_string()));
      if (!text) {
        progress(prefix + text.error().message + "\n");
        continue;
      }
      std::string_view rest = *text;
      while (!rest.empty()) {
        const auto end = rest.find('\n');
        print(prefix + std::string(rest.substr(0, end)) + "\n");
        rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
      }
    }
  }
  return Exit::ok;
}

Result<Exit> cancel(const Invocation& invocation) {
  const Json patch = Json::object({{"spec", Json::object({{"status", "Cancelled"}})}});
  TRY(TRY(connect(invocation))->patch(kube::resources::pipeline_runs, {invocation.get("namespace"), invocation.arguments[0]}, kube::PatchType::merge, patch));
  print(fmt::format("run/{} is being cancelled\n", invocation.arguments[0]));
  return Exit::ok;
}

}  // namespace

std::vector<Command> run_commands() {
  return {
      {.path = "run list", .arguments = "", .summary = "List the runs", .flags = with_common({output_flag()}), .run = list},
      {.path = "run watch", .arguments = "NAME", .summary = "Wait for a run to end; the exit code is its outcome", .flags = with_common({}), .run = watch},
      {.path = "run logs", .arguments = "NAME", .summary = "Print the logs of every step of a run", .flags = with_common({}), .run = logs},
      {.path = "run cancel", .arguments = "NAME", .summary = "Stop a run", .flags = with_common({}), .run = cancel},
  };
}

}  // namespace slipway::cli
