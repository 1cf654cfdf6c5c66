// SPDX-License-Identifier: Apache-2.0
// Values copied from one object's field to others'.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cd/kustomize/field_path.h"
#include "cd/kustomize/kustomization.h"
#include "cd/kustomize/selector.h"
#include "cd/kustomize/transformers.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

std::vector<ResId> ids_of(const Resource& resource) {
  std::vector<ResId> out = {{resource.gvk(), std::string(resource.name()), std::string(resource.ns())}};
  for (ResId& id : resource.former_ids()) out.push_back(std::move(id));
  return out;
}

std::vector<std::string> split_text(std::string_view text, std::string_view delimiter) {
  std::vector<std::string> out;
  while (true) {
    const auto at = text.find(delimiter);
    out.emplace_back(text.substr(0, at));
    if (at == text.npos) return out;
    text.remove_prefix(at + delimiter.size());
  }
}

std::string shown(const Json& selector) {
  const ResId id{{selector["group"].str(), selector["version"].str(), selector["kind"].str()}, selector["name"].str(), selector["namespace"].str()};
  std::string out = id.to_string();
  if (const std::string path = selector["fieldPath"].str(); !path.empty()) out += ":" + path;
  return out;
}

Result<Resource*> find_source(const ResourceMap& map, const Json& selector) {
  const ResId wanted{{selector["group"].str(), selector["version"].str(), selector["kind"].str()}, selector["name"].str(), selector["namespace"].str()};
  Resource* found = nullptr;
  for (const ResourcePtr& one : map.all()) {
    const bool matches = std::ranges::any_of(ids_of(*one), [&](const ResId& id) {
      return (wanted.name.empty() || wanted.name == id.name) && (wanted.ns.empty() || wanted.effective_namespace() == id.effective_namespace()) && id.gvk.is_selected(wanted.gvk);
    });
    if (!matches) continue;
    if (found != nullptr) return fail(ErrorCode::invalid, fmt::format("multiple matches for selector {}", shown(selector)));
    found = one.get();
  }
  if (found == nullptr) return fail(ErrorCode::not_found, fmt::format("nothing selected by {}", shown(selector)));
  return found;
}

class Replacer {
 public:
  Replacer(Context& context, ResourceMap& map, const Json& replacement) : context_(context), map_(map), replacement_(replacement) {}

  Result<> run() {
    const bool has_value = replacement_["sourceValue"].is_string();
    const bool has_source = replacement_["source"].is_object();
    if ((!has_value && !has_source) || replacement_["targets"].is_null()) return fail(ErrorCode::invalid, "replacements must specify a source and at least one target");
    if (has_value && has_source) return fail(ErrorCode::invalid, "value and resource selectors are mutually exclusive");
    value_ = has_value ? context_.pool.scalar(replacement_["sourceValue"].as_string()) : TRY(source_value());
    for (const Json& target : replacement_["targets"].items()) TRY(apply(target));
    map_.touched();
    return {};
  }

 private:
  Result<YamlNode*> source_value() {
    const Json& source = replacement_["source"];
    const Resource* from = TRY(find_source(map_, source));
    const std::string path = source["fieldPath"].str("metadata.name").empty() ? "metadata.name" : source["fieldPath"].str("metadata.name");
    auto found = look_up_path(from->node, split_dotted_path(path));
    if (!found) return fail(found.error().code, "error looking up replacement source: " + found.error().message);
    if (is_empty(*found)) return fail(ErrorCode::not_found, fmt::format("fieldPath `{}` is missing for replacement source {}", path, shown(source.without("fieldPath"))));
    const std::string delimiter = source["options"]["delimiter"].str();
    if (delimiter.empty()) return *found;
    if (!(*found)->is_scalar()) return fail(ErrorCode::invalid, "delimiter option can only be used with scalar nodes");
    const auto parts = split_text((*found)->value, delimiter);
    const std::int64_t index = source["options"]["index"].as_int();
    if (index < 0 || static_cast<std::size_t>(index) >= parts.size()) return fail(ErrorCode::invalid, fmt::format("options.index {} is out of bounds for value {}", index, (*found)->value));
    YamlNode* copy = context_.pool.copy(**found);
    copy->value = parts[static_cast<std::size_t>(index)];
    return copy;
  }

  Result<> apply(const Json& target) {
    if (!target["select"].is_object()) return fail(ErrorCode::invalid, "target must specify resources to select");
    const Selector selector = TRY(Selector::parse(target["select"]));
    std::vector<Selector> rejects;
    for (const Json& one : target["reject"].items()) rejects.push_back(TRY(Selector::parse(one)));
    for (const ResourcePtr& one : map_.all()) {
      if (!selector.matches_marks(*one)) continue;
      const auto ids = ids_of(*one);
      const auto rejected = [&](const Selector& reject) {
        if (reject.has_marks() && reject.matches_marks(*one)) return true;
        return reject.names_something() && std::ranges::any_of(ids, [&](const ResId& id) { return reject.matches_id(id); });
      };
      if (std::ranges::any_of(rejects, rejected)) continue;
      if (std::ranges::any_of(ids, [&](const ResId& id) { return selector.matches_id(id); })) TRY(copy_to(*one, target));
    }
    return {};
  }

  Result<> copy_to(Resource& resource, const Json& target) {
    const Json& options = target["options"];
    const YamlKind create = options["create"].as_bool() ? value_->kind : YamlKind::none;
    auto paths = strings_of(target["fieldPaths"]);
    if (paths.empty()) paths = {"metadata.name"};
    for (const std::string& path : paths) {
      const auto parts = split_dotted_path(path);
      if (TRY(set_inside_text(*resource.node, parts, options, create))) continue;
      const auto missing = [&](std::string_view why) {
        const std::string what = fmt::format("unable to find{} field \"{}\" in replacement target", create == YamlKind::none ? "" : " or create", path);
        return fail(ErrorCode::not_found, why.empty() ? what : fmt::format("{}: {}", what, why));
      };
      auto fields = match_path(context_.pool, resource.node, parts, create);
      if (!fields) return missing(fields.error().message);
      if (fields->empty()) return missing("");
      for (YamlNode* one : *fields) TRY(set(*one, options));
    }
    return {};
  }

  Result<> set(YamlNode& target, const Json& options) {
    std::string text = value_->is_null() ? std::string() : value_->value;
    const std::string delimiter = options["delimiter"].str();
    if (!delimiter.empty()) {
      if (!target.is_scalar()) return fail(ErrorCode::invalid, "delimiter option can only be used with scalar nodes");
      auto parts = split_text(target.value, delimiter);
      const std::int64_t index = options["index"].as_int();
      if (index < 0) parts.insert(parts.begin(), text);
      else if (static_cast<std::size_t>(index) >= parts.size()) parts.push_back(text);
      else parts[static_cast<std::size_t>(index)] = text;
      text = join(parts, delimiter);
    } else {
      text = value_->value;
    }
    if (target.is_scalar()) {
      target.value = text;
      return {};
    }
    target = *context_.pool.copy(*value_);
    target.value = text;
    return {};
  }

  // A path may lead into a text that itself is JSON or YAML. False: it does not.
  Result<bool> set_inside_text(YamlNode& object, const std::vector<std::string>& path, const Json& options, YamlKind create) {
    for (std::size_t i = 1; i < path.size(); ++i) {
      auto found = look_up_path(&object, {path.begin(), path.begin() + static_cast<std::ptrdiff_t>(i)});
      if (!found || *found == nullptr || !(*found)->is_scalar()) continue;
      YamlNode& text = **found;
      auto parsed = text::parse_yaml_node(context_.pool, text.value);
      if (!parsed || *parsed == nullptr) continue;
      auto fields = match_path(context_.pool, *parsed, {path.begin() + static_cast<std::ptrdiff_t>(i), path.end()}, create);
      if (!fields || fields->empty()) return false;
      for (YamlNode* one : *fields) TRY(set(*one, options));
      const auto written = written_as(**parsed, text.value);
      if (!written) return false;
      text.value = *written;
      return true;
    }
    return false;
  }

  static Result<std::string> written_as(const YamlNode& node, const std::string& before) {
    const std::string_view trimmed = trim(before);
    if (!trimmed.starts_with('{') && !trimmed.starts_with('[')) return std::string(trim(text::to_yaml_text(node)));
    const Json value = TRY(text::parse_json(text::to_canonical_json(TRY(text::to_json(node)))));
    const bool indented = before.find('\n') != before.npos && before.find("  ") != before.npos;
    return indented ? text::to_json_indented(value, "  ") : text::to_json(value);
  }

  Context& context_;
  ResourceMap& map_;
  const Json& replacement_;
  YamlNode* value_ = nullptr;
};

Result<> load_replacements(const Loader& loader, const Json& entry, std::vector<Json>& out) {
  const std::string path = entry["path"].str();
  if (path.empty()) return out.push_back(entry), Result<>();
  if (!entry["source"].is_null() || !entry["targets"].empty()) return fail(ErrorCode::invalid, "cannot specify both path and inline replacement");
  const Json content = TRY(text::parse_yaml(TRY(loader.load(path)), path));
  if (!content.is_array() && !content.is_object()) return fail(ErrorCode::invalid, "unsupported replacement type encountered within replacement path: invalid");
  if (content.is_object()) return out.push_back(content), Result<>();
  out.insert(out.end(), content.items().begin(), content.items().end());
  return {};
}

}  // namespace

Result<Transformer> replace_values(const Loader& loader, const Json& replacements) {
  std::vector<Json> list;
  for (const Json& one : replacements.items()) TRY(load_replacements(loader, one, list));
  return Transformer{[list](Context& context, ResourceMap& map) -> Result<> {
                       for (const Json& one : list) TRY(Replacer(context, map, one).run());
                       return {};
                     },
                     {}};
}

}  // namespace slipway::cd::kustomize
