// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/open_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/digest.h"
#include "base/strings.h"
#include "kube/schema.h"

namespace slipway::api {
namespace {

constexpr std::string_view v3_prefix = "#/components/schemas/";

std::string place_of(const ResourceInfo& one) { return one.id.group.empty() ? "api/" + one.id.version : "apis/" + one.id.api_version(); }

Json kind_mark(const kube::Resource& id) { return Json::object({{"group", id.group}, {"version", id.version}, {"kind", id.kind}}); }

// "dev.slipway.v1alpha1.App": a definition's name has the group's parts the other way round.
std::string definition_name(const ResourceInfo& one) {
  if (!one.custom)
    if (std::string known = kube::schema_name(one.id.group, one.id.version, one.id.kind); !known.empty()) return known;
  auto parts = split(one.id.group, '.');
  std::ranges::reverse(parts);
  std::string out;
  for (const std::string_view part : parts)
    if (!part.empty()) out += std::string(part) + ".";
  return out + one.id.version + "." + one.id.kind;
}

Json custom_schema(const ResourceInfo& one) {
  Json schema = one.schema.is_object() ? one.schema : Json::object({{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}});
  Json properties = schema["properties"].is_object() ? schema["properties"] : Json::object();
  constexpr std::string_view meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
  const Json text = Json::object({{"type", "string"}});
  const Json metadata = kube::schema_definitions().contains(meta) ? Json::object({{"allOf", Json::array({Json::object({{"$ref", std::string(v3_prefix) + std::string(meta)}})})}}) : Json::object({{"type", "object"}});
  properties = properties.with("apiVersion", text).with("kind", text).with("metadata", metadata);
  return schema.with("properties", properties);
}

// What a schema refers to, and what that refers to.
void collect(const Json& rule, std::set<std::string>& names) {
  if (rule.is_array())
    for (const Json& one : rule.items()) collect(one, names);
  for (const auto& member : rule.members()) {
    if (member.key() == "$ref" && member.value.as_string().starts_with(v3_prefix)) {
      const std::string name(member.value.as_string().substr(v3_prefix.size()));
      if (names.insert(name).second) collect(kube::schema_definitions()[name], names);
    } else {
      collect(member.value, names);
    }
  }
}

Json components_of(const std::vector<ResourcePointer>& resources) {
  std::map<std::string, Json> out;
  std::set<std::string> names;
  for (const ResourcePointer& one : resources) {
    const std::string name = definition_name(*one);
    const Json& known = kube::schema_definitions()[name];
    const Json schema = known.is_object() && !one->custom ? known : custom_schema(*one);
    collect(schema, names);
    out[name] = schema.with("x-kubernetes-group-version-kind", Json::array({kind_mark(one->id)}));
  }
  for (const std::string& name : names)
    if (!out.contains(name)) out[name] = kube::schema_definitions()[name];
  std::vector<text::JsonMember> members;
  for (auto& [name, schema] : out) members.emplace_back(name, schema);
  return Json::object(std::move(members));
}

Json parameter(std::string_view name) {
  return Json::object({{"name", name}, {"in", "query"}, {"schema", Json::object({{"type", "string"}, {"uniqueItems", true}})}});
}

Json operation(const ResourceInfo& one, std::string_view action, bool writes) {
  Json parameters = Json::array({parameter("pretty")});
  if (writes)
    for (const char* name : {"dryRun", "fieldManager", "fieldValidation"}) parameters = parameters.with_item(parameter(name));
  if (action == "patch") parameters = parameters.with_item(parameter("force"));
  const Json schema = Json::object({{"$ref", std::string(v3_prefix) + definition_name(one)}});
  const Json content = Json::object({{"application/json", Json::object({{"schema", schema}})}});
  Json out = Json::object({{"parameters", parameters}, {"responses", Json::object({{"200", Json::object({{"description", "OK"}, {"content", content}})}})},
                           {"x-kubernetes-action", action}, {"x-kubernetes-group-version-kind", kind_mark(one.id)}});
  if (action == "post" || action == "put") out = out.with("requestBody", Json::object({{"content", content}}));
  return out;
}

void add_paths(const ResourceInfo& one, std::vector<text::JsonMember>& paths) {
  const std::string base = fmt::format("/{}/{}{}", place_of(one), one.id.namespaced ? "namespaces/{namespace}/" : "", one.id.plural);
  Json collection = Json::object({{"post", operation(one, "post", true)}});
  if (one.stored) collection = collection.with("get", operation(one, "list", false)).with("delete", operation(one, "deletecollection", true));
  paths.emplace_back(base, collection);
  if (!one.stored) return;
  paths.emplace_back(base + "/{name}", Json::object({{"get", operation(one, "get", false)}, {"put", operation(one, "put", true)},
                                                     {"patch", operation(one, "patch", true)}, {"delete", operation(one, "delete", true)}}));
}

// Protobuf on the wire: a tag, a length, bytes.
std::string bytes_field(unsigned number, std::string_view bytes) {
  std::string out;
  const auto varint = [&](std::size_t value) {
    for (; value > 0x7F; value >>= 7U) out += static_cast<char>((value & 0x7FU) | 0x80U);
    out += static_cast<char>(value);
  };
  varint(number << 3U | 2U);
  varint(bytes.size());
  return out + std::string(bytes);
}

// Version 2 keeps definitions elsewhere and knows no oneOf.
Json as_v2(const Json& rule) {
  if (rule.is_array()) {
    std::vector<Json> out;
    for (const Json& one : rule.items()) out.push_back(as_v2(one));
    return Json::array(std::move(out));
  }
  if (!rule.is_object()) return rule;
  if (rule["allOf"].size() == 1 && rule["allOf"][0]["$ref"].is_string())
    return as_v2(rule.without("allOf").with("$ref", rule["allOf"][0]["$ref"]));
  std::vector<text::JsonMember> out;
  for (const auto& member : rule.members()) {
    if (member.key() == "$ref" && member.value.as_string().starts_with(v3_prefix))
      out.emplace_back("$ref", "#/definitions/" + std::string(member.value.as_string().substr(v3_prefix.size())));
    else if (member.key() == "oneOf" || member.key() == "anyOf") out.emplace_back("type", "string");
    else out.emplace_back(member.key(), as_v2(member.value));
  }
  return Json::object(std::move(out));
}

}  // namespace

Json open_api_index(const std::vector<ResourcePointer>& resources) {
  Json paths = Json::object();
  for (const ResourcePointer& one : resources) {
    const std::string place = place_of(*one);
    if (paths.contains(place)) continue;
    std::string what;  // clients keep a document for as long as its hash stays
    for (const ResourcePointer& other : resources)
      if (place_of(*other) == place) what += other->id.kind + to_json(other->schema);
    paths = paths.with(place, Json::object({{"serverRelativeURL", fmt::format("/openapi/v3/{}?hash={}", place, sha256_hex(what))}}));
  }
  return Json::object({{"paths", paths}});
}

Json open_api_group(const std::vector<ResourcePointer>& resources, std::string_view place) {
  std::vector<ResourcePointer> here;
  std::vector<text::JsonMember> paths;
  for (const ResourcePointer& one : resources)
    if (place_of(*one) == place) {
      here.push_back(one);
      add_paths(*one, paths);
    }
  if (here.empty()) return {};
  return Json::object({{"openapi", "3.0.0"}, {"info", Json::object({{"title", "Kubernetes"}, {"version", "v1.36.3"}})}, {"paths", Json::object(std::move(paths))},
                       {"components", Json::object({{"schemas", components_of(here)}})}});
}

Json open_api_v2(const std::vector<ResourcePointer>& resources) {
  std::vector<text::JsonMember> paths;
  for (const ResourcePointer& one : resources) {
    const std::string base = fmt::format("/{}/{}{}", place_of(*one), one->id.namespaced ? "namespaces/{namespace}/" : "", one->id.plural);
    const auto plain = [](std::string_view name) { return Json::object({{"name", name}, {"in", "query"}, {"type", "string"}}); };
    const Json patch = Json::object({{"parameters", Json::array({plain("fieldValidation"), plain("dryRun"), plain("fieldManager")})}, {"responses", Json::object()},
                                     {"x-kubernetes-action", "patch"}, {"x-kubernetes-group-version-kind", kind_mark(one->id)}});
    if (one->stored) paths.emplace_back(base + "/{name}", Json::object({{"patch", patch}}));
  }
  return Json::object({{"swagger", "2.0"}, {"info", Json::object({{"title", "Kubernetes"}, {"version", "v1.36.3"}})}, {"paths", Json::object(std::move(paths))},
                       {"definitions", as_v2(components_of(resources))}});
}

// Source: gnostic's OpenAPIv2.proto. Definitions are left to version 3: this one is asked whether fields are checked.
std::string open_api_v2_protobuf(const std::vector<ResourcePointer>& resources) {
  const std::string query = bytes_field(2, "query") + bytes_field(4, "fieldValidation") + bytes_field(6, "string");
  const std::string checked = bytes_field(8, bytes_field(1, bytes_field(2, bytes_field(3, query))));
  std::string paths;
  for (const ResourcePointer& one : resources) {
    if (!one->stored) continue;
    const std::string kind = fmt::format("group: '{}'\nversion: {}\nkind: {}\n", one->id.group, one->id.version, one->id.kind);
    const std::string mark = bytes_field(13, bytes_field(1, "x-kubernetes-group-version-kind") + bytes_field(2, bytes_field(2, kind)));
    const std::string path = fmt::format("/{}/{}{}/{{name}}", place_of(*one), one->id.namespaced ? "namespaces/{namespace}/" : "", one->id.plural);
    paths += bytes_field(2, bytes_field(1, path) + bytes_field(2, bytes_field(8, checked + mark)));
  }
  return bytes_field(1, "2.0") + bytes_field(2, bytes_field(1, "Kubernetes") + bytes_field(2, "v1.36.3")) + bytes_field(8, paths) + bytes_field(9, "");
}

}  // namespace slipway::api
