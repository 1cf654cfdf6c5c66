// SPDX-License-Identifier: Apache-2.0
#include "main/definitions.h"

#include "base/strings.h"

namespace slipway::app {
namespace {

using text::Json;

struct Column {
  std::string_view name, type, path;
};

struct Kind {
  std::string_view group, version, kind, plural, singular;
  std::vector<std::string> short_names;
  std::vector<Column> columns;
};

// The kinds' own rules stand in the code that reads them, which names the field and says what to do; the schema keeps
// the frame, so that a field that upstream adds is not lost.
Json schema() {
  const Json open = Json::object({{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}});
  return Json::object({{"openAPIV3Schema", Json::object({{"type", "object"}, {"properties", Json::object({{"spec", open}, {"status", open}})}})}});
}

Json definition(const Kind& kind) {
  std::vector<Json> columns;
  for (const Column& column : kind.columns) columns.push_back(Json::object({{"name", column.name}, {"type", column.type}, {"jsonPath", column.path}}));
  const Json version = Json::object({{"name", kind.version}, {"served", true}, {"storage", true}, {"schema", schema()},
                                     {"subresources", Json::object({{"status", Json::object()}})}, {"additionalPrinterColumns", Json::array(std::move(columns))}});
  Json names = Json::object({{"kind", kind.kind}, {"listKind", std::string(kind.kind) + "List"}, {"plural", kind.plural}, {"singular", kind.singular}});
  if (!kind.short_names.empty()) names = names.with("shortNames", Json::strings(kind.short_names));
  return Json::object({{"apiVersion", "apiextensions.k8s.io/v1"}, {"kind", "CustomResourceDefinition"},
                       {"metadata", Json::object({{"name", std::string(kind.plural) + "." + std::string(kind.group)}})},
                       {"spec", Json::object({{"group", kind.group}, {"scope", "Namespaced"}, {"names", names}, {"versions", Json::array({version})}})}});
}

}  // namespace

std::vector<Json> definitions() {
  constexpr Column age{"Age", "date", ".metadata.creationTimestamp"};
  constexpr Column succeeded{"Succeeded", "string", ".status.conditions[?(@.type==\"Succeeded\")].status"};
  constexpr Column reason{"Reason", "string", ".status.conditions[?(@.type==\"Succeeded\")].reason"};
  const std::vector<Kind> kinds{
      {"slipway.dev", "v1alpha1", "Repository", "repositories", "repository", {"repo"}, {{"URL", "string", ".status.url"}, age}},
      {"slipway.dev", "v1alpha1", "App", "apps", "app", {},
       {{"Sync", "string", ".status.sync"}, {"Health", "string", ".status.health"}, {"Release", "string", ".status.applied.release"}, {"Message", "string", ".status.message"}, age}},
      {"slipway.dev", "v1alpha1", "Release", "releases", "release", {}, {{"App", "string", ".spec.app"}, {"Commit", "string", ".spec.commit"}, {"Phase", "string", ".status.phase"}, age}},
      {"slipway.dev", "v1alpha1", "ImageBuild", "imagebuilds", "imagebuild", {"ib"}, {{"Phase", "string", ".status.phase"}, {"Digest", "string", ".status.digest"}, age}},
      {"tekton.dev", "v1", "Task", "tasks", "task", {}, {age}},
      {"tekton.dev", "v1", "Pipeline", "pipelines", "pipeline", {}, {age}},
      {"tekton.dev", "v1", "TaskRun", "taskruns", "taskrun", {"tr"}, {succeeded, reason, age}},
      {"tekton.dev", "v1", "PipelineRun", "pipelineruns", "pipelinerun", {"pr"}, {succeeded, reason, age}},
  };
  std::vector<Json> out;
  for (const Kind& kind : kinds) out.push_back(definition(kind));
  return out;
}

Result<> apply_definitions(kube::Client& client) {
  for (const Json& one : definitions())
    TRY(client.patch(kube::resources::custom_resource_definitions, kube::key_of(one), kube::PatchType::apply, one, {.field_manager = "slipway", .force = true}));
  return {};
}

}  // namespace slipway::app
