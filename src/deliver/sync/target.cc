// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/target.h"

#include <fmt/format.h>

#include <algorithm>

#include "kube/discovery.h"

namespace slipway::deliver {
namespace {

constexpr const char* field_manager = "slipway";

// The kinds whose drift is seen by a watch; others are compared at each look.
const std::vector<kube::Resource>& watched_kinds() {
  using namespace kube::resources;
  static const std::vector<kube::Resource> kinds{deployments, services, config_maps, secrets, service_accounts};
  return kinds;
}

bool is_of(const kube::Resource& resource, const Json& object) { return resource.kind == object["kind"].as_string() && resource.api_version() == object["apiVersion"].as_string(); }

// A change of status matters for health, one of spec or metadata for drift; a heartbeat that changes neither does not.
bool matters(const Json& before, const Json& after) {
  return before["metadata"]["generation"] != after["metadata"]["generation"] || before["spec"] != after["spec"] || before["data"] != after["data"] ||
         before["status"] != after["status"] || before["metadata"]["labels"] != after["metadata"]["labels"] || before.is_null() || after.is_null();
}

}  // namespace

Target::Target(kube::Manager& manager) : manager_(manager), events_(manager, "slipway-sync") {
  for (const auto& kind : watched_kinds()) watched_.emplace_back(kind, &manager.informer(kind));
}

void Target::on_owned_change(std::function<void(const kube::ObjectKey&)> callback) {
  for (auto& [kind, informer] : watched_)
    informer->on_change([callback](const Json& before, const Json& after) {
      const Json& object = after.is_null() ? before : after;
      const std::string app = object["metadata"]["labels"][desired::app_label].str();
      if (!app.empty() && matters(before, after)) callback({object["metadata"]["annotations"][desired::app_namespace_annotation].str(kube::key_of(object).ns), app});
    });
}

kube::Informer* Target::informer_of(const Json& object) {
  for (auto& [kind, informer] : watched_)
    if (is_of(kind, object)) return informer;
  return nullptr;
}

Result<kube::Resource> Target::resource_of(const Json& object) {
  for (const auto& [kind, informer] : watched_)
    if (is_of(kind, object)) return kind;
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const auto& resource : discovered_)
      if (is_of(resource, object)) return resource;
    if (attempt == 0) discovered_ = TRY(kube::discover(manager_.client()));
  }
  return fail(ErrorCode::not_found, fmt::format("no matches for kind \"{}\" in version \"{}\"", object["kind"].as_string(), object["apiVersion"].as_string()));
}

Result<Json> Target::live(const Json& object) {
  if (auto* informer = informer_of(object)) return informer->get(kube::key_of(object));
  const auto resource = resource_of(object);
  // Its definition may be part of the same set, and is applied before it.
  if (!resource && resource.error().code == ErrorCode::not_found) return Json();
  auto found = manager_.client().get(TRY(resource), kube::key_of(object));
  if (!found && found.error().code == ErrorCode::not_found) return Json();
  return found;
}

Result<desired::Plan> Target::plan(const desired::Set& set, const kube::ObjectKey& app, const std::string& ns, desired::Prune prune) {
  std::map<desired::ObjectId, Json> present;
  for (const auto& one : set.objects) present[desired::id_of(one.object)] = TRY(at(live(one.object), one.source));
  std::vector<Json> owned;
  for (auto& [kind, informer] : watched_)
    for (const Json& object : informer->list(ns)) {
      const Json& metadata = object["metadata"];
      const bool own = metadata["labels"][desired::app_label].as_string() == app.name && metadata["annotations"][desired::app_namespace_annotation].as_string() == app.ns;
      // What a controller made of ours (an EndpointSlice, a Secret) goes with its owner.
      if (own && metadata["ownerReferences"].empty()) owned.push_back(object.with("kind", kind.kind).with("apiVersion", kind.api_version()));
    }
  return desired::plan(set, present, owned, app.name, prune);
}

Result<> Target::carry_out(const desired::Plan& plan) {
  for (const auto& change : plan.apply) {
    const auto resource = TRY(at(resource_of(change.desired), change.source));
    auto applied = manager_.client().patch(resource, kube::key_of(change.desired), kube::PatchType::apply, change.desired, {.field_manager = field_manager, .force = true});
    if (!applied) return at(Result<>(std::unexpected(std::move(applied.error()))), change.source);
    if (auto* informer = informer_of(change.desired)) informer->observed(*applied);
  }
  for (const Json& object : plan.prune) {
    const auto removed = manager_.client().remove(TRY(resource_of(object)), kube::key_of(object), {.uid = object["metadata"]["uid"].str()});
    if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(removed.error());
  }
  return {};
}

desired::HealthReport Target::health(const desired::Set& set) {
  desired::HealthReport worst;
  for (const auto& one : set.objects) {
    const auto object = live(one.object);
    if (!object) return {desired::Health::progressing, object.error().to_string()};
    desired::HealthReport report = desired::health_of(*object);
    if (report.health <= worst.health) continue;
    report.message = fmt::format("{}: {}", desired::id_of(one.object).to_string(), report.message);
    worst = std::move(report);
  }
  return worst;
}

}  // namespace slipway::deliver
