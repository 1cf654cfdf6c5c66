// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/field_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "cd/kustomize/resource.h"

namespace slipway::cd::kustomize {
namespace {

class Walk {
 public:
  Walk(YamlPool& pool, const FieldSpec& spec, const Creation& creation, const Setter& set) : pool_(pool), spec_(spec), creation_(creation), set_(set) {}

  Result<> go(YamlNode& node, std::size_t at) {
    if (at == spec_.parts.size()) return set_(node);
    if (is_missing(&node) || node.kind == YamlKind::none) return {};
    if (node.is_sequence()) {
      for (YamlNode* item : node.content)
        if (auto done = go(*item, at); !done) return fail(done.error().code, fmt::format("visit traversal on path: [{}]: {}", rest(at), done.error().message));
      return {};
    }
    if (!node.is_mapping()) return fail(ErrorCode::invalid, "expected sequence or mapping node");
    return in_mapping(node, at);
  }

 private:
  std::string rest(std::size_t at) const {
    std::string out;
    for (std::size_t i = at; i < spec_.parts.size(); ++i) out += (i > at ? " " : "") + spec_.parts[i];
    return out;
  }

  Result<> in_mapping(YamlNode& node, std::size_t at) {
    std::string_view name = spec_.parts[at];
    const bool is_list = name.ends_with("[]");
    if (is_list) name.remove_suffix(2);
    if (name.empty()) return fail(ErrorCode::invalid, "cannot set or create an empty field name");
    YamlKind kind = is_list ? YamlKind::sequence : YamlKind::none;
    YamlTag tag = YamlTag::none;
    const bool creates = spec_.create && creation_.kind != YamlKind::none && !is_list;
    if (creates) {
      const bool last = at + 1 == spec_.parts.size();
      kind = last ? creation_.kind : YamlKind::mapping;
      tag = last ? creation_.tag : YamlTag::mapping;
    }
    YamlNode* found = creates ? field_or_new(pool_, node, name, kind) : node.find(name);
    if (found == nullptr) return {};
    if (found->is_null() && kind != YamlKind::none) {
      found->kind = kind;
      found->tag = tag;
    }
    return go(*found, at + 1);
  }

  YamlPool& pool_;
  const FieldSpec& spec_;
  const Creation creation_;
  const Setter& set_;
};

}  // namespace

FieldSpec field_spec(Gvk gvk, std::string path, bool create) {
  auto parts = split_path(path, '/');
  return {std::move(gvk), std::move(path), create, std::move(parts)};
}

Result<> merge_into(FieldSpecs& specs, const FieldSpec& more) {
  const auto found = std::ranges::find_if(specs, [&](const FieldSpec& one) { return one.gvk.is_selected(more.gvk) && one.path == more.path; });
  if (found == specs.end()) return specs.push_back(more), Result<>();
  if (found->create != more.create) return fail(ErrorCode::invalid, "conflicting fieldspecs");
  return {};
}

Result<> merge_into(FieldSpecs& specs, const FieldSpecs& more) {
  for (const FieldSpec& one : more) TRY(merge_into(specs, one));
  return {};
}

void sort_specs(FieldSpecs& specs) {
  std::ranges::stable_sort(specs, [](const FieldSpec& a, const FieldSpec& b) { return is_before(a.gvk, b.gvk); });
}

Result<> visit(YamlPool& pool, YamlNode& object, const FieldSpec& spec, const Creation& creation, const Setter& set) {
  const auto text = [&](std::string_view name) {
    const YamlNode* found = object.find(name);
    return found == nullptr ? std::string_view() : std::string_view(found->value);
  };
  if (!spec.gvk.kind.empty() && text("kind") != spec.gvk.kind) return {};
  if ((!spec.gvk.group.empty() || !spec.gvk.version.empty()) && !Gvk::of(object).is_selected(spec.gvk)) return {};
  auto done = Walk(pool, spec, creation, set).go(object, 0);
  if (done) return {};
  const Resource probe{&object};
  const ResId id{probe.gvk(), std::string(probe.name()), std::string(probe.ns())};
  return fail(done.error().code, fmt::format("considering field '{}' of object {}: {}", spec.path, id.to_string(), done.error().message));
}

}  // namespace slipway::cd::kustomize
