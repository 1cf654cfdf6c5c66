// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/id.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <tuple>

#include "cd/kustomize/nodes.h"

namespace slipway::cd::kustomize {
namespace {

const std::map<std::string_view, int>& kind_ranks() {
  static const std::map<std::string_view, int> ranks = [] {
    constexpr std::string_view first[] = {
        "Namespace", "ResourceQuota", "StorageClass", "CustomResourceDefinition", "ServiceAccount", "PodSecurityPolicy", "Role", "ClusterRole",
        "RoleBinding", "ClusterRoleBinding", "ConfigMap", "Secret", "Endpoints", "Service", "LimitRange", "PriorityClass", "PersistentVolume",
        "PersistentVolumeClaim", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget"};
    std::map<std::string_view, int> out = {{"MutatingWebhookConfiguration", 1}, {"ValidatingWebhookConfiguration", 2}};
    int rank = -static_cast<int>(std::size(first));
    for (const auto kind : first) out[kind] = rank++;
    return out;
  }();
  return ranks;
}

}  // namespace

int default_rank(const Gvk& gvk) {
  const auto found = kind_ranks().find(gvk.kind);
  return found == kind_ranks().end() ? 0 : found->second;
}

namespace {

std::string order_key(const Gvk& gvk) {
  return fmt::format("{}_{}_{}", gvk.group.empty() ? "~G" : gvk.group, gvk.version.empty() ? "~V" : gvk.version, gvk.kind.empty() ? "~K" : gvk.kind);
}

// As of Kubernetes 1.21, which is what kustomize has built in.
const std::set<std::string_view>& cluster_scoped_kinds() {
  static const std::set<std::string_view> kinds = {
      "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration",
      "admissionregistration.k8s.io/v1beta1 MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1beta1 ValidatingWebhookConfiguration",
      "apiextensions.k8s.io/v1 CustomResourceDefinition", "apiextensions.k8s.io/v1beta1 CustomResourceDefinition",
      "apiregistration.k8s.io/v1 APIService", "apiregistration.k8s.io/v1beta1 APIService",
      "certificates.k8s.io/v1 CertificateSigningRequest", "certificates.k8s.io/v1beta1 CertificateSigningRequest",
      "flowcontrol.apiserver.k8s.io/v1beta1 FlowSchema", "flowcontrol.apiserver.k8s.io/v1beta1 PriorityLevelConfiguration",
      "networking.k8s.io/v1 IngressClass", "networking.k8s.io/v1beta1 IngressClass", "node.k8s.io/v1 RuntimeClass", "node.k8s.io/v1beta1 RuntimeClass",
      "policy/v1beta1 PodSecurityPolicy", "rbac.authorization.k8s.io/v1 ClusterRole", "rbac.authorization.k8s.io/v1 ClusterRoleBinding",
      "rbac.authorization.k8s.io/v1beta1 ClusterRole", "rbac.authorization.k8s.io/v1beta1 ClusterRoleBinding", "scheduling.k8s.io/v1 PriorityClass",
      "scheduling.k8s.io/v1beta1 PriorityClass", "storage.k8s.io/v1 CSIDriver", "storage.k8s.io/v1 CSINode", "storage.k8s.io/v1 StorageClass",
      "storage.k8s.io/v1 VolumeAttachment", "storage.k8s.io/v1beta1 CSIDriver", "storage.k8s.io/v1beta1 CSINode", "storage.k8s.io/v1beta1 StorageClass",
      "storage.k8s.io/v1beta1 VolumeAttachment", "v1 ComponentStatus", "v1 Namespace", "v1 Node", "v1 NodeProxyOptions", "v1 PersistentVolume"};
  return kinds;
}

}  // namespace

Gvk Gvk::of(std::string_view api_version, std::string_view kind) {
  const auto slash = api_version.find('/');
  if (slash == api_version.npos) return {"", std::string(api_version), std::string(kind)};
  return {std::string(api_version.substr(0, slash)), std::string(api_version.substr(slash + 1)), std::string(kind)};
}

Gvk Gvk::of(const text::YamlNode& object) {
  const YamlNode* api_version = object.find("apiVersion");
  const YamlNode* kind = object.find("kind");
  return of(api_version == nullptr ? std::string_view() : api_version->value, kind == nullptr ? std::string_view() : kind->value);
}

std::string Gvk::to_string() const {
  return fmt::format("{}.{}.{}", kind.empty() ? "[noKind]" : kind, version.empty() ? "[noVer]" : version, group.empty() ? "[noGrp]" : group);
}

bool Gvk::is_cluster_scoped() const { return cluster_scoped_kinds().contains(api_version() + " " + kind); }

bool is_before(const Gvk& a, const Gvk& b) {
  const int rank_a = default_rank(a), rank_b = default_rank(b);
  return rank_a != rank_b ? rank_a < rank_b : order_key(a) < order_key(b);
}

std::string ResId::effective_namespace() const {
  if (cluster_scoped) return std::string(no_namespace);
  return ns.empty() ? "default" : ns;
}

std::string ResId::key() const {
  const std::string where = effective_namespace();
  std::string out;
  out.reserve(where.size() + name.size() + gvk.group.size() + gvk.version.size() + gvk.kind.size() + 4);
  for (const std::string* part : {&where, &name, &gvk.group, &gvk.version, &gvk.kind}) (out += *part) += '\0';
  return out;
}

std::string ResId::to_string() const {
  return fmt::format("{}/{}.{}", gvk.to_string(), name.empty() ? "[noName]" : name, ns.empty() ? "[noNs]" : ns);
}

}  // namespace slipway::cd::kustomize
