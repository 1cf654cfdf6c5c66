// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cluster/controllers/controllers.h"
#include "cluster/controllers/endpoint_slice_plan.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;

// A Service's selector is a plain map of labels; an empty one selects nothing: its slices are somebody else's.
bool selects(const Json& service, const Json& pod) {
  return matches_selector(Json::object({{"matchLabels", service["spec"]["selector"]}}), pod["metadata"]["labels"]);
}

class EndpointSlices final {
 public:
  explicit EndpointSlices(kube::Manager& manager)
      : manager_(manager), services_(manager.informer(kube::resources::services)), pods_(manager.informer(kube::resources::pods)),
        slices_(manager.informer(kube::resources::endpoint_slices)) {}

  Result<kube::Next> reconcile(const ObjectKey& key) {
    const Json service = services_.get(key);
    if (service.is_null() || service["spec"]["selector"].empty() || !service["metadata"]["deletionTimestamp"].is_null()) return kube::Next::done();
    std::vector<PodView> pods;
    for (const Json& pod : pods_.list(key.ns))
      if (selects(service, pod)) pods.push_back(read_pod(pod));
    std::vector<Json> present = slices_.owned_by(service["metadata"]["uid"].as_string());
    for (const Json& wanted : plan_endpoint_slices(service, pods)) TRY(ensure(wanted, present));
    for (const Json& left : present) {
      auto removed = manager_.client().remove(kube::resources::endpoint_slices, kube::key_of(left));
      if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(std::move(removed.error()));
    }
    return kube::Next::done();
  }

 private:
  // Takes the slice out of `present` where it is.
  Result<> ensure(const Json& wanted, std::vector<Json>& present) {
    const auto found = std::ranges::find_if(present, [&](const Json& one) { return one["metadata"]["name"] == wanted["metadata"]["name"]; });
    if (found == present.end()) {
      auto created = manager_.client().create(kube::resources::endpoint_slices, wanted);
      if (created) slices_.observed(*created);
      return created ? Result<>{} : std::unexpected(std::move(created.error()));
    }
    const Json now = *found;
    present.erase(found);
    if (now["endpoints"] == wanted["endpoints"] && now["ports"] == wanted["ports"] && now["metadata"]["labels"] == wanted["metadata"]["labels"]) return {};
    Json updated = now.with("endpoints", wanted["endpoints"]).with("ports", wanted["ports"]);
    updated = updated.with_path({"metadata", "labels"}, wanted["metadata"]["labels"]);
    slices_.observed(TRY(manager_.client().update(kube::resources::endpoint_slices, updated)));
    return {};
  }

  kube::Manager& manager_;
  kube::Informer& services_;
  kube::Informer& pods_;
  kube::Informer& slices_;
};

// What a slice says of a pod; other changes of it need no look.
Json relevant(const Json& pod) {
  if (pod.is_null()) return {};
  return Json::array({pod["metadata"]["labels"], pod["metadata"]["deletionTimestamp"], pod["status"]["podIP"], pod["status"]["phase"],
                      find_condition(pod["status"]["conditions"], "Ready")["status"]});
}

}  // namespace

void register_endpoint_slices(kube::Manager& manager) {
  const auto state = std::make_shared<EndpointSlices>(manager);
  auto& controller = manager.controller("endpointslice", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  auto& services = manager.informer(kube::resources::services);
  services.on_change([&controller](const Json& before, const Json& after) { controller.enqueue(kube::key_of(after.is_null() ? before : after)); });
  manager.informer(kube::resources::endpoint_slices).on_change([&controller](const Json& before, const Json& after) {
    const Json& object = after.is_null() ? before : after;
    const Json reference = kube::controller_of(object);
    if (reference["kind"].as_string() == "Service") controller.enqueue({kube::key_of(object).ns, reference["name"].str()});
  });
  manager.informer(kube::resources::pods).on_change([&controller, &services](const Json& before, const Json& after) {
    if (relevant(before) == relevant(after)) return;
    const std::string ns = kube::key_of(after.is_null() ? before : after).ns;
    for (const Json& service : services.list(ns))
      if (selects(service, before) || selects(service, after)) controller.enqueue(kube::key_of(service));
  });
}

}  // namespace slipway::cluster
