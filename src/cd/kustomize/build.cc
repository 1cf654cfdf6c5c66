// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cd/kustomize/target.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

constexpr std::string_view version = "v5.8.1";

// Annotations that upstream keeps its notes in; a file that has them is freed of them.
constexpr std::string_view notes[] = {
    "internal.config.kubernetes.io/previousKinds", "internal.config.kubernetes.io/previousNames", "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes", "internal.config.kubernetes.io/previousNamespaces", "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange", "internal.config.kubernetes.io/refBy", "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix", "internal.config.kubernetes.io/path", "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent", "internal.config.kubernetes.io/id", "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path", "config.kubernetes.io/index", "config.k8s.io/id", "internal.config.kubernetes.io/helm-generated"};

bool has_option(const Json& metadata, std::string_view option) {
  return std::ranges::any_of(metadata.items(), [&](const Json& one) { return one.as_string() == option; });
}

std::string transformations_text(const std::vector<Origin>& list) {
  std::string out;
  for (const Origin& one : list) {
    bool first = true;
    const std::string text = one.to_yaml();
    for (const auto line : split_lines(text)) out += fmt::format("{}{}\n", std::exchange(first, false) ? "- " : "  ", line);
  }
  return out;
}

// Annotations become text, empty ones go.
Result<> finish_annotations(Context& context, Resource& resource, const Json& metadata) {
  StringMap annotations = resource.annotations();
  for (const auto note : notes) annotations.erase(std::string(note));
  annotations.erase("config.kubernetes.io/origin");
  annotations.erase("alpha.config.kubernetes.io/transformations");
  if (has_option(metadata, "originAnnotations") && resource.origin) annotations["config.kubernetes.io/origin"] = resource.origin->to_yaml();
  if (has_option(metadata, "transformerAnnotations") && !resource.transformations.empty())
    annotations["alpha.config.kubernetes.io/transformations"] = transformations_text(resource.transformations);
  return set_metadata_map(context.pool, *resource.node, "annotations", annotations);
}

bool is_local(const Resource& resource) {
  const YamlNode* mark = lookup(resource.node, {"metadata", "annotations", "config.kubernetes.io/local-config"});
  return mark != nullptr && text_of(mark) != "false";
}

Result<Built> finish(Context& context, Accumulator& all, const Json& metadata, const Options& options) {
  if (options.managed_by_label || has_option(metadata, "managedByLabel")) {
    const auto labels = add_labels({{"app.kubernetes.io/managed-by", fmt::format("kustomize-{}", version)}}, {field_spec({}, "metadata/labels", true)});
    TRY(labels.run(context, all.map));
  }
  Built out;
  out.objects.reserve(all.map.all().size());
  for (const ResourcePtr& one : all.map.all()) {
    TRY(finish_annotations(context, *one, metadata));
    out.objects.push_back(TRY(at(text::to_json(*one->node), one->id().to_string())));
  }
  return out;
}

}  // namespace

Result<Built> build(const FileTree& tree, const std::string& folder, const Options& options) {
  Context context;
  const Loader loader = TRY(Loader::open(tree, folder, options.restriction));
  Target target = TRY(Target::load(context, loader));
  const Json metadata = target.kustomization().value["buildMetadata"];
  for (const Json& one : metadata.items())
    if (one.as_string() != "originAnnotations" && one.as_string() != "transformerAnnotations" && one.as_string() != "managedByLabel")
      return fail(ErrorCode::invalid, fmt::format("invalid buildMetadata option \"{}\"; must be one of ['originAnnotations','transformerAnnotations','managedByLabel']", one.as_string()));
  target.set_metadata(metadata, metadata.empty() ? std::nullopt : std::optional<std::string>(""));
  TRY(target.apply_schema());
  Accumulator all;
  TRY(target.accumulate(all));
  TRY(add_hashes(context, all.map));
  TRY(fix_references(context, all.map, all.config.name_references));
  TRY(resolve_variables(context, all));
  std::erase_if(all.map.edit(), [](const ResourcePtr& one) { return is_local(*one); });
  TRY(sort_objects(all.map, target.kustomization().value["sortOptions"]));
  Built out = TRY(finish(context, all, metadata, options));
  out.warnings = std::move(context.warnings);
  return out;
}

std::string to_yaml(const Built& built) {
  std::string out;
  for (const Json& one : built.objects) {
    if (!out.empty()) out += "---\n";
    out += text::to_yaml(one);
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> to_files(const Built& built) {
  const auto namespace_of = [](const Json& object) {
    ResId id{Gvk::of(object["apiVersion"].as_string(), object["kind"].as_string()), "", object["metadata"]["namespace"].str()};
    id.cluster_scoped = id.gvk.is_cluster_scoped();
    return id.effective_namespace();
  };
  std::set<std::string> namespaces;
  for (const Json& one : built.objects) namespaces.insert(namespace_of(one));
  namespaces.erase(std::string(no_namespace));
  std::vector<std::pair<std::string, std::string>> out;
  for (const Json& one : built.objects) {
    const Gvk gvk = Gvk::of(one["apiVersion"].as_string(), one["kind"].as_string());
    const std::string ns = namespace_of(one);
    std::string name = namespaces.size() > 1 && ns != no_namespace ? ns + "_" : "";
    for (const std::string* part : {&gvk.group, &gvk.version, &gvk.kind})
      if (!part->empty()) name += *part + "_";
    out.emplace_back(to_lower(name + one["metadata"]["name"].str()) + ".yaml", text::to_yaml(one));
  }
  return out;
}

}  // namespace slipway::cd::kustomize
