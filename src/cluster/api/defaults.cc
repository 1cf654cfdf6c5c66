// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/defaults.h"

#include "base/strings.h"

namespace slipway::api {
namespace {

void fill(Json& object, std::string_view key, const Json& value) {
  if (object[key].is_null()) object = object.with(key, value);
}

template <class Change>
void each(Json& object, std::string_view key, Change change) {
  const Json list = object[key];
  if (!list.is_array() || list.empty()) return;
  std::vector<Json> out;
  for (Json item : list.items()) {
    if (item.is_object()) change(item);
    out.push_back(std::move(item));
  }
  object = object.with(key, Json::array(std::move(out)));
}

template <class Change>
void inside(Json& object, std::string_view key, Change change) {
  Json value = object[key];
  if (!value.is_object()) return;
  change(value);
  object = object.with(key, value);
}

void probe(Json& it) {
  fill(it, "timeoutSeconds", 1);
  fill(it, "periodSeconds", 10);
  fill(it, "successThreshold", 1);
  fill(it, "failureThreshold", 3);
  inside(it, "httpGet", [](Json& get) {
    fill(get, "path", "/");
    fill(get, "scheme", "HTTP");
  });
}

// "latest" or no tag is pulled always, what is named exactly only where it is missing.
std::string_view pull_policy(std::string_view image) {
  if (image.find('@') != image.npos) return "IfNotPresent";
  const std::size_t slash = image.rfind('/');
  const std::string_view last = slash == image.npos ? image : image.substr(slash + 1);
  const std::size_t colon = last.find(':');
  return colon == last.npos || last.substr(colon + 1) == "latest" ? "Always" : "IfNotPresent";
}

void container(Json& it) {
  fill(it, "imagePullPolicy", Json(pull_policy(it["image"].as_string())));
  fill(it, "terminationMessagePath", "/dev/termination-log");
  fill(it, "terminationMessagePolicy", "File");
  fill(it, "resources", Json::object());
  each(it, "ports", [](Json& port) { fill(port, "protocol", "TCP"); });
  each(it, "env", [](Json& variable) {
    inside(variable, "valueFrom", [](Json& from) { inside(from, "fieldRef", [](Json& ref) { fill(ref, "apiVersion", "v1"); }); });
  });
  for (const char* name : {"livenessProbe", "readinessProbe", "startupProbe"}) inside(it, name, probe);
  // A limit without a request is the request too.
  if (!it.at_path({"resources", "limits"}).is_object()) return;
  Json requests = it.at_path({"resources", "requests"}).is_object() ? it["resources"]["requests"] : Json::object();
  for (const auto& limit : it["resources"]["limits"].members()) fill(requests, limit.key(), limit.value);
  it = it.with_path({"resources", "requests"}, requests);
}

void volume(Json& it) {
  for (const char* name : {"configMap", "secret", "downwardAPI"})
    inside(it, name, [](Json& source) { fill(source, "defaultMode", 420); });
  inside(it, "projected", [](Json& source) {
    fill(source, "defaultMode", 420);
    each(source, "sources", [](Json& one) {
      inside(one, "serviceAccountToken", [](Json& token) { fill(token, "expirationSeconds", 3600); });
    });
  });
}

void pod_spec(Json& it) {
  fill(it, "restartPolicy", "Always");
  fill(it, "terminationGracePeriodSeconds", 30);
  fill(it, "dnsPolicy", "ClusterFirst");
  fill(it, "securityContext", Json::object());
  fill(it, "schedulerName", "default-scheduler");
  each(it, "initContainers", container);
  each(it, "containers", container);
  each(it, "volumes", volume);
}

void deployment(Json& spec) {
  fill(spec, "replicas", 1);
  fill(spec, "revisionHistoryLimit", 10);
  fill(spec, "progressDeadlineSeconds", 600);
  fill(spec, "strategy", Json::object());
  inside(spec, "strategy", [](Json& strategy) {
    fill(strategy, "type", "RollingUpdate");
    if (strategy["type"].as_string() != "RollingUpdate") return;
    fill(strategy, "rollingUpdate", Json::object());
    inside(strategy, "rollingUpdate", [](Json& update) {
      fill(update, "maxUnavailable", "25%");
      fill(update, "maxSurge", "25%");
    });
  });
}

void service(Json& spec) {
  fill(spec, "type", "ClusterIP");
  fill(spec, "sessionAffinity", "None");
  const std::string type = spec["type"].str();
  if (type == "ExternalName") return;
  fill(spec, "internalTrafficPolicy", "Cluster");
  fill(spec, "ipFamilies", Json::array({"IPv4"}));
  fill(spec, "ipFamilyPolicy", "SingleStack");
  if (type != "ClusterIP") fill(spec, "externalTrafficPolicy", "Cluster");
  each(spec, "ports", [](Json& port) {
    fill(port, "protocol", "TCP");
    fill(port, "targetPort", port["port"]);
  });
}

void definition(Json& spec) {
  fill(spec, "conversion", Json::object({{"strategy", "None"}}));
  inside(spec, "names", [](Json& names) {
    std::string lower = names["kind"].str();
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    fill(names, "singular", lower);
    fill(names, "listKind", names["kind"].str() + "List");
  });
}

// stringData is for writing alone, in whatever way it is written.
void secret(Json& object) {
  fill(object, "type", "Opaque");
  if (!object["stringData"].is_object()) return;
  Json data = object["data"].is_object() ? object["data"] : Json::object();
  for (const auto& one : object["stringData"].members()) data = data.with(one.key(), to_base64(one.value.as_string()));
  object = object.with("data", data).without("stringData");
}

}  // namespace

Json with_defaults(const ResourceInfo& resource, Json object) {
  const std::string& kind = resource.id.kind;
  if (resource.custom) return resource.schema.is_object() ? with_schema_defaults(resource.schema, std::move(object)) : object;
  if (kind == "Secret") secret(object);
  if (kind == "Pod") {
    inside(object, "spec", [](Json& spec) {
      pod_spec(spec);
      fill(spec, "enableServiceLinks", true);
    });
    fill(object, "status", Json::object({{"phase", "Pending"}}));
  }
  if (kind == "Deployment" || kind == "ReplicaSet")
    inside(object, "spec", [&](Json& spec) {
      if (kind == "Deployment") deployment(spec);
      else fill(spec, "replicas", 1);
      inside(spec, "template", [](Json& pod) { inside(pod, "spec", pod_spec); });
    });
  if (kind == "Service") {
    inside(object, "spec", service);
    fill(object, "status", Json::object({{"loadBalancer", Json::object()}}));
  }
  if (kind == "CustomResourceDefinition") inside(object, "spec", definition);
  if (kind == "Namespace") {
    fill(object, "spec", Json::object({{"finalizers", Json::array({"kubernetes"})}}));
    if (!object["status"]["phase"].is_string()) object = object.with("status", Json::object({{"phase", "Active"}}));
    object = object.with_path({"metadata", "labels", "kubernetes.io/metadata.name"}, object["metadata"]["name"]);
  }
  return object;
}

Json with_schema_defaults(const Json& schema, Json value) {
  if (value.is_object()) {
    for (const auto& property : schema["properties"].members()) {
      if (!value.contains(property.key()) && !property.value["default"].is_null())
        value = value.with(property.key(), property.value["default"]);
      if (const Json* inner = value.find(property.key())) {
        const Json changed = with_schema_defaults(property.value, *inner);
        if (!changed.is_same(*inner)) value = value.with(property.key(), changed);
      }
    }
    const Json& additional = schema["additionalProperties"];
    if (additional.is_object())
      for (const auto& member : Json(value).members())
        value = value.with(member.key(), with_schema_defaults(additional, member.value));
  }
  if (value.is_array() && schema["items"].is_object())
    for (std::size_t i = 0; i < value.size(); ++i) value = value.with_item(i, with_schema_defaults(schema["items"], value[i]));
  return value;
}

Json pruned(const Json& schema, Json value) {
  if (schema["x-kubernetes-preserve-unknown-fields"].as_bool()) return value;
  if (value.is_object()) {
    const Json& additional = schema["additionalProperties"];
    if (!schema["properties"].is_object() && additional.is_null() && schema["type"].as_string() != "object") return value;
    if (additional.as_bool()) return value;
    for (const auto& member : Json(value).members()) {
      const Json* property = schema["properties"].find(member.key());
      if (property == nullptr && additional.is_object()) property = &additional;
      if (property == nullptr) value = value.without(member.key());
      else value = value.with(member.key(), pruned(*property, member.value));
    }
  }
  if (value.is_array() && schema["items"].is_object())
    for (std::size_t i = 0; i < value.size(); ++i) value = value.with_item(i, pruned(schema["items"], value[i]));
  return value;
}

}  // namespace slipway::api
