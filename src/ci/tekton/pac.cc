// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/pac.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"
#include "ci/tekton/builtin.h"
#include "text/yaml.h"

namespace slipway::tekton {
namespace {

constexpr std::string_view prefix = "pipelinesascode.tekton.dev/";

struct Document {
  Json value;
  std::string place;  // ".tekton/push.yaml:1:1"
};

// "{{ revision }}" and its like, in the text of the file as upstream does; what is not known stays.
std::string fill_placeholders(std::string_view text, const Push& push) {
  const std::pair<std::string_view, std::string_view> known[] = {
      {"revision", push.commit}, {"repo_url", push.url}, {"source_url", push.url}, {"source_branch", push.branch}, {"target_branch", push.branch},
      {"repo_name", push.repository}, {"repo_owner", push.ns}, {"sender", push.sender}, {"event_type", "push"}};
  std::string out;
  for (;;) {
    const auto open = text.find("{{");
    const auto close = open == text.npos ? text.npos : text.find("}}", open);
    if (close == text.npos) return out += text;
    const auto name = trim(text.substr(open + 2, close - open - 2));
    const auto* found = std::ranges::find(known, name, &std::pair<std::string_view, std::string_view>::first);
    out += text.substr(0, open);
    out += found == std::end(known) ? text.substr(open, close + 2 - open) : found->second;
    text.remove_prefix(close + 2);
  }
}

// "[push, pull_request]" or "push"
std::vector<std::string> words_of(std::string_view list) {
  list = trim(list);
  if (list.starts_with('[') && list.ends_with(']')) list = list.substr(1, list.size() - 2);
  std::vector<std::string> out;
  for (const auto part : split(list, ','))
    if (const auto word = trim(part); !word.empty()) out.emplace_back(word);
  return out;
}

bool branch_matches(std::string pattern, const std::string& branch) {
  if (pattern.starts_with("refs/heads/")) pattern = pattern.substr(11);
  return matches_glob(pattern, branch);
}

// What upstream would fetch from its catalogue ("task", "task-1", …): nothing is fetched, so it must be built in.
Result<> check_catalogue_tasks(const Document& document) {
  const std::string key = std::string(prefix) + "task";
  const Json annotations = document.value["metadata"]["annotations"];
  for (const auto& member : annotations.members()) {
    if (member.key() != key && !member.key().starts_with(key + "-")) continue;
    for (const std::string& task : words_of(member.value.as_string()))
      if (builtin_spec(task.substr(0, task.find(':'))).is_null())
        return fail(ErrorCode::invalid, fmt::format("{}: the annotation {} names {}, which is not built in (git-clone, buildah, kaniko); put the task into .tekton/", document.place, printable(member.key()), printable(task)));
  }
  return {};
}

Result<bool> is_for(const Document& document, const Push& push) {
  const Json& annotations = document.value["metadata"]["annotations"];
  const auto get = [&](std::string_view name) { return annotations[std::string(prefix) + std::string(name)].str(); };
  for (const char* refused : {"on-cel-expression", "on-path-change", "on-path-change-ignore", "on-comment", "on-label", "pipeline"})
    if (!get(refused).empty()) return fail(ErrorCode::invalid, fmt::format("{}: the annotation {}{} is not supported", document.place, prefix, refused));
  TRY(check_catalogue_tasks(document));
  const auto events = words_of(get("on-event")), branches = words_of(get("on-target-branch"));
  if (std::ranges::find(events, "push") == events.end()) return false;
  return std::ranges::any_of(branches, [&](const std::string& pattern) { return branch_matches(pattern, push.branch); });
}

const Json& find(const std::vector<Document>& documents, std::string_view kind, const Json& name) {
  static const Json none;
  for (const Document& document : documents)
    if (document.value["kind"].as_string() == kind && document.value["metadata"]["name"] == name) return document.value["spec"];
  return none;
}

// Tasks of the folder take the place of references to them; others are looked up in the cluster later.
Json with_tasks(const Json& pipeline, const std::vector<Document>& documents) {
  Json out = pipeline;
  for (const char* list : {"tasks", "finally"}) {
    if (!pipeline[list].is_array()) continue;
    std::vector<Json> tasks;
    for (const Json& task : pipeline[list].items()) {
      const Json& spec = find(documents, "Task", task["taskRef"]["name"]);
      tasks.push_back(spec.is_null() ? task : task.without("taskRef").with("taskSpec", spec));
    }
    out = out.with(list, Json::array(std::move(tasks)));
  }
  return out;
}

Json ready(const Document& document, const std::vector<Document>& documents, const Push& push) {
  Json run = document.value;
  const Json& pipeline = find(documents, "Pipeline", run["spec"]["pipelineRef"]["name"]);
  if (!pipeline.is_null()) run = run.with("spec", run["spec"].without("pipelineRef").with("pipelineSpec", pipeline));
  if (!run["spec"]["pipelineSpec"].is_null()) run = run.with_path({"spec", "pipelineSpec"}, with_tasks(run["spec"]["pipelineSpec"], documents));
  const Json& metadata = document.value["metadata"];
  std::string original = metadata["name"].str(metadata["generateName"].str());
  while (original.ends_with('-')) original.pop_back();
  const std::string hash = sha256_hex(push.ns + "/" + push.repository + "/" + document.place + "/" + push.commit).substr(0, 5);
  const std::string branch_label = replace_all(push.branch, "/", "-").substr(0, 63);
  Json labels = metadata["labels"].is_object() ? metadata["labels"] : Json::object();
  labels = labels.with("slipway.dev/repository", push.repository).with("slipway.dev/commit", push.commit).with("slipway.dev/branch", branch_label);
  Json annotations = metadata["annotations"].with("slipway.dev/original-pipelinerun", original).with("slipway.dev/commit", push.commit).with("slipway.dev/repository-url", push.url);
  return run.with("metadata", Json::object({{"name", fmt::format("{}-{}-{}", original.substr(0, 45), push.commit.substr(0, 7), hash)}, {"namespace", push.ns},
                                            {"labels", labels}, {"annotations", annotations}}));
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.starts_with('*')) {
    const bool deep = pattern.starts_with("**");
    const std::string_view rest = pattern.substr(deep ? 2 : 1);
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (matches_glob(rest, text.substr(i))) return true;
      if (i < text.size() && text[i] == '/' && !deep) return false;
    }
    return false;
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) && matches_glob(pattern.substr(1), text.substr(1));
}

Result<std::vector<Json>> pipeline_runs_for_push(const std::map<std::string, std::string>& files, const Push& push) {
  std::vector<Document> documents;
  for (const auto& [path, content] : files) {
    if (!path.ends_with(".yaml") && !path.ends_with(".yml")) continue;
    for (const auto& document : TRY(text::parse_yaml_documents(fill_placeholders(content, push), path)))
      documents.push_back({document.value, fmt::format("{}:{}:1", path, document.line)});
  }
  std::vector<Json> runs;
  for (const Document& document : documents) {
    if (document.value["kind"].as_string() != "PipelineRun") continue;
    if (!document.value["apiVersion"].as_string().starts_with("tekton.dev/v1")) return fail(ErrorCode::invalid, fmt::format("{}: apiVersion must be tekton.dev/v1", document.place));
    if (TRY(is_for(document, push))) runs.push_back(ready(document, documents, push));
  }
  return runs;
}

}  // namespace slipway::tekton
