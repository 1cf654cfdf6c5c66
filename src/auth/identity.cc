// SPDX-License-Identifier: Apache-2.0
#include "auth/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace slipway::auth {
namespace {

constexpr std::string_view account_prefix = "system:serviceaccount:";

template <std::size_t N>
bool one_of(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

constexpr std::array<std::string_view, 5> open_paths{"/livez", "/readyz", "/healthz", "/version", "/version/"};
constexpr std::array<std::string_view, 3> reads{"get", "list", "watch"};

bool is_discovery(std::string_view path) {
  return path == "/api" || path == "/apis" || path.starts_with("/api/") || path.starts_with("/apis/") ||
         path.starts_with("/openapi/");
}

bool asks_about_self(const Attributes& a) {
  return a.verb == "create" && ((a.group == "authorization.k8s.io" && a.resource.starts_with("selfsubject")) ||
                                (a.group == "authentication.k8s.io" && a.resource == "selfsubjectreviews"));
}

bool node_may(const Attributes& a) {
  constexpr std::array<std::string_view, 7> readable{"pods",     "services",   "endpointslices", "configmaps",
                                                     "secrets",  "namespaces", "serviceaccounts"};
  constexpr std::array<std::string_view, 4> own{"nodes", "events", "leases", "csinodes"};
  if (one_of(own, a.resource)) return true;
  if (a.group == "slipway.dev" && a.resource == "imagebuilds") return one_of(reads, a.verb) || a.subresource == "status";
  if (a.resource == "serviceaccounts" && a.subresource == "token") return a.verb == "create";
  if (a.resource == "tokenreviews" || a.resource == "subjectaccessreviews") return a.verb == "create";
  // Image builds are carried out by the node, as pods are.
  if (a.group == "slipway.dev" && a.resource == "imagebuilds")
    return a.subresource == "status" || (a.subresource.empty() && one_of(reads, a.verb));
  if (a.resource == "pods" && (a.subresource == "status" || a.verb == "delete" || a.verb == "create")) return true;
  return one_of(readable, a.resource) && a.subresource.empty() && one_of(reads, a.verb);
}

// A tenant is a namespace. What mints credentials or binds pods to nodes is not the tenant's.
bool tenant_may(std::string_view home, const Attributes& a) {
  return !home.empty() && a.ns == home && a.subresource != "token" && a.subresource != "binding" &&
         a.subresource != "finalize" && !(a.resource == "namespaces" && !one_of(reads, a.verb));
}

std::string_view home_of(const Identity& identity) {
  std::string_view user = identity.user;
  if (!user.starts_with(account_prefix)) return {};
  user.remove_prefix(account_prefix.size());
  return user.substr(0, user.find(':'));
}

}  // namespace

bool Identity::in_group(std::string_view group) const { return std::ranges::find(groups, group) != groups.end(); }

Identity anonymous() { return {"system:anonymous", {"system:unauthenticated"}, {}}; }
Identity administrator() { return {"kubernetes-admin", {"system:masters", "system:authenticated"}, {}}; }
Identity controller(std::string_view name) {
  return {fmt::format("slipway:controller:{}", name), {"slipway:controllers", "system:authenticated"}, {}};
}
Identity node(std::string_view name) {
  return {fmt::format("system:node:{}", name), {"system:nodes", "system:authenticated"}, {}};
}
Identity service_account(std::string_view ns, std::string_view name) {
  return {fmt::format("{}{}:{}", account_prefix, ns, name),
          {"system:serviceaccounts", fmt::format("system:serviceaccounts:{}", ns), "system:authenticated"},
          {}};
}

Decision FixedRoles::decide(const Identity& identity, const Attributes& a) const {
  if (!a.path.empty() && a.verb == "get" && one_of(open_paths, a.path)) return {true, "open to everybody"};
  if (identity.anonymous() || !identity.in_group("system:authenticated")) return {false, "not authenticated"};
  if (identity.in_group("system:masters")) return {true, "administrator"};
  if (identity.in_group("slipway:controllers")) return {true, "controller"};
  if (!a.path.empty()) return {a.verb == "get" && is_discovery(a.path), "discovery"};
  if (asks_about_self(a)) return {true, "about itself"};
  if (identity.in_group("system:nodes") && node_may(a)) return {true, "node"};
  if (tenant_may(home_of(identity), a)) return {true, "tenant of the namespace"};
  return {false, "no role allows it"};
}

}  // namespace slipway::auth
