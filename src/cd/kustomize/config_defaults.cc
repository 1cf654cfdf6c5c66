// SPDX-License-Identifier: Apache-2.0
// The fields that kustomize's transformers touch without a configuration, as tables.
#include <fmt/format.h>

#include "base/strings.h"
#include "cd/kustomize/config.h"

namespace slipway::cd::kustomize {
namespace {

// "path kind kind…"; a kind is Kind, version/Kind, group/Kind or group/version/Kind, * any; "+" before a path: created.
constexpr std::string_view metadata_labels = R"(
+metadata/labels *
+spec/template/metadata/labels v1/ReplicationController Deployment ReplicaSet DaemonSet apps/StatefulSet batch/Job
+spec/jobTemplate/metadata/labels batch/CronJob
+spec/jobTemplate/spec/template/metadata/labels batch/CronJob
)";

constexpr std::string_view claim_labels = R"(
+spec/volumeClaimTemplates[]/metadata/labels apps/StatefulSet
)";

constexpr std::string_view selectors = R"(
+spec/selector v1/Service v1/ReplicationController
+spec/selector/matchLabels Deployment ReplicaSet DaemonSet apps/StatefulSet
spec/selector/matchLabels batch/Job policy/PodDisruptionBudget
spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels apps/Deployment apps/StatefulSet
spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels apps/Deployment apps/StatefulSet
spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels apps/Deployment apps/StatefulSet
spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels apps/Deployment apps/StatefulSet
spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels apps/Deployment apps/StatefulSet
spec/jobTemplate/spec/selector/matchLabels batch/CronJob
spec/podSelector/matchLabels networking.k8s.io/NetworkPolicy
spec/ingress/from/podSelector/matchLabels networking.k8s.io/NetworkPolicy
spec/egress/to/podSelector/matchLabels networking.k8s.io/NetworkPolicy
)";

constexpr std::string_view annotations = R"(
+metadata/annotations *
+spec/template/metadata/annotations v1/ReplicationController Deployment ReplicaSet DaemonSet StatefulSet batch/Job
+spec/jobTemplate/metadata/annotations batch/CronJob
+spec/jobTemplate/spec/template/metadata/annotations batch/CronJob
)";

constexpr std::string_view namespaces = R"(
+metadata/name Namespace
+spec/service/namespace apiregistration.k8s.io/APIService
spec/conversion/webhook/clientConfig/service/namespace apiextensions.k8s.io/CustomResourceDefinition
)";

constexpr std::string_view images = R"(
+spec/containers[]/image *
+spec/initContainers[]/image *
+spec/volumes[]/image/reference *
+spec/template/spec/containers[]/image *
+spec/template/spec/initContainers[]/image *
+spec/template/spec/volumes[]/image/reference *
)";

constexpr std::string_view replicas = "+spec/replicas Deployment ReplicationController ReplicaSet StatefulSet";
constexpr std::string_view names = "metadata/name *";

// "#path" stands in the pod spec of each of the kinds behind it: {pods} those with a template, and CronJob, and Pod.
constexpr std::string_view variables = R"(
#containers/args DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#containers/command DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#containers/env/value DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#containers/volumeMounts/mountPath DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#initContainers/args DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#initContainers/command DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#initContainers/env/value DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#initContainers/volumeMounts/mountPath DaemonSet Deployment Job ReplicaSet StatefulSet CronJob Pod
#volumes/nfs/server DaemonSet Deployment Job ReplicaSet Pod
spec/jobTemplate/spec/template/volumes/nfs/server CronJob
spec/template/metadata/annotations Deployment
spec/rules/host Ingress
spec/tls/hosts Ingress
spec/tls/secretName Ingress
spec/ports/port Service
spec/ports/targetPort Service
spec/volumeClaimTemplates/spec/nfs/server StatefulSet
spec/nfs/server PersistentVolume
metadata/labels *
metadata/annotations *
)";

// "=kind" begins the fields that name objects of that kind.
constexpr std::string_view references = R"(
=Deployment
spec/scaleTargetRef/name HorizontalPodAutoscaler
=ReplicationController
spec/scaleTargetRef/name HorizontalPodAutoscaler
=ReplicaSet
spec/scaleTargetRef/name HorizontalPodAutoscaler
=StatefulSet
spec/scaleTargetRef/name HorizontalPodAutoscaler
=v1/ConfigMap
#volumes/configMap/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#containers/env/valueFrom/configMapKeyRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#initContainers/env/valueFrom/configMapKeyRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#containers/envFrom/configMapRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#initContainers/envFrom/configMapRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#volumes/projected/sources/configMap/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
spec/configSource/configMap Node
rules/resourceNames Role ClusterRole
metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap Ingress
=v1/Secret
#volumes/secret/secretName v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#containers/env/valueFrom/secretKeyRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#initContainers/env/valueFrom/secretKeyRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#containers/envFrom/secretRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#initContainers/envFrom/secretRef/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#imagePullSecrets/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
#volumes/projected/sources/secret/name v1/Pod PodTemplate Deployment ReplicaSet DaemonSet StatefulSet Job CronJob
spec/template/spec/containers/env/valueFrom/secretKeyRef/name serving.knative.dev/v1/Service
spec/tls/secretName Ingress
metadata/annotations/ingress.kubernetes.io\/auth-secret Ingress
metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret Ingress
metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret Ingress
imagePullSecrets/name ServiceAccount
parameters/secretName StorageClass
parameters/adminSecretName StorageClass
parameters/userSecretName StorageClass
parameters/secretRef StorageClass
rules/resourceNames Role ClusterRole
spec/azureFile/secretName PersistentVolume
=v1/Service
spec/serviceName apps/StatefulSet
spec/rules/http/paths/backend/serviceName Ingress
spec/backend/serviceName Ingress
spec/rules/http/paths/backend/service/name Ingress
spec/defaultBackend/service/name Ingress
spec/service/name apiregistration.k8s.io/APIService
webhooks/clientConfig/service admissionregistration.k8s.io/ValidatingWebhookConfiguration admissionregistration.k8s.io/MutatingWebhookConfiguration
=rbac.authorization.k8s.io/Role
roleRef/name rbac.authorization.k8s.io/RoleBinding
=rbac.authorization.k8s.io/ClusterRole
roleRef/name rbac.authorization.k8s.io/RoleBinding rbac.authorization.k8s.io/ClusterRoleBinding
=v1/ServiceAccount
subjects rbac.authorization.k8s.io/RoleBinding rbac.authorization.k8s.io/ClusterRoleBinding
#serviceAccountName Pod StatefulSet Deployment ReplicationController CronJob Job DaemonSet
=v1/PersistentVolumeClaim
#volumes/persistentVolumeClaim/claimName Pod StatefulSet Deployment ReplicationController CronJob Job DaemonSet
=v1/PersistentVolume
spec/volumeName PersistentVolumeClaim
rules/resourceNames ClusterRole
=storage.k8s.io/v1/StorageClass
spec/storageClassName PersistentVolume PersistentVolumeClaim
spec/volumeClaimTemplates/spec/storageClassName StatefulSet
=scheduling.k8s.io/v1/PriorityClass
#priorityClassName Pod StatefulSet Deployment ReplicationController CronJob Job DaemonSet
=networking.k8s.io/v1/v1/IngressClass
spec/ingressClassName Ingress
=admissionregistration.k8s.io/ValidatingAdmissionPolicy
spec/policyName admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding
)";

bool is_version(std::string_view text) { return text.size() > 1 && text[0] == 'v' && text[1] >= '0' && text[1] <= '9'; }

Gvk parse_kind(std::string_view word) {
  Gvk gvk;
  if (word == "*") return gvk;
  const auto slash = word.rfind('/');
  gvk.kind = word.substr(slash == word.npos ? 0 : slash + 1);
  if (slash == word.npos) return gvk;
  std::string_view rest = word.substr(0, slash);
  const auto inner = rest.rfind('/');
  const std::string_view last = rest.substr(inner == rest.npos ? 0 : inner + 1);
  if (is_version(last)) {
    gvk.version = last;
    rest = inner == rest.npos ? std::string_view() : rest.substr(0, inner);
  }
  gvk.group = rest;
  return gvk;
}

std::string pod_path(std::string_view kind, std::string_view path) {
  if (kind == "Pod") return fmt::format("spec/{}", path);
  if (kind == "PodTemplate") return fmt::format("template/spec/{}", path);
  return fmt::format("{}spec/template/spec/{}", kind == "CronJob" ? "spec/jobTemplate/" : "", path);
}

void read_line(std::string_view line, FieldSpecs& out) {
  const auto parts = split(line, ' ');
  std::string_view path = parts[0];
  const bool create = path.starts_with('+');
  const bool in_pod = path.starts_with('#');
  if (create || in_pod) path.remove_prefix(1);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    Gvk gvk = parse_kind(parts[i]);
    std::string full = in_pod ? pod_path(gvk.kind, path) : std::string(path);
    out.push_back(field_spec(std::move(gvk), std::move(full), create));
  }
}

FieldSpecs read(std::initializer_list<std::string_view> tables) {
  FieldSpecs out;
  for (const auto table : tables)
    for (const auto line : split_lines(table))
      if (!line.empty()) read_line(line, out);
  sort_specs(out);
  return out;
}

TransformerConfig make() {
  TransformerConfig config;
  config.name_prefix = config.name_suffix = read({names});
  config.ns = read({namespaces});
  config.common_labels = read({selectors, metadata_labels, claim_labels});
  config.template_labels = read({metadata_labels});
  config.claim_labels = read({claim_labels});
  config.common_annotations = read({annotations});
  config.variables = read({variables});
  config.images = read({images});
  config.replicas = read({replicas});
  for (const auto line : split_lines(references)) {
    if (line.starts_with('=')) config.name_references.push_back({parse_kind(line.substr(1)), {}});
    else if (!line.empty()) read_line(line, config.name_references.back().referrers);
  }
  return config;
}

}  // namespace

const TransformerConfig& default_config() {
  static const TransformerConfig config = [] {
    TransformerConfig made = make();
    TransformerConfig sorted;
    (void)merge_into(sorted, made);
    return sorted;
  }();
  return config;
}

}  // namespace slipway::cd::kustomize
