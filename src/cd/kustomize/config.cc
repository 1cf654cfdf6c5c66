// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cd/kustomize/kustomization.h"

namespace slipway::cd::kustomize {
namespace {

Result<> merge_reference(std::vector<NameReference>& references, const NameReference& more) {
  const auto found = std::ranges::find(references, more.gvk, &NameReference::gvk);
  if (found == references.end()) return references.push_back(more), Result<>();
  return merge_into(found->referrers, more.referrers);
}

void sort_fields(TransformerConfig& config) {
  for (FieldSpecs* specs : {&config.name_prefix, &config.name_suffix, &config.ns, &config.common_labels, &config.labels, &config.template_labels,
                            &config.claim_labels, &config.common_annotations, &config.variables, &config.images, &config.replicas})
    sort_specs(*specs);
  std::ranges::stable_sort(config.name_references, [](const NameReference& a, const NameReference& b) { return is_before(a.gvk, b.gvk); });
}

Gvk gvk_of(const Json& value) { return {value["group"].str(), value["version"].str(), value["kind"].str()}; }

std::string joined(const std::string& path, std::string_view name) { return path.empty() ? std::string(name) : path + "/" + std::string(name); }

class CrdReader {
 public:
  explicit CrdReader(const Json& definitions) : definitions_(definitions) {}

  Result<TransformerConfig> read() {
    for (const auto& definition : definitions_.members()) {
      const Json& properties = definition.value["Schema"]["properties"];
      if (!properties.contains("kind") || !properties.contains("apiVersion") || !properties.contains("metadata")) continue;
      const std::string_view name = definition.key();
      const auto dot = name.rfind('.');
      gvk_ = {"", "", std::string(dot == name.npos ? name : name.substr(dot + 1))};
      TRY(type(name, "", 0));
    }
    sort_fields(config_);
    return std::move(config_);
  }

 private:
  Result<> type(std::string_view name, const std::string& path, int depth) {
    if (depth > 100) return fail(ErrorCode::too_large, fmt::format("the schema of {} nests more than 100 levels deep", name));
    for (const auto& property : definitions_[name]["Schema"]["properties"].members()) {
      const std::string at = joined(path, property.key());
      const Json& rule = property.value;
      if (rule["x-kubernetes-annotation"].is_string()) TRY(merge_into(config_.common_annotations, field_spec(gvk_, at, false)));
      if (rule["x-kubernetes-label-selector"].is_string()) TRY(merge_into(config_.common_labels, field_spec(gvk_, at, false)));
      if (rule["x-kubernetes-identity"].is_string()) TRY(merge_into(config_.name_prefix, field_spec(gvk_, at, false)));
      const Json& version = rule["x-kubernetes-object-ref-api-version"];
      const Json& kind = rule["x-kubernetes-object-ref-kind"];
      if (version.is_string() && kind.is_string()) {
        const std::string key = rule["x-kubernetes-object-ref-name-key"].str("name");
        TRY(merge_reference(config_.name_references, {{"", version.str(), kind.str()}, {field_spec(gvk_, joined(at, key), false)}}));
      }
      if (rule["$ref"].is_string()) TRY(type(rule["$ref"].as_string(), at, depth + 1));
    }
    return {};
  }

  const Json& definitions_;
  Gvk gvk_;
  TransformerConfig config_;
};

}  // namespace

FieldSpecs field_specs_of(const Json& list) {
  FieldSpecs out;
  for (const Json& one : list.items()) out.push_back(field_spec(gvk_of(one), one["path"].str(), one["create"].as_bool()));
  return out;
}

Result<FieldSpecs> parse_field_specs(const Json& list) {
  for (const Json& one : list.items()) {
    for (const auto& member : one.members()) {
      static constexpr std::string_view known[] = {"group", "version", "kind", "path", "create"};
      if (std::ranges::find(known, member.key()) == std::end(known)) return fail(ErrorCode::invalid, fmt::format("json: unknown field \"{}\"", member.key()));
    }
  }
  return field_specs_of(list);
}

Result<> merge_into(TransformerConfig& config, const TransformerConfig& more) {
  const std::tuple<const char*, FieldSpecs*, const FieldSpecs*> parts[] = {
      {"NamePrefix", &config.name_prefix, &more.name_prefix}, {"NameSuffix", &config.name_suffix, &more.name_suffix}, {"NameSpace", &config.ns, &more.ns},
      {"CommonAnnotations", &config.common_annotations, &more.common_annotations}, {"CommonLabels", &config.common_labels, &more.common_labels},
      {"Labels", &config.labels, &more.labels}, {"TemplateLabels", &config.template_labels, &more.template_labels},
      {"VolumeClaimTemplateLabels", &config.claim_labels, &more.claim_labels}, {"VarReference", &config.variables, &more.variables},
      {"Images", &config.images, &more.images}, {"Replicas", &config.replicas, &more.replicas}};
  for (const auto& [name, into, from] : parts)
    if (auto done = merge_into(*into, *from); !done) return fail(done.error().code, fmt::format("failed to merge {} fieldSpec: {}", name, done.error().message));
  for (const NameReference& one : more.name_references) TRY(merge_reference(config.name_references, one));
  sort_fields(config);
  return {};
}

Result<TransformerConfig> parse_config(std::string_view text, std::string_view name) {
  const Json value = TRY(parse_lenient(text, name));
  TransformerConfig config;
  for (const auto& member : value.members()) {
    const std::pair<std::string_view, FieldSpecs*> lists[] = {
        {"namePrefix", &config.name_prefix}, {"nameSuffix", &config.name_suffix}, {"namespace", &config.ns}, {"commonLabels", &config.common_labels},
        {"labels", &config.labels}, {"templateLabels", &config.template_labels}, {"volumeClaimTemplateLabels", &config.claim_labels},
        {"commonAnnotations", &config.common_annotations}, {"varReference", &config.variables}, {"images", &config.images}, {"replicas", &config.replicas}};
    if (member.key() == "nameReference") {
      for (const Json& one : member.value.items())
        config.name_references.push_back({gvk_of(one), TRY(parse_field_specs(one["fieldSpecs"]))});
      continue;
    }
    const auto found = std::ranges::find(lists, member.key(), [](const auto& one) { return one.first; });
    if (found == std::end(lists))
      return at(Result<TransformerConfig>(fail(ErrorCode::invalid, fmt::format("error unmarshaling JSON: while decoding JSON: json: unknown field \"{}\"", member.key()))), name);
    *found->second = TRY(at(parse_field_specs(member.value), name));
  }
  sort_fields(config);
  return config;
}

Result<TransformerConfig> parse_crds(std::string_view text, std::string_view name) {
  auto value = parse_lenient(text, name);
  if (!value) return fail(value.error().code, fmt::format("unable to parse open API definition from '{}': {}", name, value.error().message));
  return CrdReader(*value).read();
}

}  // namespace slipway::cd::kustomize
