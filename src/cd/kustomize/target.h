// SPDX-License-Identifier: Apache-2.0
// One kustomization of a build: what it gathers and how it changes it. Internal to the build.
#pragma once

#include <string>
#include <vector>

#include "cd/kustomize/kustomization.h"
#include "cd/kustomize/transformers.h"

namespace slipway::cd::kustomize {

struct Variable {
  std::string name, field_path;
  ResId object;
};

// What kustomizations hand upwards.
struct Accumulator {
  ResourceMap map;
  TransformerConfig config;
  std::map<std::string, Variable> variables;
};

class Target final {
 public:
  static Result<Target> load(Context& context, const Loader& loader);
  const Kustomization& kustomization() const { return kustomization_; }
  void set_metadata(Json options, std::optional<std::string> path);  // buildMetadata of the root; where this one stands
  Result<> apply_schema();  // `openapi:`
  Result<> accumulate(Accumulator& into);

 private:
  Target(Context& context, const Loader& loader, Kustomization kustomization) : context_(context), loader_(loader), kustomization_(std::move(kustomization)) {}
  enum class Part { base, component };
  Result<> add_resources(Accumulator& into, const Json& paths);
  Result<> add_file(Accumulator& into, const std::string& path);
  Result<> add_folder(Accumulator& into, const std::string& path, Part part);
  Result<> add_configuration(Accumulator& into);
  Result<> add_generated(Accumulator& into);
  Result<> add_components(Accumulator& into);
  Result<> add_variables(Accumulator& into);
  Result<Json> arguments_of(const Json& generator) const;
  Result<std::vector<Transformer>> own_transformers(const TransformerConfig& config);
  Result<> patch_transformers(std::vector<Transformer>& out);
  Result<> label_transformers(const TransformerConfig& config, std::vector<Transformer>& out);
  Result<> run(Accumulator& into, const std::vector<Transformer>& transformers);
  Result<ResourceMap> plugin_configs(const Json& list);
  Result<> run_plugins(Accumulator& into, std::string_view list);
  Result<> generate_by_plugins(Accumulator& into);
  std::optional<Origin> origin_of(std::string_view builtin) const;
  std::optional<Origin> origin_of(const Resource& config) const;
  const Json& value(std::string_view name) const { return kustomization_.value[name]; }

  Context& context_;
  const Loader& loader_;
  Kustomization kustomization_;
  Json metadata_;
  std::optional<std::string> path_;  // of origins; absent: none are kept
};

// A transformer that a file of kind LabelTransformer, … (apiVersion: builtin) describes.
Result<Transformer> transformer_of(Context& context, const Loader& loader, const Json& config);
Result<std::vector<ResourcePtr>> generated_by(Context& context, const Loader& loader, const Json& config);

// variables.cc
Result<> resolve_variables(Context& context, Accumulator& all);

}  // namespace slipway::cd::kustomize
