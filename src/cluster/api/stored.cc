// SPDX-License-Identifier: Apache-2.0
// Objects at rest: JSON that begins with apiVersion, kind and metadata, and metadata with the resourceVersion, so that
// the store can write the revision into the bytes and a list is made of bytes without parsing them.
#include <fmt/format.h>

#include "cluster/api/operations.h"

namespace slipway::api {
namespace {

constexpr std::string_view mark = R"("resourceVersion":"")";

}  // namespace

store::Write to_write(const ResourceInfo& resource, const Json& object) {
  std::vector<text::JsonMember> metadata;
  metadata.emplace_back("resourceVersion", "");
  for (const auto& member : object["metadata"].members())
    if (member.key() != "resourceVersion") metadata.push_back(member);
  std::vector<text::JsonMember> members;
  // Both groups of events are kept as the core one.
  const bool event = resource.id.group == "events.k8s.io";
  members.emplace_back("apiVersion", event ? Json("v1") : object["apiVersion"]);
  members.emplace_back("kind", object["kind"]);
  members.emplace_back("metadata", Json::object(std::move(metadata)));
  for (const auto& member : object.members())
    if (member.key() != "apiVersion" && member.key() != "kind" && member.key() != "metadata") members.push_back(member);
  store::Write out;
  const Json& meta = object["metadata"];
  out.key = resource.storage_key(resource.id.namespaced ? meta["namespace"].as_string() : "", meta["name"].as_string());
  out.value = to_json(Json::object(std::move(members)));
  out.revision_at = out.value.find(mark) + mark.size() - 1;
  return out;
}

Json from_stored(const store::Object& object) { return text::parse_json(object.value, {.depth = 200}).value_or(Json()); }

std::string list_prefix(const ResourceInfo& resource, std::string_view ns) {
  return resource.id.namespaced && !ns.empty() ? resource.storage_key(ns, "") : resource.storage_prefix();
}

std::string shown(const ResourceInfo& resource, const store::Object& object) {
  const std::string head = fmt::format(R"({{"apiVersion":"{}",)", resource.id.api_version());
  return object.value.starts_with(head) ? object.value : to_json(as_shown(resource, object));
}

Json as_shown(const ResourceInfo& resource, const store::Object& object) {
  Json out = from_stored(object).with("apiVersion", resource.id.api_version());
  // The newer group names some fields of an event otherwise.
  if (resource.id.group == "events.k8s.io") {
    if (out.contains("involvedObject")) out = out.with("regarding", out["involvedObject"]).without("involvedObject");
    if (out.contains("message")) out = out.with("note", out["message"]).without("message");
  }
  return out;
}

}  // namespace slipway::api
