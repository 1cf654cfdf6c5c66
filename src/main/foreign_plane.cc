// SPDX-License-Identifier: Apache-2.0
#include "main/foreign_plane.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "main/definitions.h"
#include "sandbox/netlink.h"

namespace slipway::app {
namespace {

using kube::Json;

constexpr const char* rbac_group = "rbac.authorization.k8s.io";
constexpr const char* service_network = "10.96.0.0/16";
constexpr std::chrono::seconds limit{60};
constexpr std::chrono::milliseconds pause{100};

kube::Resource rbac(const std::string& kind) {
  const std::string plural = to_lower(kind) + "s";
  return {rbac_group, "v1", plural, kind, !kind.starts_with("Cluster")};
}

Json rbac_object(const char* kind, const char* name, const char* ns) {
  Json metadata = Json::object({{"name", name}, {"labels", Json::object({{"app.kubernetes.io/managed-by", "slipway"}})}});
  if (*ns) metadata = metadata.with("namespace", ns);
  return Json::object({{"apiVersion", std::string(rbac_group) + "/v1"}, {"kind", kind}, {"metadata", metadata}});
}

Json rule(const char* group, std::vector<std::string> resources, std::vector<std::string> verbs) {
  return Json::object({{"apiGroups", Json::array({Json(group)})}, {"resources", Json::strings(resources)}, {"verbs", Json::strings(verbs)}});
}

Json binding(const char* kind, const char* name, const char* ns, const char* role_kind, const char* role, const char* group) {
  return rbac_object(kind, name, ns)
      .with("roleRef", Json::object({{"apiGroup", rbac_group}, {"kind", role_kind}, {"name", role}}))
      .with("subjects", Json::array({Json::object({{"apiGroup", rbac_group}, {"kind", "Group"}, {"name", group}})}));
}

// Tries again until it succeeds or the time is over; the last error is the answer then.
template <class Attempt>
auto persist(Executor& executor, std::stop_token stop, Attempt attempt) -> decltype(attempt()) {
  const Steady deadline = executor.clock().steady() + limit;
  for (;;) {
    auto outcome = attempt();
    if (outcome || executor.clock().steady() >= deadline || !executor.sleep(pause, stop)) return outcome;
  }
}

}  // namespace

std::vector<Json> plane_roles() {
  const std::vector<std::string> reads{"get", "list", "watch"};
  const Json node_rules = Json::array({rule("discovery.k8s.io", {"endpointslices"}, reads), rule("slipway.dev", {"imagebuilds"}, reads),
                                       rule("slipway.dev", {"imagebuilds/status"}, {"get", "update", "patch"})});
  const Json info_rules = Json::array({rule("", {"configmaps"}, {"get"}).with("resourceNames", Json::array({Json("slipway-info")}))});
  return {rbac_object("ClusterRole", "slipway-node", "").with("rules", node_rules),
          binding("ClusterRoleBinding", "slipway-node", "", "ClusterRole", "slipway-node", "system:nodes"),
          rbac_object("Role", "slipway-info", "kube-public").with("rules", info_rules),
          binding("RoleBinding", "slipway-info", "kube-public", "Role", "slipway-info", "system:authenticated"),
          binding("RoleBinding", "slipway-node-authentication", "kube-system", "Role", "extension-apiserver-authentication-reader", "system:nodes")};
}

Result<> apply_roles(kube::Client& client) {
  for (const Json& role : plane_roles())
    TRY(at(client.patch(rbac(role["kind"].str()), kube::key_of(role), kube::PatchType::apply, role, {.field_manager = "slipway", .force = true}),
           fmt::format("{} {}", role["kind"].as_string(), role["metadata"]["name"].as_string())));
  return {};
}

Result<> wait_until_served(kube::Client& client, Executor& executor, std::stop_token stop) {
  for (const Json& definition : definitions()) {
    const Json& spec = definition["spec"];
    const std::string path = fmt::format("/apis/{}/{}/{}?limit=1", spec["group"].as_string(), spec["versions"][std::size_t{0}]["name"].as_string(), spec["names"]["plural"].as_string());
    TRY(at(persist(executor, stop, [&] { return client.raw("GET", path); }), "waiting for the plane to serve " + definition["metadata"]["name"].str()));
  }
  return {};
}

Result<std::string> client_authority(kube::Client& client, Executor& executor, std::stop_token stop) {
  const kube::ObjectKey key{"kube-system", "extension-apiserver-authentication"};
  const Json map = TRY(at(persist(executor, stop, [&] { return client.get(kube::resources::config_maps, key); }), "ConfigMap " + key.to_string()));
  const std::string authority = map["data"]["client-ca-file"].str();
  if (authority.empty()) return fail(ErrorCode::invalid, fmt::format("ConfigMap {} names no client-ca-file: this plane takes no client certificates", key.to_string()));
  return authority;
}

Result<> check_service_network(kube::Client& client, Executor& executor, std::stop_token stop) {
  const Json service = TRY(persist(executor, stop, [&] { return client.get(kube::resources::services, {"default", "kubernetes"}); }));
  const auto address = TRY(sandbox::Ipv4::parse(service["spec"]["clusterIP"].str()));
  if (TRY(sandbox::Ipv4Range::parse(service_network)).contains(address)) return {};
  return fail(ErrorCode::invalid, fmt::format("this plane's Services are not in {} (the Service `kubernetes` has {}); the node serves no other range", service_network, address.to_string()));
}

}  // namespace slipway::app
