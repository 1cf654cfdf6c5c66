// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <set>

#include "base/strings.h"
#include "cd/kustomize/json_patch.h"
#include "cd/kustomize/selector.h"
#include "cd/kustomize/transformers.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

// Name, namespace and kind stay as they are unless the patch may change them.
Result<> apply_strategic(Context& context, Resource& resource, Resource& patch) {
  const std::string name(resource.name()), ns(resource.ns()), kind(resource.kind());
  if (patch.allow_name_change || patch.allow_kind_change) resource.store_id();
  resource.node = TRY(merge(context.pool, *context.schema, resource.node, patch.node));
  if (resource.is_empty()) return {};
  if (!patch.allow_kind_change) TRY(set_top(context.pool, *resource.node, "kind", kind));
  if (!patch.allow_name_change) TRY(set_name(context.pool, *resource.node, name));
  return set_namespace(context.pool, *resource.node, ns);
}

Result<> apply_to_selected(Context& context, ResourceMap& map, const std::vector<ResourcePtr>& selected, const Resource& patch) {
  std::set<const Resource*> chosen;
  for (const ResourcePtr& one : selected) chosen.insert(one.get());
  bool changes_ids = false;
  for (const ResourcePtr& one : map.all()) {
    if (!chosen.contains(one.get())) continue;
    Resource copy = patch;
    copy.node = context.pool.copy(*patch.node);
    TRY(merge_metadata(context.pool, copy, patch));
    TRY(set_top(context.pool, *copy.node, "apiVersion", one->gvk().api_version()));
    TRY(set_top(context.pool, *copy.node, "kind", patch.kind()));
    TRY(apply_strategic(context, *one, copy));
    changes_ids = changes_ids || patch.allow_name_change || patch.allow_kind_change || one->is_empty();
  }
  if (!changes_ids) return {};
  map.drop_empty();
  ResourceMap again;
  for (const ResourcePtr& one : map.edit()) TRY(again.append(one));
  return {};
}

Result<Json> parse_operations(const std::string& text) {
  const Json operations = TRY(text.starts_with('[') ? text::parse_json(text) : text::parse_yaml(text, "patch"));
  if (!operations.is_array() && !operations.is_null()) return fail(ErrorCode::invalid, "a JSON patch is a list of operations");
  for (const Json& one : operations.items())
    if (!one.is_object()) return fail(ErrorCode::invalid, "a JSON patch is a list of operations");
  return operations;
}

Result<> apply_operations(Context& context, Resource& resource, const Json& operations) {
  YamlNode* node = text::yaml_node_of(context.pool, TRY(text::to_json(*resource.node)));
  node = TRY(at(apply_json_patch(context.pool, node, operations), resource.id().to_string()));
  if (!node->is_mapping()) return fail(ErrorCode::invalid, fmt::format("a JSON patch of {} leaves no object", resource.id().to_string()));
  resource.node = node;
  return {};
}

Transformer json_transformer(Json operations, Selector selector, bool stores_ids) {
  return {[=](Context& context, ResourceMap& map) -> Result<> {
            for (const ResourcePtr& one : selector.select(map)) {
              if (stores_ids) one->store_id();
              TRY(apply_operations(context, *one, operations));
            }
            map.touched();
            return {};
          },
          {}};
}

struct Source {
  std::string text, name;  // name: as errors have it
};

Result<Source> patch_text(const Loader& loader, const Json& config) {
  std::string inline_text(trim(config["patch"].as_string()));
  const std::string path = config["path"].str();
  if (inline_text.empty() && path.empty()) return fail(ErrorCode::invalid, fmt::format("must specify one of patch and path in\n{}", text::to_yaml(config)));
  if (!inline_text.empty() && !path.empty()) return fail(ErrorCode::invalid, fmt::format("patch and path can't be set at the same time\n{}", text::to_yaml(config)));
  if (!inline_text.empty()) return Source{inline_text, fmt::format("[patch: {}]", text::to_json(Json(inline_text)))};
  auto loaded = loader.load(path);
  if (!loaded) return fail(loaded.error().code, fmt::format("failed to get the patch file from path({}): {}", path, loaded.error().message));
  return Source{std::move(*loaded), fmt::format("[path: \"{}\"]", path)};
}

Transformer strategic_transformer(std::vector<ResourcePtr> patches, std::optional<Selector> selector, std::string source) {
  return {[=](Context& context, ResourceMap& map) -> Result<> {
            if (patches.empty()) return {};
            if (selector) {
              if (patches.size() > 1)
                return fail(ErrorCode::invalid, fmt::format("Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field: {}", source));
              return apply_to_selected(context, map, selector->select(map), *patches[0]);
            }
            for (const ResourcePtr& one : patches) {
              auto target = map.only_by_any_id(one->original_id());
              if (!target) return fail(target.error().code, fmt::format("no resource matches strategic merge patch \"{}\": {}", one->original_id().to_string(), target.error().message));
              TRY(apply_strategic(context, **target, *one));
              if (one->allow_name_change || one->allow_kind_change || (*target)->is_empty()) map.touched();
            }
            return {};
          },
          {}};
}

}  // namespace

Result<Transformer> patch(Context& context, const Loader& loader, const Json& config) {
  const Source source = TRY(patch_text(loader, config));
  auto strategic = parse_resources(context.pool, source.text);
  auto operations = parse_operations(source.text);
  const bool is_json = operations && operations->is_array();
  if (strategic && is_json && !strategic->empty() && !operations->empty())
    return fail(ErrorCode::invalid, fmt::format("illegally qualifies as both an SM and JSON patch: {}", source.name));
  if (!strategic && !operations) return fail(ErrorCode::invalid, fmt::format("unable to parse SM or JSON patch from {}", source.name));
  std::optional<Selector> selector;
  if (config["target"].is_object()) selector = TRY(Selector::parse(config["target"]));
  if (strategic) {
    for (const ResourcePtr& one : *strategic) {
      one->allow_name_change = config["options"]["allowNameChange"].as_bool();
      one->allow_kind_change = config["options"]["allowKindChange"].as_bool();
    }
    return strategic_transformer(std::move(*strategic), std::move(selector), source.name);
  }
  if (!selector) {
    return Transformer{[name = source.name](Context&, ResourceMap&) -> Result<> { return fail(ErrorCode::invalid, fmt::format("must specify a target for JSON patch {}", name)); }, {}};
  }
  return json_transformer(std::move(*operations), std::move(*selector), true);
}

Result<Transformer> patch_json(Context&, const Loader& loader, const Json& config) {
  if (!config["target"].is_object() || config["target"]["name"].as_string().empty()) return fail(ErrorCode::invalid, "must specify the target name");
  std::string operations = config["patch"].str();
  if (operations.empty()) operations = config["jsonOp"].str();
  const std::string path = config["path"].str();
  if (path.empty() && operations.empty()) return fail(ErrorCode::invalid, "empty file path and empty jsonOp");
  if (!path.empty() && !operations.empty()) return fail(ErrorCode::invalid, "must specify a file path or jsonOp, not both");
  if (!path.empty()) operations = TRY(loader.load(path));
  if (operations.empty()) return fail(ErrorCode::invalid, fmt::format("patch file '{}' empty seems to be empty", path));
  const Json parsed = TRY(parse_operations(operations));
  if (parsed.empty()) return fail(ErrorCode::invalid, fmt::format("patch appears to be empty; file={}, JsonOp={}", path, operations));
  return json_transformer(parsed, TRY(Selector::parse(config["target"])), false);
}

Result<Transformer> patch_strategic(Context& context, const Loader& loader, const Json& config) {
  std::vector<ResourcePtr> patches;
  const auto add = [&](std::vector<ResourcePtr> more) { patches.insert(patches.end(), more.begin(), more.end()); };
  for (const Json& path : config["paths"].items()) {
    auto in_place = parse_resources(context.pool, path.as_string());
    if (in_place) {
      add(std::move(*in_place));
      continue;
    }
    auto loaded = parse_resources(context.pool, TRY(loader.load(path.str())));
    if (!loaded) return std::unexpected(at(std::move(loaded), path.as_string()).error());
    add(std::move(*loaded));
  }
  if (const std::string text = config["patches"].str(); !text.empty()) add(TRY(parse_resources(context.pool, text)));
  if (patches.empty()) return fail(ErrorCode::invalid, "patch appears to be empty");
  return Transformer{[patches](Context& inner, ResourceMap& map) -> Result<> {
                       for (const ResourcePtr& one : patches) {
                         const ResourcePtr target = TRY(map.only_by_any_id(one->original_id()));
                         TRY(apply_to_selected(inner, map, {target}, *one));
                       }
                       return {};
                     },
                     {}};
}

}  // namespace slipway::cd::kustomize
