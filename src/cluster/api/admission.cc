// SPDX-License-Identifier: Apache-2.0
// What happens to a new object before it is stored, and what follows a change.
#include <fmt/format.h>

#include "base/strings.h"
#include "cluster/api/defaults.h"
#include "cluster/api/operations.h"
#include "cluster/api/validation.h"

namespace slipway::api {
namespace {

constexpr int conflict_rounds = 5;  // an object may change while it is removed
constexpr std::chrono::hours event_lifetime{1};
constexpr std::string_view account_path = "/var/run/secrets/kubernetes.io/serviceaccount";

Json account_volume(const std::string& name) {
  const Json token = Json::object({{"serviceAccountToken", Json::object({{"expirationSeconds", 3607}, {"path", "token"}})}});
  const Json authority = Json::object({{"configMap", Json::object({{"name", "kube-root-ca.crt"}, {"items", Json::array({Json::object({{"key", "ca.crt"}, {"path", "ca.crt"}})})}})}});
  const Json ns = Json::object({{"downwardAPI", Json::object({{"items", Json::array({Json::object({{"path", "namespace"}, {"fieldRef", Json::object({{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}})}})})}})}});
  return Json::object({{"name", name}, {"projected", Json::object({{"sources", Json::array({token, authority, ns})}, {"defaultMode", 420}})}});
}

Json with_mount(const Json& containers, const std::string& volume) {
  std::vector<Json> out;
  for (const Json& container : containers.items()) {
    bool mounted = false;
    for (const Json& mount : container["volumeMounts"].items()) mounted |= mount["mountPath"].as_string() == account_path;
    const Json mount = Json::object({{"name", volume}, {"readOnly", true}, {"mountPath", account_path}});
    const Json mounts = container["volumeMounts"].is_array() ? container["volumeMounts"] : Json::array();
    out.push_back(mounted ? container : container.with("volumeMounts", mounts.with_item(mount)));
  }
  return Json::array(std::move(out));
}

std::unexpected<Failure> forbidden(const ResourceInfo& resource, const std::string& name, const std::string& why) {
  Failure out(403, "Forbidden", fmt::format("{} \"{}\" is forbidden: {}", resource.qualified(), name, why));
  out.group = resource.id.group, out.kind = resource.id.plural, out.name = name;
  return std::unexpected(std::move(out));
}

}  // namespace

Answer<> Operations::check_namespace(const ResourceInfo& resource, std::string_view ns, const Json& object) const {
  const auto spaces = resources_.find("", "v1", "namespaces");
  const Json space = TRY(read(*spaces, "", ns));
  if (!space["metadata"].contains("deletionTimestamp")) return {};
  return forbidden(resource, object["metadata"]["name"].str(), fmt::format("unable to create new content in namespace {} because it is being terminated", ns));
}

Answer<Json> Operations::admit_new(const ResourceInfo& resource, Json object, const std::string& ns) {
  if (!object.is_object()) return bad_request("the body is not an object");
  if (object["kind"].is_null()) object = object.with("kind", resource.id.kind);
  if (object["apiVersion"].is_null()) object = object.with("apiVersion", resource.id.api_version());
  if (object["kind"].as_string() != resource.id.kind || object["apiVersion"].as_string() != resource.id.api_version())
    return bad_request(fmt::format("the API version in the data ({}, {}) does not match the expected API version ({}, {})", printable(object["apiVersion"].as_string()), printable(object["kind"].as_string()), resource.id.api_version(), resource.id.kind));
  Json metadata = object["metadata"].is_object() ? object["metadata"] : Json::object();
  if (!metadata["resourceVersion"].as_string().empty()) return bad_request("resourceVersion should not be set on objects to be created");
  if (resource.id.namespaced) {
    if (ns.empty()) return bad_request("an empty namespace may not be set during creation");
    if (const auto given = metadata["namespace"].as_string(); !given.empty() && given != ns)
      return bad_request(fmt::format("the namespace of the provided object does not match the namespace sent on the request"));
    metadata = metadata.with("namespace", ns);
  } else {
    metadata = metadata.without("namespace");
  }
  if (metadata["name"].as_string().empty() && !metadata["generateName"].as_string().empty())
    metadata = metadata.with("name", metadata["generateName"].str().substr(0, 58) + random_.name_suffix());
  for (const char* key : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"}) metadata = metadata.without(key);
  metadata = metadata.with("uid", random_.uuid()).with("creationTimestamp", now());
  const std::string& kind = resource.id.kind;
  if (resource.custom || kind == "Deployment" || kind == "ReplicaSet" || kind == "Pod" || kind == "EndpointSlice" || kind == "CustomResourceDefinition")
    metadata = metadata.with("generation", 1);
  object = object.with("metadata", metadata);
  if (resource.id.namespaced) TRY(check_namespace(resource, ns, object));
  // A node says how it is when it registers; for everything else the status is the server's.
  if (resource.has_status && kind != "Node") object = object.without("status");
  if (resource.custom && resource.schema.is_object()) {
    const Json whole = object;
    object = pruned(resource.schema, whole);
    for (const char* key : {"apiVersion", "kind", "metadata"}) object = object.with(key, whole[key]);
  }
  if (kind == "Pod" && !resource.custom && object["spec"].is_object()) object = TRY(admit_pod(std::move(object)));
  return with_defaults(resource, std::move(object));
}

Answer<Json> Operations::admit_pod(Json pod) {
  const auto pods = resources_.find("", "v1", "pods"), accounts = resources_.find("", "v1", "serviceaccounts");
  const std::string name = pod["metadata"]["name"].str(), ns = pod["metadata"]["namespace"].str();
  const std::string account = pod["spec"]["serviceAccountName"].str("default");
  const auto known = read(*accounts, ns, account);
  if (!known) return forbidden(*pods, name, fmt::format("error looking up service account {}/{}: serviceaccount \"{}\" not found", ns, account, account));
  pod = pod.with_path({"spec", "serviceAccountName"}, account).with_path({"spec", "serviceAccount"}, account);
  const Json& wanted = pod["spec"]["automountServiceAccountToken"];
  if (!wanted.as_bool((*known)["automountServiceAccountToken"].as_bool(true))) return pod;
  const std::string volume = "kube-api-access-" + random_.name_suffix();
  const Json volumes = pod["spec"]["volumes"].is_array() ? pod["spec"]["volumes"] : Json::array();
  for (const Json& one : volumes.items())
    if (one["name"].as_string().starts_with("kube-api-access-")) return pod;
  pod = pod.with_path({"spec", "volumes"}, volumes.with_item(account_volume(volume)));
  for (const char* key : {"containers", "initContainers"})
    if (pod["spec"][key].is_array()) pod = pod.with_path({"spec", key}, with_mount(pod["spec"][key], volume));
  return pod;
}

// Tables and allocators follow what is stored.
void Operations::after_change(const ResourceInfo& resource, const Json& before, const Json& after) {
  if (resource.custom) return;
  const std::string name = (after.is_null() ? before : after)["metadata"]["name"].str();
  if (resource.id.kind == "CustomResourceDefinition") {
    resources_.set_custom(name, after.is_null() ? std::vector<ResourcePointer>() : resources_of_definition(after));
    if (after.is_null()) return drop_objects_of(before);
    if (after["status"]["conditions"].is_array()) return;
    // Names are accepted at once: there is one server.
    const auto condition = [&](const char* type, const char* reason) {
      return Json::object({{"type", type}, {"status", "True"}, {"lastTransitionTime", now()}, {"reason", reason}, {"message", ""}});
    };
    Json versions = Json::array();
    for (const Json& version : after["spec"]["versions"].items())
      if (version["storage"].as_bool()) versions = versions.with_item(version["name"]);
    const Json status = Json::object({{"conditions", Json::array({condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")})},
                                      {"acceptedNames", after["spec"]["names"]},
                                      {"storedVersions", versions}});
    (void)store_change(resource, after, after.with("status", status));
  }
  if (resource.id.kind == "Service" && after.is_null()) addresses_.release(before);
  if (resource.id.kind == "Namespace" && before.is_null()) furnish_namespace(name);
}

// The definition is gone, and with it who could finish what holds its objects.
void Operations::drop_objects_of(const Json& definition) {
  const auto versions = resources_of_definition(definition);
  if (versions.empty()) return;
  const std::string prefix = versions.front()->storage_prefix();
  for (int round = 0; round < conflict_rounds; ++round) {
    std::vector<Json> found;
    store_.pin().objects.scan(prefix, [&](const std::string& key, const store::ObjectPointer& object) {
      if (key.starts_with(prefix)) found.push_back(from_stored(*object));
      return key.starts_with(prefix);
    });
    if (found.empty()) return;
    for (const Json& one : found) (void)erase(*versions.front(), one);
  }
}

std::size_t Operations::expire_events() {
  const auto events = resources_.find("", "v1", "events");
  const std::string prefix = events->storage_prefix(), oldest = format_rfc3339(clock_.now() - event_lifetime);
  std::vector<Json> found;
  store_.pin().objects.scan(prefix, [&](const std::string& key, const store::ObjectPointer& object) {
    if (!key.starts_with(prefix)) return false;
    Json one = from_stored(*object);
    std::string last = one["metadata"]["creationTimestamp"].str();  // RFC 3339 in UTC sorts by time
    for (const Json& at : {one["lastTimestamp"], one["eventTime"], one["series"]["lastObservedTime"]}) last = std::max(last, at.str());
    if (last < oldest) found.push_back(std::move(one));
    return true;
  });
  for (const Json& one : found) (void)erase(*events, one);
  return found.size();
}

void Operations::furnish_namespace(const std::string& name) {
  const auto accounts = resources_.find("", "v1", "serviceaccounts"), maps = resources_.find("", "v1", "configmaps");
  (void)create_object(*accounts, Json::object({{"metadata", Json::object({{"name", "default"}})}}), name, false);
  if (config_.ca_pem.empty()) return;
  (void)create_object(*maps, Json::object({{"metadata", Json::object({{"name", "kube-root-ca.crt"}})}, {"data", Json::object({{"ca.crt", config_.ca_pem}})}}), name, false);
}

Result<> Operations::prepare() {
  const store::Pinned pinned = store_.pin();
  const auto each = [&](const char* group, const char* plural, const std::function<void(const Json&)>& visit) {
    const std::string prefix = resources_.find(group, "v1", plural)->storage_prefix();
    pinned.objects.scan(prefix, [&](const std::string& key, const store::ObjectPointer& object) {
      if (!key.starts_with(prefix)) return false;
      visit(from_stored(*object));
      return true;
    });
  };
  each("apiextensions.k8s.io", "customresourcedefinitions", [&](const Json& one) { resources_.set_custom(one["metadata"]["name"].str(), resources_of_definition(one)); });
  each("", "services", [&](const Json& one) { addresses_.occupy(one); });
  const auto ensure = [&](const char* plural, const std::string& ns, const Json& object) -> Result<> {
    const auto made = create_object(*resources_.find("", "v1", plural), object, ns, false);
    if (!made && made.error().reason != "AlreadyExists") return fail(ErrorCode::unavailable, made.error().message);
    return {};
  };
  const auto spaces = resources_.find("", "v1", "namespaces");
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"})
    if (!read(*spaces, "", name)) TRY(ensure("namespaces", "", Json::object({{"metadata", Json::object({{"name", name}})}})));
  if (read(*resources_.find("", "v1", "services"), "default", "kubernetes")) return {};
  const Json port = Json::object({{"name", "https"}, {"protocol", "TCP"}, {"port", 443}, {"targetPort", static_cast<int>(config_.port)}});
  return ensure("services", "default", Json::object({{"metadata", Json::object({{"name", "kubernetes"}, {"labels", Json::object({{"component", "apiserver"}, {"provider", "kubernetes"}})}})},
                                                     {"spec", Json::object({{"clusterIP", "10.96.0.1"}, {"ports", Json::array({port})}})}}));
}

}  // namespace slipway::api
