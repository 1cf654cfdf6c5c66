// SPDX-License-Identifier: Apache-2.0
// Deletion: preconditions, finalizers, propagation, the grace of pods.
#include <fmt/format.h>

#include "base/strings.h"
#include "cluster/api/operations.h"
#include "cluster/api/patches.h"

namespace slipway::api {
namespace {

Json with_finalizer(const Json& object, const char* name) {
  const Json list = object["metadata"]["finalizers"].is_array() ? object["metadata"]["finalizers"] : Json::array();
  for (const Json& one : list.items())
    if (one.as_string() == name) return object;
  return object.with_path({"metadata", "finalizers"}, list.with_item(name));
}

std::unexpected<Failure> precondition(const ResourceInfo& resource, const Json& current, const char* what, const Json& wanted, const Json& found) {
  return std::unexpected(Failure(409, "Conflict", fmt::format("Operation cannot be fulfilled on {} \"{}\": the {} in the precondition ({}) does not match the {} in record ({}). The object might have been deleted and then recreated", resource.qualified(), current["metadata"]["name"].as_string(), what, wanted.as_string(), what, found.as_string())));
}

Json options_of(const Request& request, const Json& body) {
  Json options = body.is_object() ? body : Json::object();
  if (const auto policy = request.param("propagationPolicy"); !policy.empty()) options = options.with("propagationPolicy", policy);
  if (const auto grace = parse_int(request.param("gracePeriodSeconds"))) options = options.with("gracePeriodSeconds", *grace);
  return options;
}

}  // namespace

Answer<Json> Operations::erase(const ResourceInfo& resource, const Json& current) {
  store::Write write = to_write(resource, current);
  write.change = store::Change::remove;
  write.expected = static_cast<std::uint64_t>(parse_int(current["metadata"]["resourceVersion"].as_string()).value_or(0));
  const auto erased = store_.write(std::move(write));
  if (!erased && erased.error().code == ErrorCode::conflict) return std::unexpected(Failure(409, "Conflict", erased.error().message));
  if (!erased) return std::unexpected(Failure(erased.error()));
  after_change(resource, current, {});
  return from_stored(**erased);
}

// The object as it is afterwards; it is gone where it has no deletionTimestamp.
Answer<Json> Operations::remove_object(const ResourceInfo& resource, const Json& current, const Json& options, bool dry_run) {
  const Json& metadata = current["metadata"];
  const Json& wanted = options["preconditions"];
  if (!wanted["uid"].as_string().empty() && wanted["uid"] != metadata["uid"]) return precondition(resource, current, "UID", wanted["uid"], metadata["uid"]);
  if (!wanted["resourceVersion"].as_string().empty() && wanted["resourceVersion"] != metadata["resourceVersion"])
    return precondition(resource, current, "ResourceVersion", wanted["resourceVersion"], metadata["resourceVersion"]);
  if (dry_run) return current.without_path({"metadata", "deletionTimestamp"});
  Json next = current;
  const std::string policy = options["propagationPolicy"].str();
  if (policy == "Foreground") next = with_finalizer(next, "foregroundDeletion");
  if (policy == "Orphan") next = with_finalizer(next, "orphan");

  std::int64_t grace = 0;
  const bool pod = resource.id.kind == "Pod" && !resource.custom;
  const std::string phase = current["status"]["phase"].str();
  // What runs nowhere needs no time to stop.
  if (pod && !current["spec"]["nodeName"].as_string().empty() && phase != "Succeeded" && phase != "Failed")
    grace = options["gracePeriodSeconds"].as_int(current["spec"]["terminationGracePeriodSeconds"].as_int(30));
  const bool marked = metadata.contains("deletionTimestamp");
  const bool held = !next["metadata"]["finalizers"].empty() || !next["spec"]["finalizers"].empty();
  if (grace <= 0 && !held) return TRY(erase(resource, current)).without_path({"metadata", "deletionTimestamp"});
  // A second request may only shorten the time.
  if (marked && (!pod || grace >= metadata["deletionGracePeriodSeconds"].as_int())) return next == current ? current : store_change(resource, current, next);
  next = next.with_path({"metadata", "deletionTimestamp"}, format_rfc3339(clock_.now() + std::chrono::seconds(grace)));
  next = next.with_path({"metadata", "deletionGracePeriodSeconds"}, grace);
  if (next["metadata"].contains("generation")) next = next.with_path({"metadata", "generation"}, next["metadata"]["generation"].as_int() + 1);
  if (resource.id.kind == "Namespace") next = next.with_path({"status", "phase"}, "Terminating");
  return store_change(resource, current, next);
}

Answer<Reply> Operations::remove(const Request& request, const ResourceInfo& resource) {
  const Json body = request.body.empty() ? Json() : TRY(parse_body(request.content_type, request.body));
  const Json options = options_of(request, body);
  const bool dry_run = request.param("dryRun") == "All" || !options["dryRun"].empty();
  for (int attempt = 1;; ++attempt) {
    const Json current = TRY(read(resource, request.route.ns, request.route.name));
    const auto after = remove_object(resource, current, options, dry_run);
    if (!after && after.error().reason == "Conflict" && options["preconditions"].is_null() && attempt < 20) continue;
    TRY(after);
    if ((*after)["metadata"].contains("deletionTimestamp")) return Reply{200, to_json(*after)};
    const Json details = Json::object({{"name", request.route.name}, {"group", resource.id.group}, {"kind", resource.id.plural}, {"uid", current["metadata"]["uid"]}});
    return Reply{200, to_json(Json::object({{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Json::object()}, {"status", "Success"}, {"details", details}}))};
  }
}

Answer<Reply> Operations::remove_collection(const Request& request, const ResourceInfo& resource) {
  const Selectors selectors = TRY(Selectors::parse(request.param("labelSelector"), request.param("fieldSelector")));
  const Json body = request.body.empty() ? Json() : TRY(parse_body(request.content_type, request.body));
  const Json options = options_of(request, body);
  const std::string prefix = list_prefix(resource, request.route.ns);
  std::vector<Json> found;
  store_.pin().objects.scan(prefix, [&](const std::string& key, const store::ObjectPointer& object) {
    if (!key.starts_with(prefix)) return false;
    if (Json one = from_stored(*object); selectors.match(one)) found.push_back(std::move(one));
    return true;
  });
  for (const Json& one : found) {
    const auto removed = remove_object(resource, one, options, request.param("dryRun") == "All");
    if (!removed && removed.error().code != 404) return std::unexpected(removed.error());
  }
  return Reply{200, to_json(Json::object({{"kind", resource.list_kind()}, {"apiVersion", resource.id.api_version()}, {"metadata", Json::object()}, {"items", Json::array(std::move(found))}}))};
}

}  // namespace slipway::api
