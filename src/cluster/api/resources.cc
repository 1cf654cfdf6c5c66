// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/resources.h"

#include <fmt/format.h>

namespace slipway::api {
namespace {

struct Row {
  const char *group, *version, *plural, *kind, *singular, *short_names;
  bool namespaced, status, scale, stored;
  const char* categories;
};

// The API reference of Kubernetes 1.36; "all" is what `kubectl get all` shows.
constexpr Row rows[] = {
    {"", "v1", "namespaces", "Namespace", "namespace", "ns", false, true, false, true, ""},
    {"", "v1", "configmaps", "ConfigMap", "configmap", "cm", true, false, false, true, ""},
    {"", "v1", "secrets", "Secret", "secret", "", true, false, false, true, ""},
    {"", "v1", "serviceaccounts", "ServiceAccount", "serviceaccount", "sa", true, false, false, true, ""},
    {"", "v1", "pods", "Pod", "pod", "po", true, true, false, true, "all"},
    {"", "v1", "services", "Service", "service", "svc", true, true, false, true, "all"},
    {"", "v1", "nodes", "Node", "node", "no", false, true, false, true, ""},
    {"", "v1", "events", "Event", "event", "ev", true, false, false, true, ""},
    {"apps", "v1", "deployments", "Deployment", "deployment", "deploy", true, true, true, true, "all"},
    {"apps", "v1", "replicasets", "ReplicaSet", "replicaset", "rs", true, true, true, true, "all"},
    {"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "endpointslice", "", true, false, false, true, ""},
    {"coordination.k8s.io", "v1", "leases", "Lease", "lease", "", true, false, false, true, ""},
    {"events.k8s.io", "v1", "events", "Event", "event", "ev", true, false, false, true, ""},
    {"apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", "customresourcedefinition",
     "crd,crds", false, true, false, true, "api-extensions"},
    {"authentication.k8s.io", "v1", "tokenreviews", "TokenReview", "tokenreview", "", false, false, false, false, ""},
    {"authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", "selfsubjectreview", "", false, false,
     false, false, ""},
    {"authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", "subjectaccessreview", "", false,
     false, false, false, ""},
    {"authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", "selfsubjectaccessreview", "",
     false, false, false, false, ""},
};

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    out.emplace_back(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
  }
  return out;
}

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& one : list.items()) out.push_back(one.str());
  return out;
}

}  // namespace

std::string ResourceInfo::storage_prefix() const {
  const std::string_view group = id.group == "events.k8s.io" ? std::string_view() : std::string_view(id.group);
  return fmt::format("{}/{}/", group, id.plural);
}

std::string ResourceInfo::storage_key(std::string_view ns, std::string_view name) const {
  return fmt::format("{}{}/{}", storage_prefix(), ns, name);
}

ResourceTable::ResourceTable() {
  for (const Row& row : rows) {
    auto info = std::make_shared<ResourceInfo>();
    info->id = {row.group, row.version, row.plural, row.kind, row.namespaced};
    info->singular = row.singular;
    info->short_names = words(row.short_names);
    info->categories = words(row.categories);
    info->has_status = row.status;
    info->has_scale = row.scale;
    info->stored = row.stored;
    built_in_.push_back(std::move(info));
  }
}

ResourcePointer ResourceTable::find(std::string_view group, std::string_view version, std::string_view plural) const {
  const auto fits = [&](const ResourcePointer& one) {
    return one->id.group == group && one->id.version == version && one->id.plural == plural;
  };
  for (const ResourcePointer& one : built_in_)
    if (fits(one)) return one;
  std::lock_guard lock(mutex_);
  for (const auto& [definition, versions] : custom_)
    for (const ResourcePointer& one : versions)
      if (fits(one)) return one;
  return nullptr;
}

std::vector<ResourcePointer> ResourceTable::all() const {
  std::vector<ResourcePointer> out = built_in_;
  std::lock_guard lock(mutex_);
  for (const auto& [definition, versions] : custom_) out.insert(out.end(), versions.begin(), versions.end());
  return out;
}

void ResourceTable::set_custom(const std::string& definition, std::vector<ResourcePointer> versions) {
  std::lock_guard lock(mutex_);
  if (versions.empty()) custom_.erase(definition);
  else custom_[definition] = std::move(versions);
}

std::vector<ResourcePointer> resources_of_definition(const Json& definition) {
  const Json& spec = definition["spec"];
  const Json& names = spec["names"];
  std::vector<ResourcePointer> out;
  for (const Json& version : spec["versions"].items()) {
    if (!version["served"].as_bool()) continue;
    auto info = std::make_shared<ResourceInfo>();
    info->id = {spec["group"].str(), version["name"].str(), names["plural"].str(), names["kind"].str(),
                spec["scope"].as_string() == "Namespaced"};
    info->singular = names["singular"].str();
    info->short_names = strings_of(names["shortNames"]);
    info->categories = strings_of(names["categories"]);
    info->has_status = version.at_path({"subresources", "status"}).is_object();
    info->custom = true;
    info->schema = version.at_path({"schema", "openAPIV3Schema"});
    for (const Json& column : version["additionalPrinterColumns"].items())
      info->columns.push_back({column["name"].str(), column["type"].str(), column["jsonPath"].str(),
                               static_cast<int>(column["priority"].as_int())});
    out.push_back(std::move(info));
  }
  return out;
}

}  // namespace slipway::api
