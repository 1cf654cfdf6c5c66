// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/discovery.h"

#include <algorithm>

namespace slipway::api {
namespace {

std::vector<std::string> verbs_of(const ResourceInfo& resource) {
  if (!resource.stored) return {"create"};
  return {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"};
}

std::vector<std::string> sub_verbs(std::string_view subresource) {
  if (subresource == "log") return {"get"};
  if (subresource == "binding" || subresource == "token") return {"create"};
  if (subresource == "finalize") return {"update"};
  return {"get", "patch", "update"};
}

struct Sub {
  std::string name;
  kube::Resource answers;  // the kind that it takes and gives
};

std::vector<Sub> subresources(const ResourceInfo& resource) {
  std::vector<Sub> out;
  if (resource.has_status) out.push_back({"status", resource.id});
  if (resource.has_scale) out.push_back({"scale", {"autoscaling", "v1", "", "Scale"}});
  if (resource.id.group.empty() && resource.id.plural == "pods") {
    out.push_back({"log", resource.id});
    out.push_back({"binding", {"", "v1", "", "Binding"}});
  }
  if (resource.id.group.empty() && resource.id.plural == "namespaces") out.push_back({"finalize", resource.id});
  if (resource.id.plural == "serviceaccounts") out.push_back({"token", {"authentication.k8s.io", "v1", "", "TokenRequest"}});
  return out;
}

// Groups in the order of the table, each with its versions.
std::vector<std::pair<std::string, std::vector<std::string>>> groups_of(const std::vector<ResourcePointer>& resources) {
  std::vector<std::pair<std::string, std::vector<std::string>>> out;
  for (const ResourcePointer& one : resources) {
    auto found = std::ranges::find(out, one->id.group, [](const auto& entry) { return entry.first; });
    if (found == out.end()) found = out.insert(out.end(), {one->id.group, {}});
    if (std::ranges::find(found->second, one->id.version) == found->second.end()) found->second.push_back(one->id.version);
  }
  return out;
}

Json group_entry(const std::string& name, const std::vector<std::string>& versions) {
  Json list = Json::array();
  for (const std::string& version : versions)
    list = list.with_item(Json::object({{"groupVersion", name + "/" + version}, {"version", version}}));
  return Json::object({{"name", name}, {"versions", list}, {"preferredVersion", list[std::size_t{0}]}});
}

Json kind_entry(const kube::Resource& id) {
  return Json::object({{"group", id.group}, {"version", id.version}, {"kind", id.kind}});
}

Json aggregated_resource(const ResourceInfo& one) {
  Json entry = Json::object({{"resource", one.id.plural},
                             {"responseKind", kind_entry(one.id)},
                             {"scope", one.id.namespaced ? "Namespaced" : "Cluster"},
                             {"singularResource", one.singular},
                             {"verbs", Json::strings(verbs_of(one))}});
  if (!one.short_names.empty()) entry = entry.with("shortNames", Json::strings(one.short_names));
  if (!one.categories.empty()) entry = entry.with("categories", Json::strings(one.categories));
  Json subs = Json::array();
  for (const Sub& sub : subresources(one))
    subs = subs.with_item(Json::object({{"subresource", sub.name},
                                        {"responseKind", kind_entry(sub.answers)},
                                        {"verbs", Json::strings(sub_verbs(sub.name))}}));
  return subs.empty() ? entry : entry.with("subresources", subs);
}

}  // namespace

Json version_info() {
  return Json::object({{"major", "1"},
                       {"minor", "36"},
                       {"gitVersion", "v1.36.3"},
                       {"gitCommit", ""},
                       {"gitTreeState", "clean"},
                       {"buildDate", "2026-01-01T00:00:00Z"},
                       {"goVersion", ""},
                       {"compiler", "gcc"},
                       {"platform", "linux/amd64"}});
}

Json api_versions() {
  return Json::object({{"kind", "APIVersions"}, {"versions", Json::array({"v1"})}, {"serverAddressByClientCIDRs", Json::array()}});
}

Json group_list(const std::vector<ResourcePointer>& resources) {
  Json groups = Json::array();
  for (const auto& [name, versions] : groups_of(resources))
    if (!name.empty()) groups = groups.with_item(group_entry(name, versions));
  return Json::object({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", groups}});
}

Json group(const std::vector<ResourcePointer>& resources, std::string_view wanted) {
  for (const auto& [name, versions] : groups_of(resources))
    if (name == wanted && !name.empty())
      return group_entry(name, versions).with("kind", "APIGroup").with("apiVersion", "v1");
  return {};
}

Json resource_list(const std::vector<ResourcePointer>& resources, std::string_view group, std::string_view version) {
  Json list = Json::array();
  std::string group_version;
  for (const ResourcePointer& one : resources) {
    if (one->id.group != group || one->id.version != version) continue;
    group_version = one->id.api_version();
    Json entry = Json::object({{"name", one->id.plural},
                               {"singularName", one->singular},
                               {"namespaced", one->id.namespaced},
                               {"kind", one->id.kind},
                               {"verbs", Json::strings(verbs_of(*one))}});
    if (!one->short_names.empty()) entry = entry.with("shortNames", Json::strings(one->short_names));
    if (!one->categories.empty()) entry = entry.with("categories", Json::strings(one->categories));
    list = list.with_item(entry);
    for (const Sub& sub : subresources(*one))
      list = list.with_item(Json::object({{"name", one->id.plural + "/" + sub.name},
                                          {"singularName", ""},
                                          {"namespaced", one->id.namespaced},
                                          {"group", sub.answers.group},
                                          {"version", sub.answers.version},
                                          {"kind", sub.answers.kind},
                                          {"verbs", Json::strings(sub_verbs(sub.name))}}));
  }
  if (group_version.empty()) return {};
  return Json::object({{"kind", "APIResourceList"}, {"apiVersion", "v1"}, {"groupVersion", group_version}, {"resources", list}});
}

Json aggregated(const std::vector<ResourcePointer>& resources, bool core) {
  Json items = Json::array();
  for (const auto& [name, versions] : groups_of(resources)) {
    if (name.empty() != core) continue;
    Json list = Json::array();
    for (const std::string& version : versions) {
      Json served = Json::array();
      for (const ResourcePointer& one : resources)
        if (one->id.group == name && one->id.version == version) served = served.with_item(aggregated_resource(*one));
      list = list.with_item(Json::object({{"version", version}, {"resources", served}, {"freshness", "Current"}}));
    }
    Json metadata = Json::object({{"creationTimestamp", nullptr}});
    if (!core) metadata = metadata.with("name", name);
    items = items.with_item(Json::object({{"metadata", metadata}, {"versions", list}}));
  }
  return Json::object({{"kind", "APIGroupDiscoveryList"},
                       {"apiVersion", "apidiscovery.k8s.io/v2"},
                       {"metadata", Json::object()},
                       {"items", items}});
}

}  // namespace slipway::api
