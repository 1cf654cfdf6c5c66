// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <set>

#include "base/strings.h"
#include "cd/kustomize/merge.h"

namespace slipway::cd::kustomize {
namespace {

// A line a type: name:Type is an object, name[keys]Type a list that merges by its keys, name[-]Type another list.
constexpr std::string_view types = R"(
Meta finalizers[] ownerReferences[uid]
Plain metadata:Meta
Requirement key[key]
Selector matchExpressions[-]Requirement
ClaimSpec selector:Selector
Claim metadata:Meta spec:ClaimSpec
AffinityTerm labelSelector:Selector namespaceSelector:Selector
WeightedTerm podAffinityTerm:AffinityTerm
PodAffinity preferredDuringSchedulingIgnoredDuringExecution[-]WeightedTerm requiredDuringSchedulingIgnoredDuringExecution[-]AffinityTerm
Affinity podAffinity:PodAffinity podAntiAffinity:PodAffinity
Container env[name] ports[containerPort,protocol] volumeDevices[devicePath] volumeMounts[mountPath]
Spread labelSelector:Selector
EphemeralSource volumeClaimTemplate:Claim
Volume ephemeral:EphemeralSource
EphemeralContainer env[name] volumeDevices[devicePath] volumeMounts[mountPath]
PodSpec affinity:Affinity containers[name]Container ephemeralContainers[name]EphemeralContainer hostAliases[ip] imagePullSecrets[name] initContainers[name]Container topologySpreadConstraints[topologyKey,whenUnsatisfiable]Spread volumes[name]Volume
Conditions conditions[type]
PodStatus conditions[type] podIPs[ip]
Pod metadata:Meta spec:PodSpec status:PodStatus
Template metadata:Meta spec:PodSpec
PodTemplate metadata:Meta template:Template
WorkSpec selector:Selector template:Template volumeClaimTemplates[-]Claim
Work metadata:Meta spec:WorkSpec status:Conditions
ControllerSpec template:Template
Controller metadata:Meta spec:ControllerSpec status:Conditions
CronSpec jobTemplate:Work
Cron metadata:Meta spec:CronSpec
NodeSpec podCIDRs[]
NodeStatus addresses[type] conditions[type]
Node metadata:Meta spec:NodeSpec status:NodeStatus
ComponentStatus conditions[type] metadata:Meta
Status metadata:Meta status:Conditions
ClaimObject metadata:Meta spec:ClaimSpec status:Conditions
ServiceSpec ports[port,protocol]
Service metadata:Meta spec:ServiceSpec status:Conditions
ServiceAccount metadata:Meta secrets[name]
Webhook namespaceSelector:Selector objectSelector:Selector
Webhooks metadata:Meta webhooks[name]Webhook
MetricPart metric:MetricPart metricSelector:Selector selector:Selector
Metric external:MetricPart object:MetricPart pods:MetricPart
ScalerSpec metrics[-]Metric
Scaler metadata:Meta spec:ScalerSpec
Peer namespaceSelector:Selector podSelector:Selector
Rule from[-]Peer to[-]Peer
PolicySpec egress[-]Rule ingress[-]Rule podSelector:Selector
Policy metadata:Meta spec:PolicySpec
BudgetSpec selector:Selector
Budget metadata:Meta spec:BudgetSpec status:Conditions
Aggregation clusterRoleSelectors[-]Selector
ClusterRole aggregationRule:Aggregation metadata:Meta
DriversSpec drivers[name]
Drivers metadata:Meta spec:DriversSpec
Capacity metadata:Meta nodeTopology:Selector
)";

// The API versions, and their kinds with the type of each; without one: Plain.
constexpr std::string_view kinds = R"(
v1 Binding ComponentStatus=ComponentStatus ConfigMap Endpoints Event LimitRange Namespace=Status Node=Node PersistentVolume PersistentVolumeClaim=ClaimObject Pod=Pod PodTemplate=PodTemplate ReplicationController=Controller ResourceQuota Secret Service=Service ServiceAccount=ServiceAccount
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration=Webhooks ValidatingWebhookConfiguration=Webhooks
admissionregistration.k8s.io/v1beta1 MutatingWebhookConfiguration=Webhooks ValidatingWebhookConfiguration=Webhooks
apiextensions.k8s.io/v1 CustomResourceDefinition
apiextensions.k8s.io/v1beta1 CustomResourceDefinition
apiregistration.k8s.io/v1 APIService=Status
apiregistration.k8s.io/v1beta1 APIService=Status
apps/v1 ControllerRevision DaemonSet=Work Deployment=Work ReplicaSet=Work StatefulSet=Work
authentication.k8s.io/v1 TokenRequest TokenReview
authentication.k8s.io/v1beta1 TokenReview
authorization.k8s.io/v1 LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview
authorization.k8s.io/v1beta1 LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview
autoscaling/v1 HorizontalPodAutoscaler Scale
autoscaling/v2beta1 HorizontalPodAutoscaler=Scaler
autoscaling/v2beta2 HorizontalPodAutoscaler=Scaler
batch/v1 CronJob=Cron Job=Work
batch/v1beta1 CronJob=Cron
certificates.k8s.io/v1 CertificateSigningRequest
certificates.k8s.io/v1beta1 CertificateSigningRequest
coordination.k8s.io/v1 Lease
coordination.k8s.io/v1beta1 Lease
discovery.k8s.io/v1 EndpointSlice
discovery.k8s.io/v1beta1 EndpointSlice
events.k8s.io/v1 Event
events.k8s.io/v1beta1 Event
extensions/v1beta1 Ingress
flowcontrol.apiserver.k8s.io/v1beta1 FlowSchema PriorityLevelConfiguration
networking.k8s.io/v1 Ingress IngressClass NetworkPolicy=Policy
networking.k8s.io/v1beta1 Ingress IngressClass
node.k8s.io/v1 RuntimeClass
node.k8s.io/v1beta1 RuntimeClass
policy/v1 PodDisruptionBudget=Budget
policy/v1beta1 Eviction PodDisruptionBudget=Budget PodSecurityPolicy
rbac.authorization.k8s.io/v1 ClusterRole=ClusterRole ClusterRoleBinding Role RoleBinding
rbac.authorization.k8s.io/v1beta1 ClusterRole=ClusterRole ClusterRoleBinding Role RoleBinding
scheduling.k8s.io/v1 PriorityClass
scheduling.k8s.io/v1beta1 PriorityClass
storage.k8s.io/v1 CSIDriver CSINode=Drivers StorageClass VolumeAttachment
storage.k8s.io/v1beta1 CSIDriver CSINode=Drivers CSIStorageCapacity=Capacity StorageClass VolumeAttachment
)";

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (const auto word : split(text, ','))
    if (!word.empty()) out.emplace_back(word);
  return out;
}

}  // namespace

class SchemaText {
 public:
  static MergeSchema read() {
    MergeSchema schema;
    for (const auto line : split_lines(types)) read_type(schema, line);
    for (const auto line : split_lines(kinds)) read_kinds(schema, line);
    return schema;
  }

 private:
  static const MergeSchema::Type* type(MergeSchema& schema, std::string_view name) { return name.empty() ? nullptr : &schema.types_[std::string(name)]; }

  static void read_type(MergeSchema& schema, std::string_view line) {
    const auto parts = split(line, ' ');
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const auto end = parts[i].find_first_of(":[");
      MergeSchema::Field field;
      std::string_view of = parts[i].substr(end + 1);
      if (parts[i][end] == '[') {
        const std::string_view keys = of.substr(0, of.find(']'));
        field.is_list = true;
        field.merges = keys != "-";
        if (field.merges) field.keys = words(keys);
        of = of.substr(keys.size() + 1);
      }
      field.type = type(schema, of);
      schema.types_[std::string(parts[0])].fields[std::string(parts[i].substr(0, end))] = std::move(field);
    }
  }

  static void read_kinds(MergeSchema& schema, std::string_view line) {
    const auto parts = split(line, ' ');
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const auto equal = parts[i].find('=');
      schema.kinds_[fmt::format("{} {}", parts[0], parts[i].substr(0, equal))] = type(schema, equal == parts[i].npos ? "Plain" : parts[i].substr(equal + 1));
    }
  }
};

class SchemaOpenApi {
 public:
  explicit SchemaOpenApi(const Json& definitions) : definitions_(definitions) {}

  std::unique_ptr<MergeSchema> read() {
    for (const auto& definition : definitions_.members()) {
      for (const Json& gvk : definition.value["x-kubernetes-group-version-kind"].items()) {
        const std::string group = gvk["group"].str();
        const std::string version = gvk["version"].str();
        schema_->kinds_[fmt::format("{}{}{} {}", group, group.empty() ? "" : "/", version, gvk["kind"].as_string())] = named(definition.key());
      }
    }
    return std::move(schema_);
  }

 private:
  const MergeSchema::Type* named(std::string_view name) {
    const auto [at, fresh] = schema_->types_.try_emplace(std::string(name));
    if (fresh && depth_ < 100) fill(at->second, definitions_[name]);
    return &at->second;
  }

  // An inline schema, or the definition that it refers to.
  const MergeSchema::Type* type_of(const Json& rule) {
    const std::string_view reference = rule["$ref"].as_string();
    if (!reference.empty()) return named(reference.substr(reference.rfind('/') + 1));
    if (!rule["properties"].is_object() && !rule["additionalProperties"].is_object()) return nullptr;
    const auto at = schema_->types_.try_emplace(fmt::format("#{}", inline_++)).first;
    if (depth_ < 100) fill(at->second, rule);
    return &at->second;
  }

  const Json& resolved(const Json& rule) {
    const std::string_view reference = rule["$ref"].as_string();
    return reference.empty() ? rule : definitions_[reference.substr(reference.rfind('/') + 1)];
  }

  MergeSchema::Field field_of(const Json& given) {
    const Json& rule = resolved(given);
    MergeSchema::Field field;
    field.is_list = rule["type"].as_string() == "array";
    for (const auto strategy : split(rule["x-kubernetes-patch-strategy"].as_string(), ',')) field.merges = field.merges || strategy == "merge";
    for (const Json& key : rule["x-kubernetes-list-map-keys"].items()) field.keys.push_back(key.str());
    if (field.keys.empty() && rule["x-kubernetes-patch-merge-key"].is_string()) field.keys.push_back(rule["x-kubernetes-patch-merge-key"].str());
    field.type = field.is_list ? type_of(rule["items"]) : type_of(given);
    return field;
  }

  void fill(MergeSchema::Type& type, const Json& rule) {
    ++depth_;
    for (const auto& property : rule["properties"].members()) type.fields[std::string(property.key())] = field_of(property.value);
    if (rule["additionalProperties"].is_object()) type.any_field = std::make_unique<MergeSchema::Field>(field_of(rule["additionalProperties"]));
    --depth_;
  }

  const Json& definitions_;
  std::unique_ptr<MergeSchema> schema_ = std::make_unique<MergeSchema>();
  int inline_ = 0, depth_ = 0;
};

const MergeSchema::Field* MergeSchema::Type::find(std::string_view name) const {
  const auto found = fields.find(name);
  return found != fields.end() ? &found->second : any_field.get();
}

const MergeSchema& MergeSchema::built_in() {
  static const MergeSchema schema = SchemaText::read();
  return schema;
}

Result<std::unique_ptr<MergeSchema>> MergeSchema::from_openapi(const Json& document) {
  if (!document["definitions"].is_object()) return fail(ErrorCode::invalid, "invalid schema file: it has no definitions");
  return SchemaOpenApi(document["definitions"]).read();
}

const MergeSchema::Type* MergeSchema::find(std::string_view api_version, std::string_view kind) const {
  const auto found = kinds_.find(fmt::format("{} {}", api_version, kind));
  return found == kinds_.end() ? nullptr : found->second;
}

}  // namespace slipway::cd::kustomize
