// SPDX-License-Identifier: Apache-2.0
// Every namespace has the ServiceAccount "default" and, where the plane's CA is known, the ConfigMap kube-root-ca.crt.
#include "cluster/controllers/controllers.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;
using text::Json;

class ServiceAccounts final {
 public:
  ServiceAccounts(kube::Manager& manager, std::string ca_pem)
      : manager_(manager), namespaces_(manager.informer(kube::resources::namespaces)), accounts_(manager.informer(kube::resources::service_accounts)),
        ca_pem_(std::move(ca_pem)) {}

  // The key names a namespace.
  Result<kube::Next> reconcile(const ObjectKey& key) {
    const Json ns = namespaces_.get(key);
    if (ns.is_null() || !ns["metadata"]["deletionTimestamp"].is_null()) return kube::Next::done();
    if (accounts_.get({key.name, "default"}).is_null()) TRY(ensure(kube::resources::service_accounts, metadata_only("v1", "ServiceAccount", key.name, "default")));
    if (!ca_pem_.empty()) TRY(publish_ca(key.name));
    return kube::Next::done();
  }

 private:
  static Json metadata_only(std::string_view version, std::string_view kind, const std::string& ns, std::string_view name) {
    return Json::object({{"apiVersion", version}, {"kind", kind}, {"metadata", Json::object({{"name", name}, {"namespace", ns}})}});
  }

  Result<> ensure(const kube::Resource& resource, const Json& object) {
    auto created = manager_.client().create(resource, object);
    if (!created && created.error().code != ErrorCode::already_exists) return std::unexpected(std::move(created.error()));
    return {};
  }

  Result<> publish_ca(const std::string& ns) {
    const Json wanted = metadata_only("v1", "ConfigMap", ns, "kube-root-ca.crt").with("data", Json::object({{"ca.crt", ca_pem_}}));
    const auto present = manager_.client().get(kube::resources::config_maps, {ns, "kube-root-ca.crt"});
    if (!present && present.error().code == ErrorCode::not_found) return ensure(kube::resources::config_maps, wanted);
    if (!present) return std::unexpected(present.error());
    if ((*present)["data"]["ca.crt"].as_string() == ca_pem_) return {};
    TRY(manager_.client().patch(kube::resources::config_maps, {ns, "kube-root-ca.crt"}, kube::PatchType::merge, Json::object({{"data", wanted["data"]}})));
    return {};
  }

  kube::Manager& manager_;
  kube::Informer& namespaces_;
  kube::Informer& accounts_;
  const std::string ca_pem_;
};

}  // namespace

void register_service_accounts(kube::Manager& manager, std::string ca_pem) {
  const auto state = std::make_shared<ServiceAccounts>(manager, std::move(ca_pem));
  auto& controller = manager.controller("serviceaccount", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  manager.informer(kube::resources::namespaces).on_change([&controller](const Json&, const Json& after) {
    if (!after.is_null()) controller.enqueue({"", kube::key_of(after).name});
  });
  manager.informer(kube::resources::service_accounts).on_change([&controller](const Json& before, const Json& after) {
    if (after.is_null()) controller.enqueue({"", kube::key_of(before).ns});
  });
}

}  // namespace slipway::cluster
