// SPDX-License-Identifier: Apache-2.0
#include "desired/set.h"

#include <algorithm>
#include <array>

#include "base/digest.h"

namespace slipway::desired {

std::string ObjectId::to_string() const { return kind + " " + (ns.empty() ? name : ns + "/" + name); }

ObjectId id_of(const Json& object) {
  const std::string version = object["apiVersion"].str();
  const auto slash = version.find('/');
  return {slash == version.npos ? "" : version.substr(0, slash), object["kind"].str(), object["metadata"]["namespace"].str(), object["metadata"]["name"].str()};
}

std::string Set::digest() const {
  std::vector<std::string> texts;
  for (const Object& one : objects) texts.push_back(text::to_canonical_json(one.object));
  std::ranges::sort(texts);
  Sha256 hash;
  for (const auto& one : texts) hash.update(one + "\n");
  std::string hex;
  for (const char c : hash.finish()) {
    constexpr std::string_view digits = "0123456789abcdef";
    (hex += digits[static_cast<unsigned char>(c) >> 4]) += digits[c & 15];
  }
  return "sha256:" + hex;
}

std::string Set::to_text() const {
  std::vector<Json> list;
  for (const Object& one : objects) list.push_back(Json::object({{"source", one.source}, {"object", one.object}}));
  return text::to_json(Json::object({{"version", 1}, {"objects", Json::array(std::move(list))}}));
}

Result<Set> Set::parse(std::string_view text) {
  const Json json = TRY(text::parse_json(text));
  if (json["version"].as_int() != 1) return fail(ErrorCode::invalid, "a stored set of an unknown version");
  Set out;
  for (const Json& one : json["objects"].items()) out.objects.push_back({one["object"], one["source"].str()});
  return out;
}

int kind_order(std::string_view kind) {
  constexpr std::array<std::string_view, 30> order{
      "PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "ServiceAccount", "Secret", "ConfigMap",
      "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
      "Service", "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob",
      "IngressClass", "Ingress", "APIService"};
  return static_cast<int>(std::ranges::find(order, kind) - order.begin());
}

void sort_for_apply(Set& set) {
  std::ranges::stable_sort(set.objects, {}, [](const Object& one) { return std::pair(kind_order(one.object["kind"].as_string()), id_of(one.object)); });
}

namespace {

// "host/name:tag@digest" -> "host/name"
std::string_view repository_of(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const auto colon = image.rfind(':');
  return colon != image.npos && image.find('/', colon) == image.npos ? image.substr(0, colon) : image;
}

}  // namespace

Json with_image_digests(const Json& value, const std::map<std::string, std::string>& images) {
  if (value.is_array()) {
    std::vector<Json> items;
    for (const Json& item : value.items()) items.push_back(with_image_digests(item, images));
    return Json::array(std::move(items));
  }
  if (!value.is_object()) return value;
  Json out = value;
  for (const auto& member : value.members()) {
    if ((member.key() == "containers" || member.key() == "initContainers") && member.value.is_array()) {
      std::vector<Json> containers;
      for (const Json& container : member.value.items()) {
        const std::string repository(repository_of(container["image"].as_string()));
        const auto found = images.find(repository);
        containers.push_back(found == images.end() ? container : container.with("image", repository + "@" + found->second));
      }
      out = out.with(member.key(), Json::array(std::move(containers)));
    } else if (member.value.is_object() || member.value.is_array()) {
      out = out.with(member.key(), with_image_digests(member.value, images));
    }
  }
  return out;
}

Json owned(const Json& object, const kube::ObjectKey& app) {
  return object.with_path({"metadata", "labels", app_label}, app.name)
      .with_path({"metadata", "labels", "app.kubernetes.io/managed-by"}, "slipway")
      .with_path({"metadata", "annotations", app_namespace_annotation}, app.ns);
}

}  // namespace slipway::desired
