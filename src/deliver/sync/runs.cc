// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/runs.h"

#include <fmt/format.h>

namespace slipway::deliver {
namespace {

const Json& succeeded(const Json& run) {
  static const Json none;
  for (const Json& condition : run["status"]["conditions"].items())
    if (condition["type"].as_string() == "Succeeded") return condition;
  return none;
}

std::string result(const Json& task_run, std::string_view name) {
  for (const Json& one : task_run["status"]["results"].items())
    if (one["name"].as_string() == name) return one["value"].str();
  return {};
}

bool belongs_to(const Json& task_run, const std::string& run) { return task_run["metadata"]["labels"]["tekton.dev/pipelineRun"].as_string() == run; }

// "host/name:tag" -> "host/name"
std::string repository_of(std::string image) {
  image = image.substr(0, image.find('@'));
  const auto colon = image.rfind(':');
  return colon != image.npos && image.find('/', colon) == image.npos ? image.substr(0, colon) : image;
}

void collect_images(const std::vector<Json>& task_runs, const std::string& run, std::map<std::string, std::string>& out) {
  for (const Json& task_run : task_runs) {
    if (!belongs_to(task_run, run)) continue;
    const std::string url = result(task_run, "IMAGE_URL"), digest = result(task_run, "IMAGE_DIGEST");
    if (url.empty() || digest.empty()) continue;
    out[repository_of(std::string(url.substr(0, url.find_last_not_of("\r\n ") + 1)))] = digest.substr(0, digest.find_last_not_of("\r\n ") + 1);
  }
}

std::string why_run_failed(const Json& run, const std::vector<Json>& task_runs) {
  const std::string name = run["metadata"]["name"].str();
  for (const Json& task_run : task_runs)
    if (belongs_to(task_run, name) && succeeded(task_run)["status"].as_string() == "False")
      return fmt::format("run {} failed: {}", name, why_task_failed(task_run));
  return fmt::format("run {} failed: {}", name, succeeded(run)["message"].as_string());
}

}  // namespace

std::string why_task_failed(const Json& task_run) {
  const Json& labels = task_run["metadata"]["labels"];
  std::string out = fmt::format("task {}", labels["tekton.dev/pipelineTask"].as_string(task_run["metadata"]["name"].as_string()));
  bool named = false;
  for (const Json& step : task_run["status"]["steps"].items()) {
    const Json& ended = step["terminated"];
    if (named || ended["exitCode"].as_int() == 0) continue;
    out += fmt::format(", step {}: exit code {}", step["name"].as_string(), ended["exitCode"].as_int());
    named = true;
  }
  const auto summary = text::parse_json(task_run["metadata"]["annotations"]["slipway.dev/test-summary"].as_string("{}"));
  if (summary && !(*summary)["failing"].as_string().empty())
    out += fmt::format("; failing test {} ({} of {} failed)", (*summary)["failing"].as_string(), (*summary)["failures"].as_int() + (*summary)["errors"].as_int(), (*summary)["tests"].as_int());
  if (!named) out += fmt::format(": {}", succeeded(task_run)["message"].as_string("it failed"));
  return out;
}

CommitVerdict judge_commit(bool has_pipeline, const std::string& pipeline, const std::vector<Json>& runs, const std::vector<Json>& task_runs) {
  CommitVerdict verdict;
  bool seen = false;
  for (const Json& run : runs) {
    if (!pipeline.empty() && run["metadata"]["annotations"]["slipway.dev/original-pipelinerun"].as_string() != pipeline) continue;
    seen = true;
    verdict.run = run["metadata"]["name"].str();
    const std::string_view status = succeeded(run)["status"].as_string();
    if (status == "False") return {CommitVerdict::Kind::failed, verdict.run, why_run_failed(run, task_runs), {}};
    if (status != "True") return {CommitVerdict::Kind::wait, verdict.run, fmt::format("run {} is under way", verdict.run), {}};
    collect_images(task_runs, verdict.run, verdict.images);
  }
  if (!seen && has_pipeline) return {CommitVerdict::Kind::wait, "", "the run of the commit has not begun", {}};
  return verdict;
}

}  // namespace slipway::deliver
