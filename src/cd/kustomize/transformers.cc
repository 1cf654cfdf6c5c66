// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/transformers.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cd/kustomize/selector.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

bool takes_no_affix(const Gvk& gvk) {
  return gvk.kind == "CustomResourceDefinition" || gvk.kind == "Namespace" || (gvk.kind == "APIService" && gvk.group == "apiregistration.k8s.io");
}

// The fields of one object that a spec of its kind names.
Result<> visit_all(YamlPool& pool, YamlNode& object, const FieldSpecs& specs, const Creation& creation, const Setter& set) {
  for (const FieldSpec& spec : specs) TRY(visit(pool, object, spec, creation, set));
  return {};
}

Result<> affix_one(Context& context, Resource& resource, Affix affix, const std::string& text, const FieldSpecs& specs) {
  const Gvk gvk = resource.original_id().gvk;
  if (takes_no_affix(gvk)) return {};
  for (const FieldSpec& spec : specs) {
    if (!gvk.is_selected(spec.gvk)) continue;
    if (spec.path == "metadata/name") {
      (affix == Affix::prefix ? resource.prefixes : resource.suffixes).push_back(text);
      resource.store_id();
    }
    TRY(visit(context.pool, *resource.node, spec, {YamlKind::scalar, YamlTag::string}, [&](YamlNode& node) {
      return set_scalar(node, *context.pool.scalar(affix == Affix::prefix ? text + node.value : node.value + text));
    }));
  }
  return {};
}

Setter namespace_setter(Context& context, const std::string& ns, Overwrite overwrite) {
  return [&context, ns, overwrite](YamlNode& node) -> Result<> {
    if (overwrite == Overwrite::unset_only && !is_empty(&node) && !node.value.empty()) return {};
    return set_scalar(node, *context.pool.scalar(ns, YamlTag::string));
  };
}

Result<> set_subjects(Context& context, YamlNode& object, Subjects subjects, const Setter& set) {
  YamlNode* list = object.find("subjects");
  if (subjects == Subjects::none || is_missing(list)) return {};
  if (!list->is_sequence()) return wrong_kind(YamlKind::sequence, *list);
  for (YamlNode* subject : list->content) {
    const YamlNode* mark = field(subject, subjects == Subjects::default_only ? "name" : "kind");
    if (text_of(mark) != (subjects == Subjects::default_only ? "default" : "ServiceAccount")) continue;
    TRY(set(*field_or_new(context.pool, *subject, "namespace", YamlKind::scalar)));
  }
  return {};
}

Result<> namespace_one(Context& context, Resource& resource, const FieldSpecs& specs, Subjects subjects, const Setter& set) {
  YamlNode& object = *resource.node;
  const Gvk gvk = resource.gvk();
  static const FieldSpec own = field_spec({}, "metadata/namespace", true);
  if (!gvk.is_cluster_scoped()) TRY(visit(context.pool, object, own, {YamlKind::scalar, YamlTag::none}, set));
  const bool binds = gvk.kind == "RoleBinding" || gvk.kind == "ClusterRoleBinding";
  if (binds) TRY(set_subjects(context, object, subjects, set));
  const bool core = gvk.group.empty() && gvk.version == "v1";
  for (const FieldSpec& spec : specs) {
    if (spec.path == "metadata/namespace" || (!core && spec.path == "metadata/name")) continue;
    if (binds && spec.path == "subjects/namespace" && (spec.gvk.kind == "RoleBinding" || spec.gvk.kind == "ClusterRoleBinding")) continue;
    TRY(visit(context.pool, object, spec, {YamlKind::scalar, YamlTag::string}, set));
  }
  return {};
}

Transformer add_marks(StringMap marks, FieldSpecs specs) {
  return {[marks = std::move(marks), specs = std::move(specs)](Context& context, ResourceMap& map) -> Result<> {
            for (const ResourcePtr& one : map.all()) {
              for (const auto& [key, value] : marks) {
                YamlNode* shared = context.pool.scalar(value, YamlTag::string);  // upstream shares it between the fields, too
                TRY(visit_all(context.pool, *one->node, specs, {YamlKind::mapping, YamlTag::mapping},
                              [&](YamlNode& node) { return set_field(context.pool, node, key, shared); }));
              }
            }
            return {};
          },
          {}};
}

struct ImageName {
  std::string name, tag, digest;
};

// The registry may have a port: a colon counts only behind the first slash.
ImageName split_image(const std::string& image) {
  const auto slash = image.find('/');
  const std::size_t from = slash == image.npos || slash == 0 ? 0 : slash;
  const auto at = image.find('@', from);
  const auto colon = image.find(':', from);
  if (at != image.npos && (colon == image.npos || at < colon)) return {image.substr(0, at), "", image.substr(at + 1)};
  if (colon == image.npos) return {image, "", ""};
  if (at == image.npos) return {image.substr(0, colon), image.substr(colon + 1), ""};
  return {image.substr(0, colon), image.substr(colon + 1, at - colon - 1), image.substr(at + 1)};
}

struct ImageChange {
  std::string name, new_name, new_tag, digest, tag_suffix;
  Pattern pattern;

  Result<> apply(Context& context, YamlNode& node) const {
    if (!node.is_null() && !node.is_scalar()) return wrong_kind(YamlKind::scalar, node);
    if (!pattern.matches(node.value)) return {};
    ImageName image = split_image(node.value);
    if (!new_name.empty()) image.name = new_name;
    if (!new_tag.empty() || !digest.empty()) {
      image.tag = new_tag;
      image.digest = digest;
    } else if (!tag_suffix.empty()) {
      image.tag += tag_suffix;
      image.digest.clear();
    }
    return set_scalar(node, *context.pool.scalar(image.name + (image.tag.empty() ? "" : ":" + image.tag) + (image.digest.empty() ? "" : "@" + image.digest)));
  }

  Result<> apply_to_containers(Context& context, YamlNode& list) const {
    if (!list.is_sequence()) return {};
    for (YamlNode* item : list.content) {
      if (is_missing(item)) continue;
      if (!item->is_mapping()) return wrong_kind(YamlKind::mapping, *item);
      if (YamlNode* image = item->find("image")) TRY(apply(context, *image));
    }
    return {};
  }

  // Lists of containers anywhere in the object.
  Result<> walk(Context& context, YamlNode& node) const {
    if (node.is_sequence())
      for (YamlNode* item : node.content) TRY(walk(context, *item));
    if (!node.is_mapping()) return {};
    for (std::size_t i = 0; i + 1 < node.content.size(); i += 2) {
      TRY(walk(context, *node.content[i + 1]));
      const std::string& key = node.content[i]->value;
      if (key == "containers" || key == "initContainers") TRY(apply_to_containers(context, *node.content[i + 1]));
    }
    return {};
  }
};

}  // namespace

Transformer add_affix(Affix affix, std::string text, FieldSpecs specs) {
  return {[=](Context& context, ResourceMap& map) -> Result<> {
            if (text.empty()) return {};
            for (const ResourcePtr& one : map.edit()) TRY(affix_one(context, *one, affix, text, specs));
            return {};
          },
          {}};
}

Transformer change_namespace(std::string ns, FieldSpecs specs, Subjects subjects, Overwrite overwrite) {
  return {[=](Context& context, ResourceMap& map) -> Result<> {
            if (ns.empty()) return {};
            const Setter set = namespace_setter(context, ns, overwrite);
            std::unordered_map<std::string, std::size_t> ids;
            for (const ResourcePtr& one : map.edit()) ++ids[one->id().key()];
            for (const ResourcePtr& one : map.all()) {
              if (one->is_empty()) continue;
              --ids[one->id().key()];
              one->store_id();
              TRY(namespace_one(context, *one, specs, subjects, set));
              if (++ids[one->id().key()] != 1) return fail(ErrorCode::already_exists, fmt::format("namespace transformation produces ID conflict: {}", one->id().to_string()));
            }
            return {};
          },
          {}};
}

Transformer add_labels(StringMap labels, FieldSpecs specs) { return add_marks(std::move(labels), std::move(specs)); }
Transformer add_annotations(StringMap annotations, FieldSpecs specs) { return add_marks(std::move(annotations), std::move(specs)); }

Result<Transformer> change_image(const Json& image, FieldSpecs specs) {
  ImageChange change{image["name"].str(), image["newName"].str(), image["newTag"].str(), image["digest"].str(), image["tagSuffix"].str(), {}};
  change.pattern = TRY(Pattern::compile(change.name + "(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?", Pattern::Anchor::whole));
  return Transformer{[change = std::move(change), specs = std::move(specs)](Context& context, ResourceMap& map) -> Result<> {
            for (const ResourcePtr& one : map.all()) {
              if (one->kind() == "CustomResourceDefinition") continue;
              TRY(change.walk(context, *one->node));
              TRY(visit_all(context.pool, *one->node, specs, {}, [&](YamlNode& node) { return change.apply(context, node); }));
            }
            return {};
          },
          {}};
}

Transformer change_replicas(std::string name, std::int64_t count, FieldSpecs specs) {
  return {[=](Context& context, ResourceMap& map) -> Result<> {
            bool found = false;
            for (const FieldSpec& spec : specs) {
              for (const ResourcePtr& one : map.all()) {
                auto ids = one->former_ids();
                ids.push_back(one->id());
                if (std::ranges::none_of(ids, [&](const ResId& id) { return id.name == name && id.gvk.is_selected(spec.gvk); })) continue;
                found = true;
                TRY(visit(context.pool, *one->node, spec, {YamlKind::scalar, YamlTag::integer},
                          [&](YamlNode& node) { return set_scalar(node, *context.pool.scalar(std::to_string(count), YamlTag::integer)); }));
              }
            }
            if (found) return {};
            std::string kinds;
            for (const FieldSpec& spec : specs) kinds += (kinds.empty() ? "" : " ") + spec.gvk.to_string();
            return fail(ErrorCode::not_found, fmt::format("resource with name {} does not match a config with the following GVK [{}]", name, kinds));
          },
          {}};
}

namespace {

// "a/b/c", position 1, "x" -> "a/x/b/c".
std::string with_path_part(std::string_view path, std::int64_t position, const std::string& part) {
  auto parts = split(path, '/');
  if (path.empty()) parts.clear();
  auto at = std::min<std::size_t>(static_cast<std::size_t>(position), parts.size());
  if (!parts.empty() && parts[0].empty() && at < parts.size()) ++at;
  std::string out;
  for (std::size_t i = 0; i <= parts.size(); ++i) {
    if (i == at) out += (i == 0 ? "" : "/") + part;
    if (i < parts.size()) out += (i == 0 && at != 0 ? "" : "/") + std::string(parts[i]);
  }
  return out;
}

Result<> add_value_to(Context& context, Resource& resource, const std::string& value, const std::string& path, std::int64_t position) {
  YamlNode* node = resource.node;
  const auto parts = split_path(path, '/');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!node->is_mapping()) return wrong_kind(YamlKind::mapping, *node);
    node = field_or_new(context.pool, *node, parts[i], i + 1 == parts.size() ? YamlKind::scalar : YamlKind::mapping);
  }
  return set_scalar(*node, *context.pool.scalar(position > 0 ? with_path_part(node->value, position - 1, value) : value));
}

}  // namespace

Result<Transformer> add_value(const Loader& loader, const Json& config) {
  std::string value(trim(config["value"].as_string()));
  if (value.empty()) value = loader.root().substr(loader.root().rfind('/') + 1);
  std::vector<Json> targets(config["targets"].items().begin(), config["targets"].items().end());
  if (const std::string path = config["targetFilePath"].str(); !path.empty()) {
    const Json more = TRY(text::parse_yaml(TRY(loader.load(path)), path));
    targets.insert(targets.end(), more["targets"].items().begin(), more["targets"].items().end());
  }
  if (targets.empty()) return fail(ErrorCode::invalid, "must specify at least one target");
  for (const Json& target : targets) {
    if (target["fieldPath"].as_string().empty()) return fail(ErrorCode::invalid, "fieldPath cannot be empty");
    if (target["filePathPosition"].as_int() < 0) return fail(ErrorCode::invalid, fmt::format("value of FilePathPosition ({}) cannot be negative", target["filePathPosition"].as_int()));
  }
  return Transformer{[=](Context& context, ResourceMap& map) -> Result<> {
                       for (const Json& target : targets) {
                         const Selector selector = TRY(Selector::parse(target["selector"]));
                         const std::string path = target["fieldPath"].str();
                         for (const ResourcePtr& one : selector.select(map)) {
                           if (path == "metadata/namespace") TRY(namespace_one(context, *one, {}, Subjects::default_only, namespace_setter(context, value, Overwrite::always)));
                           else TRY(add_value_to(context, *one, value, path, target["filePathPosition"].as_int()));
                         }
                       }
                       map.touched();
                       return {};
                     },
                     {}};
}

}  // namespace slipway::cd::kustomize
