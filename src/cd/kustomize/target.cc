// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/target.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

std::string origin_path(const std::string& base, const std::string& path) { return clean_path(base.empty() ? path : base + "/" + path); }

std::unexpected<Error> prefixed(std::string_view what, const Error& error) {
  Error out = error;
  out.message = fmt::format("{}: {}", what, error.message);
  return std::unexpected(std::move(out));
}

std::string missing_kustomization(const std::string& root) {
  return fmt::format("unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{}'", root);
}

bool is_malformed(const Error& error) { return error.message.find("MalformedYAMLError") != std::string::npos; }

}  // namespace

Result<Target> Target::load(Context& context, const Loader& loader) {
  std::string text, file;
  int found = 0;
  for (const auto name : kustomization_names) {
    auto read = loader.load(std::string(name));
    if (!read) {
      if (read.error().code == ErrorCode::too_large) return std::unexpected(read.error());
      continue;
    }
    ++found;
    text = std::move(*read);
    file = name;
  }
  if (found == 0) return fail(ErrorCode::not_found, missing_kustomization(loader.root()));
  if (found > 1) return fail(ErrorCode::invalid, fmt::format("Found multiple kustomization files under: {}\n", loader.root()));
  Kustomization kustomization = TRY(parse_kustomization(text, loader.root() + "/" + file));
  kustomization.file = file;
  context.warnings.insert(context.warnings.end(), kustomization.warnings.begin(), kustomization.warnings.end());
  return Target(context, loader, std::move(kustomization));
}

void Target::set_metadata(Json options, std::optional<std::string> path) {
  metadata_ = std::move(options);
  path_ = std::move(path);
}

// The first kustomization that sets a schema wins; the root is asked first.
Result<> Target::apply_schema() {
  const Json& openapi = value("openapi");
  if (context_.own_schema || !openapi.is_object()) return {};
  if (const std::string version = openapi["version"].str(); !version.empty() && version != "v1.21.2") return fail(ErrorCode::invalid, "the specified OpenAPI version is not built in");
  const std::string path = openapi["path"].str();
  if (path.empty()) return {};
  if (openapi["version"].is_string()) return fail(ErrorCode::invalid, "builtin version and custom schema provided, cannot use both");
  context_.own_schema = TRY(at(MergeSchema::from_openapi(TRY(text::parse_yaml(TRY(loader_.load(path)), path))), path));
  context_.schema = context_.own_schema.get();
  return {};
}

Result<> Target::accumulate(Accumulator& into) {
  if (auto done = add_resources(into, value("resources")); !done) return prefixed("accumulating resources", done.error());
  TRY(add_configuration(into));
  TRY(add_generated(into));
  if (auto done = add_components(into); !done) return prefixed("accumulating components", done.error());
  std::vector<Transformer> transformers = TRY(own_transformers(into.config));
  const ResourceMap plugins = TRY(plugin_configs(value("transformers")));
  for (const ResourcePtr& one : plugins.all()) {
    transformers.push_back(TRY(transformer_of(context_, loader_, TRY(text::to_json(*one->node)))));
    transformers.back().origin = origin_of(*one);
  }
  TRY(run(into, transformers));
  TRY(run_plugins(into, "validators"));
  return add_variables(into);
}

Result<> Target::add_resources(Accumulator& into, const Json& paths) {
  for (const std::string& path : strings_of(paths)) {
    const auto as_file = add_file(into, path);
    if (as_file) continue;
    const auto inner = loader_.enter(path);
    if (!inner && is_malformed(as_file.error())) return as_file;
    if (!inner && is_remote(path)) return std::unexpected(inner.error());
    const auto done = inner ? add_folder(into, path, Part::base) : Result<>(std::unexpected(inner.error()));
    if (!done) return prefixed(fmt::format("accumulation err='{}'", as_file.error().message), done.error());
  }
  return {};
}

Result<> Target::add_file(Accumulator& into, const std::string& path) {
  const auto text = loader_.load(path);
  if (!text) return prefixed(fmt::format("accumulating resources from '{}'", path), text.error());
  auto resources = parse_resources(context_.pool, *text);
  if (!resources) {
    Error error = resources.error();
    if (is_malformed(error)) error.message += " in File: " + path;
    if (!error.places.empty()) error.places[0] = fmt::format("{}/{}:{}", loader_.root(), path, error.places[0]);
    return prefixed(fmt::format("accumulating resources from '{}'", path), error);
  }
  for (const ResourcePtr& one : *resources) {
    if (path_) one->origin = Origin{origin_path(*path_, path), "", "", "", "", ""};
    if (auto done = into.map.append(one); !done) return prefixed(fmt::format("merging resources from '{}'", path), done.error());
  }
  return {};
}

Result<> Target::add_folder(Accumulator& into, const std::string& path, Part part) {
  const Loader inner = TRY(loader_.enter(path));
  auto loaded = Target::load(context_, inner);
  if (!loaded) return prefixed(fmt::format("couldn't make target for path '{}'", inner.root()), loaded.error());
  loaded->set_metadata(metadata_, path_ ? std::optional(origin_path(*path_, path)) : std::nullopt);
  TRY(loaded->apply_schema());
  if (part == Part::component && !loaded->kustomization_.is_component())
    return fail(ErrorCode::invalid, fmt::format("expected kind 'Component' for path '{}' but got '{}'", inner.root(), loaded->value("kind").as_string()));
  if (part == Part::base && loaded->kustomization_.is_component()) return fail(ErrorCode::invalid, fmt::format("expected kind != 'Component' for path '{}'", inner.root()));
  Accumulator own;
  Accumulator& target = part == Part::component ? into : own;  // a component changes what is there already
  if (auto done = loaded->accumulate(target); !done) return prefixed(fmt::format("recursed accumulation of path '{}'", inner.root()), done.error());
  if (part == Part::component) return {};
  const auto merged = [&]() -> Result<> {
    TRY(into.map.append_all(own.map));
    TRY(merge_into(into.config, own.config));
    for (const auto& [name, variable] : own.variables)
      if (!into.variables.emplace(name, variable).second) return fail(ErrorCode::invalid, fmt::format("var '{}' already encountered", name));
    return {};
  }();
  return merged ? merged : prefixed(fmt::format("recursed merging from path '{}'", inner.root()), merged.error());
}

Result<> Target::add_configuration(Accumulator& into) {
  TransformerConfig config = default_config();
  for (const std::string& path : strings_of(value("configurations"))) TRY(merge_into(config, TRY(parse_config(TRY(loader_.load(path)), path))));
  TRY(merge_into(into.config, config));
  for (const std::string& path : strings_of(value("crds"))) {
    auto crds = [&]() -> Result<TransformerConfig> { return parse_crds(TRY(loader_.load(path)), path); }();
    if (!crds) return prefixed(fmt::format("loading CRDs [{}]", join(strings_of(value("crds")), " ")), crds.error());
    TRY(merge_into(into.config, *crds));
  }
  return {};
}

// What generatorOptions set applies where a generator says nothing else.
Result<Json> Target::arguments_of(const Json& generator) const {
  const Json& all = value("generatorOptions");
  if (!all.is_object()) return generator;
  Json options = generator["options"].is_object() ? generator["options"] : Json::object();
  for (const auto* name : {"labels", "annotations"})
    for (const auto& member : all[name].members())
      if (!options[name].contains(member.key())) options = options.with(name, (options[name].is_object() ? options[name] : Json::object()).with(member.key(), member.value));
  for (const auto* name : {"disableNameSuffixHash", "immutable"})
    if (all[name].as_bool()) options = options.with(name, true);
  return generator.with("options", options);
}

Result<> Target::add_generated(Accumulator& into) {
  if (!value("helmCharts").empty() || !value("helmChartInflationGenerator").empty()) {
    const Json& first = value("helmCharts").empty() ? value("helmChartInflationGenerator")[0] : value("helmCharts")[0];
    const std::string name = first["name"].str().empty() ? first["chartName"].str() : first["name"].str();
    return fail(ErrorCode::unavailable, fmt::format("Needs{{chart}}: helmCharts of {} ask for chart '{}'; charts are not rendered by a kustomization here", loader_.root(), name));
  }
  const std::tuple<const char*, Generated, const char*> kinds[] = {{"configMapGenerator", Generated::config_map, "ConfigMapGenerator"}, {"secretGenerator", Generated::secret, "SecretGenerator"}};
  for (const auto& [list, kind, name] : kinds) {
    for (const Json& one : value(list).items()) {
      ResourcePtr made = TRY(generate(context_, loader_, kind, TRY(arguments_of(one))));
      made->origin = origin_of(name);
      if (auto done = into.map.absorb(context_.pool, {made}); !done) return prefixed("merging from generator", done.error());
    }
  }
  return generate_by_plugins(into);
}

Result<> Target::generate_by_plugins(Accumulator& into) {
  const ResourceMap configs = TRY(plugin_configs(value("generators")));
  for (const ResourcePtr& config : configs.all()) {
    auto made = generated_by(context_, loader_, TRY(text::to_json(*config->node)));
    if (!made) return prefixed("loading generator plugins: failed to load generator", made.error());
    for (const ResourcePtr& one : *made) one->origin = origin_of(*config);
    if (auto done = into.map.absorb(context_.pool, *made); !done) return prefixed("merging from generator", done.error());
  }
  return {};
}

Result<> Target::add_components(Accumulator& into) {
  for (const std::string& path : strings_of(value("components"))) {
    if (auto inner = loader_.enter(path); !inner) return fail(inner.error().code, fmt::format("loader.New \"{}\"", inner.error().message));
    if (auto done = add_folder(into, path, Part::component); !done) return fail(done.error().code, fmt::format("accumulateDirectory: \"{}\"", done.error().message));
  }
  return {};
}

Result<> Target::add_variables(Accumulator& into) {
  for (const Json& one : value("vars").items()) {
    const Json& object = one["objref"];
    Variable variable{one["name"].str(), one["fieldref"]["fieldPath"].str(), {}};
    if (variable.field_path.empty()) variable.field_path = "metadata.name";
    const std::string api_version = object["apiVersion"].str();
    Gvk gvk{object["group"].str(), object["version"].str(), object["kind"].str()};
    if (!api_version.empty()) gvk = Gvk::of(api_version, gvk.kind);
    variable.object = {gvk, object["name"].str(), object["namespace"].str()};
    std::size_t matched = 0;
    ResourcePtr found;
    for (const ResourcePtr& resource : into.map.all()) {
      auto ids = resource->former_ids();
      ids.push_back(resource->id());
      const bool any_namespace = variable.object.ns.empty() && !gvk.is_cluster_scoped();
      const bool matches = std::ranges::any_of(ids, [&](const ResId& id) {
        return id.name == variable.object.name && id.gvk == gvk && (any_namespace || id.effective_namespace() == variable.object.effective_namespace() || id.cluster_scoped || id.ns == no_namespace);
      });
      if (!matches) continue;
      ++matched;
      found = resource;
    }
    if (matched > 1) return fail(ErrorCode::invalid, fmt::format("merging vars: found {} resId matches for var {} (unable to disambiguate)", matched, variable.name));
    if (found) found->variables.push_back(variable.name);
    if (!into.variables.emplace(variable.name, variable).second) return fail(ErrorCode::invalid, fmt::format("merging vars: var '{}' already encountered", variable.name));
  }
  return {};
}

Result<> Target::patch_transformers(std::vector<Transformer>& out) {
  if (!value("patchesStrategicMerge").empty()) {
    out.push_back(TRY(patch_strategic(context_, loader_, Json::object({{"paths", value("patchesStrategicMerge")}}))));
    out.back().origin = origin_of("PatchStrategicMergeTransformer");
  }
  for (const Json& one : value("patches").items()) {
    out.push_back(TRY(patch(context_, loader_, one)));
    out.back().origin = origin_of("PatchTransformer");
  }
  return {};
}

Result<> Target::label_transformers(const TransformerConfig& config, std::vector<Transformer>& out) {
  for (const Json& one : value("labels").items()) {
    FieldSpecs specs = TRY(parse_field_specs(one["fields"]));
    const auto add = [&](const FieldSpecs& more) -> Result<> {
      auto done = merge_into(specs, more);
      return done ? done : prefixed("failed to merge labels", done.error());
    };
    TRY(add(config.labels));
    if (one["includeSelectors"].as_bool()) {
      TRY(add(config.common_labels));
    } else {
      if (one["includeTemplates"].as_bool()) TRY(add(config.template_labels));
      TRY(add({field_spec({}, "metadata/labels", true)}));
    }
    out.push_back(add_labels(strings_map_of(one["pairs"]), std::move(specs)));
  }
  if (!value("commonLabels").empty()) out.push_back(add_labels(strings_map_of(value("commonLabels")), config.common_labels));
  return {};
}

Result<std::vector<Transformer>> Target::own_transformers(const TransformerConfig& config) {
  std::vector<Transformer> out;
  const auto since = [&](std::size_t begin, std::string_view name) {
    for (std::size_t i = begin; i < out.size(); ++i) out[i].origin = origin_of(name);
  };
  TRY(patch_transformers(out));
  std::size_t begin = out.size();
  if (const std::string ns = value("namespace").str(); !ns.empty()) out.push_back(change_namespace(ns, config.ns, Subjects::default_only, Overwrite::always));
  since(begin, "NamespaceTransformer");
  begin = out.size();
  if (const std::string prefix = value("namePrefix").str(); !prefix.empty()) out.push_back(add_affix(Affix::prefix, prefix, config.name_prefix));
  since(begin, "PrefixTransformer");
  begin = out.size();
  if (const std::string suffix = value("nameSuffix").str(); !suffix.empty()) out.push_back(add_affix(Affix::suffix, suffix, config.name_suffix));
  since(begin, "SuffixTransformer");
  begin = out.size();
  TRY(label_transformers(config, out));
  since(begin, "LabelTransformer");
  begin = out.size();
  if (!value("commonAnnotations").empty()) out.push_back(add_annotations(strings_map_of(value("commonAnnotations")), config.common_annotations));
  since(begin, "AnnotationsTransformer");
  begin = out.size();
  for (const Json& one : value("patchesJson6902").items()) out.push_back(TRY(patch_json(context_, loader_, one)));
  since(begin, "PatchJson6902Transformer");
  begin = out.size();
  for (const Json& one : value("replicas").items()) out.push_back(change_replicas(one["name"].str(), one["count"].as_int(), config.replicas));
  since(begin, "ReplicaCountTransformer");
  begin = out.size();
  for (const Json& one : value("images").items()) out.push_back(TRY(change_image(one, config.images)));
  since(begin, "ImageTagTransformer");
  begin = out.size();
  if (!value("replacements").empty()) out.push_back(TRY(replace_values(loader_, value("replacements"))));
  since(begin, "ReplacementTransformer");
  return out;
}

Result<> Target::run(Accumulator& into, const std::vector<Transformer>& transformers) {
  for (const Transformer& one : transformers) {
    TRY(one.run(context_, into.map));
    into.map.drop_empty();
    if (!one.origin) continue;
    for (const ResourcePtr& resource : into.map.all()) {
      if (resource->origin) resource->transformations.push_back(*one.origin);
      else resource->origin = one.origin;
    }
  }
  return {};
}

std::optional<Origin> Target::origin_of(std::string_view builtin) const {
  if (!path_) return std::nullopt;
  return Origin{"", origin_path(*path_, kustomization_.file), "builtin", std::string(builtin), "", ""};
}

std::optional<Origin> Target::origin_of(const Resource& config) const {
  if (!path_ || !config.origin) return std::nullopt;
  return Origin{"", config.origin->path, text_of(field(config.node, "apiVersion")), std::string(config.kind()), std::string(config.name()), std::string(config.ns())};
}

// An entry is a configuration itself, a file or a folder.
Result<ResourceMap> Target::plugin_configs(const Json& list) {
  Accumulator out;
  std::vector<Json> paths;
  for (const Json& one : list.items()) {
    auto in_place = parse_resources(context_.pool, one.as_string());
    if (!in_place) {
      paths.push_back(one);
      continue;
    }
    for (const ResourcePtr& resource : *in_place) {
      if (path_) resource->origin = Origin{origin_path(*path_, kustomization_.file), "", "", "", "", ""};
      TRY(out.map.append(resource));
    }
  }
  TRY(add_resources(out, Json::array(paths)));
  return std::move(out.map);
}

// Validators that are built in change nothing that matters: they are transformers whose change is refused.
Result<> Target::run_plugins(Accumulator& into, std::string_view list) {
  const ResourceMap configs = TRY(plugin_configs(value(list)));
  for (const ResourcePtr& config : configs.all()) {
    const Transformer transformer = TRY(transformer_of(context_, loader_, TRY(text::to_json(*config->node))));
    std::vector<Json> before;
    for (const ResourcePtr& one : into.map.all()) before.push_back(TRY(text::to_json(*one->node)));
    TRY(transformer.run(context_, into.map));
    bool same = before.size() == into.map.all().size();
    for (std::size_t i = 0; i < before.size() && same; ++i) same = TRY(text::to_json(*into.map.all()[i]->node)) == before[i];
    if (!same) return fail(ErrorCode::invalid, "validator shouldn't modify the resource map");
  }
  return {};
}

}  // namespace slipway::cd::kustomize
