// SPDX-License-Identifier: Apache-2.0
// Empties a namespace that is being deleted, then takes the finalizer "kubernetes" away, so that the API lets it go.
#include <fmt/format.h>

#include "cluster/controllers/controllers.h"
#include "kube/discovery.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;
using text::Json;

class Namespaces final {
 public:
  explicit Namespaces(kube::Manager& manager) : manager_(manager), namespaces_(manager.informer(kube::resources::namespaces)) {}

  Result<kube::Next> reconcile(const ObjectKey& key) {
    const Json object = namespaces_.get(key);
    if (object.is_null() || object["metadata"]["deletionTimestamp"].is_null()) return kube::Next::done();
    std::size_t left = 0;
    for (const kube::Resource& resource : TRY(kube::discover(manager_.client())))
      if (resource.namespaced) left += TRY(empty(resource, key.name));
    if (left > 0) return kube::Next::after(std::chrono::milliseconds(200));  // finalizers and pods that still stop
    if (object["spec"]["finalizers"].empty()) return kube::Next::done();
    auto finalized = manager_.client().update(kube::resources::namespaces, object.with_path({"spec", "finalizers"}, Json::array()), "finalize");
    if (!finalized && finalized.error().code != ErrorCode::not_found) return std::unexpected(std::move(finalized.error()));
    return kube::Next::done();
  }

 private:
  // Deletes what is there; how many were there.
  Result<std::size_t> empty(const kube::Resource& resource, const std::string& ns) {
    auto list = manager_.client().list(resource, {.ns = ns});
    if (!list && list.error().code == ErrorCode::not_found) return std::size_t{0};
    if (!list) return std::unexpected(std::move(list.error()));
    for (const Json& item : list->items) {
      if (!item["metadata"]["deletionTimestamp"].is_null()) continue;
      auto removed = manager_.client().remove(resource, kube::key_of(item), {.propagation = kube::Propagation::background});
      if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(std::move(removed.error()));
    }
    return list->items.size();
  }

  kube::Manager& manager_;
  kube::Informer& namespaces_;
};

}  // namespace

void register_namespaces(kube::Manager& manager) {
  const auto state = std::make_shared<Namespaces>(manager);
  auto& controller = manager.controller("namespace", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  manager.informer(kube::resources::namespaces).on_change([&controller](const Json&, const Json& after) {
    if (!after["metadata"]["deletionTimestamp"].is_null()) controller.enqueue(kube::key_of(after));
  });
}

}  // namespace slipway::cluster
