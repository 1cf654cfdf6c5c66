// SPDX-License-Identifier: Apache-2.0
// What changes the objects of a kustomization, one function a transformer. Each is made of its configuration and run
// once over all objects.
#pragma once

#include <functional>
#include <memory>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cd/kustomize/config.h"
#include "cd/kustomize/files.h"
#include "cd/kustomize/merge.h"
#include "cd/kustomize/resource.h"

namespace slipway::cd::kustomize {

// What a build owns; one thread.
struct Context {
  YamlPool pool;
  const MergeSchema* schema = &MergeSchema::built_in();
  std::unique_ptr<MergeSchema> own_schema;
  std::vector<std::string> warnings;
};

struct Transformer {
  std::function<Result<>(Context&, ResourceMap&)> run;
  std::optional<Origin> origin;
};

enum class Affix { prefix, suffix };
Transformer add_affix(Affix affix, std::string text, FieldSpecs specs);
enum class Subjects { default_only, all_accounts, none };
enum class Overwrite { always, unset_only };
Transformer change_namespace(std::string ns, FieldSpecs specs, Subjects subjects, Overwrite overwrite);
Transformer add_labels(StringMap labels, FieldSpecs specs);
Transformer add_annotations(StringMap annotations, FieldSpecs specs);
Result<Transformer> change_image(const Json& image, FieldSpecs specs);
Transformer change_replicas(std::string name, std::int64_t count, FieldSpecs specs);
Result<Transformer> add_value(const Loader& loader, const Json& config);

// patches.cc
Result<Transformer> patch(Context& context, const Loader& loader, const Json& config);              // an entry of `patches`
Result<Transformer> patch_json(Context& context, const Loader& loader, const Json& config);         // of patchesJson6902
Result<Transformer> patch_strategic(Context& context, const Loader& loader, const Json& config);    // paths, patches

// replacements.cc
Result<Transformer> replace_values(const Loader& loader, const Json& replacements);

// names.cc
Result<> add_hashes(Context& context, ResourceMap& map);
Result<> fix_references(Context& context, ResourceMap& map, const std::vector<NameReference>& references);

// generators.cc
enum class Generated { config_map, secret };
Result<ResourcePtr> generate(Context& context, const Loader& loader, Generated kind, const Json& arguments);
Result<ResourcePtr> generate_iam_policy(Context& context, const Json& config);

// order.cc
Result<> sort_objects(ResourceMap& map, const Json& options);  // sortOptions; null: the legacy order

}  // namespace slipway::cd::kustomize
