// SPDX-License-Identifier: Apache-2.0
// Transformers and generators that a file configures, where they are built in.
#include <fmt/format.h>

#include "cd/kustomize/target.h"

namespace slipway::cd::kustomize {
namespace {

std::string id_of(const Json& config) {
  const ResId id{Gvk::of(config["apiVersion"].as_string(), config["kind"].as_string()), config["metadata"]["name"].str(), config["metadata"]["namespace"].str()};
  return id.to_string();
}

Result<> require_builtin(const Json& config) {
  if (config["apiVersion"].as_string() == "builtin") return {};
  const Json& annotations = config["metadata"]["annotations"];
  if (annotations.contains("config.kubernetes.io/function") || annotations.contains("config.k8s.io/function"))
    return fail(ErrorCode::forbidden, fmt::format("{} is a function in a container or an executable: such functions are not run; only builtin plugins are", id_of(config)));
  return fail(ErrorCode::forbidden, fmt::format("external plugins disabled; unable to load external plugin '{}'", config["kind"].as_string()));
}

Result<Subjects> subjects_of(std::string_view mode) {
  if (mode.empty() || mode == "defaultOnly") return Subjects::default_only;
  if (mode == "allServiceAccounts") return Subjects::all_accounts;
  if (mode == "none") return Subjects::none;
  return fail(ErrorCode::invalid, fmt::format("invalid value \"{}\" for setRoleBindingSubjects: must be one of \"defaultOnly\", \"none\" or \"allServiceAccounts\"", mode));
}

Result<Transformer> make(Context& context, const Loader& loader, const Json& config) {
  const std::string kind = config["kind"].str();
  FieldSpecs specs = field_specs_of(config["fieldSpecs"]);
  if (kind == "PrefixTransformer" || kind == "SuffixTransformer") {
    if (!config["fieldSpecs"].is_array()) return fail(ErrorCode::invalid, "fieldSpecs is not expected to be nil");
    const bool prefix = kind == "PrefixTransformer";
    return add_affix(prefix ? Affix::prefix : Affix::suffix, config[prefix ? "prefix" : "suffix"].str(), std::move(specs));
  }
  if (kind == "NamespaceTransformer")
    return change_namespace(config["metadata"]["namespace"].str(), std::move(specs), TRY(subjects_of(config["setRoleBindingSubjects"].as_string())),
                            config["unsetOnly"].as_bool() ? Overwrite::unset_only : Overwrite::always);
  if (kind == "LabelTransformer") return add_labels(strings_map_of(config["labels"]), std::move(specs));
  if (kind == "AnnotationsTransformer") return add_annotations(strings_map_of(config["annotations"]), std::move(specs));
  if (kind == "ImageTagTransformer") return change_image(config["imageTag"], std::move(specs));
  if (kind == "ReplicaCountTransformer") return change_replicas(config["replica"]["name"].str(), config["replica"]["count"].as_int(), std::move(specs));
  if (kind == "PatchTransformer") return patch(context, loader, config);
  if (kind == "PatchJson6902Transformer") return patch_json(context, loader, config);
  if (kind == "PatchStrategicMergeTransformer") return patch_strategic(context, loader, config);
  if (kind == "ReplacementTransformer") return replace_values(loader, config["replacements"]);
  if (kind == "ValueAddTransformer") return add_value(loader, config);
  if (kind == "HashTransformer") return Transformer{[](Context& inner, ResourceMap& map) { return add_hashes(inner, map); }, {}};
  if (kind == "PrefixSuffixTransformer") {
    const Transformer prefix = add_affix(Affix::prefix, config["prefix"].str(), specs);
    const Transformer suffix = add_affix(Affix::suffix, config["suffix"].str(), specs);
    return Transformer{[prefix, suffix](Context& inner, ResourceMap& map) -> Result<> {
                         TRY(prefix.run(inner, map));
                         return suffix.run(inner, map);
                       },
                       {}};
  }
  return fail(ErrorCode::invalid, fmt::format("unable to load builtin {}", Gvk::of(config["apiVersion"].as_string(), kind).to_string()));
}

}  // namespace

Result<Transformer> transformer_of(Context& context, const Loader& loader, const Json& config) {
  TRY(require_builtin(config));
  auto made = make(context, loader, config);
  if (made) return made;
  return fail(made.error().code, fmt::format("plugin {} fails configuration: {}", id_of(config), made.error().message));
}

Result<std::vector<ResourcePtr>> generated_by(Context& context, const Loader& loader, const Json& config) {
  TRY(require_builtin(config));
  const std::string kind = config["kind"].str();
  if (kind == "IAMPolicyGenerator") return std::vector<ResourcePtr>{TRY(generate_iam_policy(context, config))};
  if (kind == "HelmChartInflationGenerator") return fail(ErrorCode::unavailable, fmt::format("Needs{{chart}}: {} asks for chart '{}'; charts are not rendered by a kustomization here", id_of(config), config["name"].as_string()));
  if (kind != "ConfigMapGenerator" && kind != "SecretGenerator") return fail(ErrorCode::invalid, fmt::format("plugin {} not a generator", id_of(config)));
  Json arguments = config;
  for (const auto* name : {"name", "namespace"})
    if (arguments[name].as_string().empty() && config["metadata"][name].is_string()) arguments = arguments.with(name, config["metadata"][name]);
  return std::vector<ResourcePtr>{TRY(generate(context, loader, kind == "SecretGenerator" ? Generated::secret : Generated::config_map, arguments))};
}

}  // namespace slipway::cd::kustomize
