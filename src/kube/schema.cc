// SPDX-License-Identifier: Apache-2.0
#include "kube/schema.h"

#include <fmt/format.h>

#include "kube/schema_data.h"

namespace slipway::kube {
namespace {

constexpr std::string_view reference_prefix = "#/components/schemas/";
constexpr std::string_view object_meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

Json parse_definitions() {
  std::string text;
  for (unsigned long i = 0; i < schema_piece_count; ++i) text += schema_pieces[i];
  return text::parse_json(text).value_or(Json::object());
}

class Finder {
 public:
  explicit Finder(std::size_t most) : most_(most) {}

  void walk(const Json& given, const Json& value, const std::string& path) {
    const Json& rule = resolved_schema(given);
    if (found.size() >= most_ || !rule.is_object()) return;
    if (value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i) walk(rule["items"], value[i], fmt::format("{}[{}]", path, i));
      return;
    }
    if (!value.is_object()) return;
    const bool open = rule["x-kubernetes-preserve-unknown-fields"].as_bool() || rule["additionalProperties"].as_bool() ||
                      (!rule.contains("properties") && !rule.contains("additionalProperties"));
    const bool embedded = rule["x-kubernetes-embedded-resource"].as_bool();
    for (const auto& member : value.members()) {
      const std::string at = path.empty() ? std::string(member.key()) : fmt::format("{}.{}", path, member.key());
      if (const Json* inner = rule["properties"].find(member.key())) walk(*inner, member.value, at);
      else if (rule["additionalProperties"].is_object()) walk(rule["additionalProperties"], member.value, at);
      else if (!open && !(embedded && (member.key() == "apiVersion" || member.key() == "kind" || member.key() == "metadata"))) found.push_back(at);
      if (found.size() >= most_) return;
    }
  }

  std::vector<std::string> found;

 private:
  const std::size_t most_;
};

}  // namespace

const Json& schema_definitions() {
  static const Json definitions = parse_definitions();
  return definitions;
}

std::string schema_name(std::string_view group, std::string_view version, std::string_view kind) {
  std::string name;
  if (group == "apiextensions.k8s.io") name = fmt::format("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{}.{}", version, kind);
  else name = fmt::format("io.k8s.api.{}.{}.{}", group.empty() ? "core" : group.substr(0, group.find('.')), version, kind);
  return schema_definitions().contains(name) ? name : std::string();
}

const Json& resolved_schema(const Json& rule) {
  static const Json none;
  const Json* now = &rule;
  for (int hops = 0; hops < 8; ++hops) {
    const Json& reference = (*now)["$ref"].is_string() ? (*now)["$ref"] : (*now)["allOf"][0]["$ref"];
    const std::string_view target = reference.as_string();
    if (target.empty()) return *now;
    if (!target.starts_with(reference_prefix)) return none;
    now = &schema_definitions()[target.substr(reference_prefix.size())];
  }
  return none;
}

std::vector<std::string> unknown_fields(const Json& rule, const Json& object, std::size_t most) {
  Finder finder(most);
  const Json& metadata = schema_definitions()[object_meta];
  const Json root = rule["$ref"].is_string() ? resolved_schema(rule) : rule;
  Json properties = root["properties"].is_object() ? root["properties"] : Json::object();
  const Json text = Json::object({{"type", "string"}});
  if (metadata.is_object()) properties = properties.with("metadata", metadata);
  else if (!properties.contains("metadata")) properties = properties.with("metadata", Json::object());
  finder.walk(root.with("properties", properties.with("apiVersion", text).with("kind", text)), object, "");
  return finder.found;
}

}  // namespace slipway::kube
