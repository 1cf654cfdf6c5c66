// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cluster/api/structural.h"

namespace slipway::api {
namespace {

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alphanumeric(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }

constexpr std::string_view subdomain_rule =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
constexpr std::string_view label_rule =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

// Collects causes while it walks one object.
class Checker {
 public:
  Checker(const ResourceInfo& resource, const Json& object, const Json& before)
      : resource_(resource), object_(object), before_(before) {}

  std::vector<Cause> run() {
    metadata();
    const std::string& kind = resource_.id.kind;
    if (resource_.custom) {
      if (resource_.schema.is_object())
        for (Cause& one : schema_causes(resource_.schema, object_)) add(std::move(one));
      return std::move(causes_);
    }
    if (kind == "Pod") pod();
    if (kind == "Deployment" || kind == "ReplicaSet") workload();
    if (kind == "Service") service();
    if (kind == "ConfigMap" || kind == "Secret") data();
    if (kind == "CustomResourceDefinition") definition();
    return std::move(causes_);
  }

 private:
  void add(Cause cause) { causes_.push_back(std::move(cause)); }

  void metadata() {
    const Json& metadata = object_["metadata"];
    const std::string_view name = metadata["name"].as_string();
    const std::string& kind = resource_.id.kind;
    const bool label = kind == "Namespace" || kind == "Service";
    if (name.empty()) add({"FieldValueRequired", "metadata.name", "Required value: name or generateName is required"});
    else if (label ? !is_dns_label(name) : !is_dns_subdomain(name))
      add(invalid_value("metadata.name", metadata["name"], name.size() > 253 ? "must be no more than 253 bytes"
                                                           : label           ? label_rule : subdomain_rule));
    for (const auto& one : metadata["labels"].members()) {
      if (!is_qualified_name(one.key())) add(invalid_value("metadata.labels", one.key(), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
      if (!one.value.is_string() || !is_label_value(one.value.as_string()))
        add(invalid_value("metadata.labels", one.value, one.value.as_string().size() > 63 ? "must be no more than 63 bytes" : "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
    }
    std::size_t bytes = 0;
    for (const auto& one : metadata["annotations"].members()) bytes += one.key().size() + one.value.as_string().size();
    if (bytes > annotations_limit) add({"FieldValueTooLong", "metadata.annotations", fmt::format("Too long: may not be more than {} bytes", annotations_limit)});
  }

  void data() {
    std::size_t bytes = 0;
    for (const char* field : {"data", "binaryData"})
      for (const auto& one : object_[field].members()) {
        if (!one.value.is_string()) add(invalid_value(fmt::format("{}[{}]", field, one.key()), one.value, "must be a string"));
        bytes += one.value.as_string().size();
      }
    if (bytes > data_limit) add({"FieldValueTooLong", "data", fmt::format("Too long: may not be more than {} bytes", data_limit)});
    if (before_["immutable"].as_bool() && object_["data"] != before_["data"])
      add({"FieldValueForbidden", "data", "Forbidden: field is immutable when `immutable` is set"});
    if (resource_.id.kind == "Secret" && !before_.is_null() && object_["type"] != before_["type"])
      add(immutable_field("type", object_["type"]));
  }

  void containers(const Json& list, const std::string& path, std::set<std::string>& names) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string at = fmt::format("{}[{}]", path, i);
      const std::string name = list[i]["name"].str();
      if (name.empty()) add(required(at + ".name"));
      else if (!is_dns_label(name)) add(invalid_value(at + ".name", name, label_rule));
      else if (!names.insert(name).second)
        add({"FieldValueDuplicate", at + ".name", fmt::format("Duplicate value: \"{}\"", name)});
      if (list[i]["image"].as_string().empty()) add(required(at + ".image"));
      for (const Json& port : list[i]["ports"].items())
        if (const auto number = port["containerPort"].as_int(); number < 1 || number > 65535)
          add(invalid_value(at + ".ports.containerPort", port["containerPort"], "must be between 1 and 65535, inclusive"));
    }
  }

  void pod_spec(const Json& spec, const std::string& path) {
    std::set<std::string> names;
    if (spec["containers"].empty()) add(required(path + ".containers"));
    containers(spec["containers"], path + ".containers", names);
    containers(spec["initContainers"], path + ".initContainers", names);
    const std::string policy = spec["restartPolicy"].str();
    if (policy != "Always" && policy != "OnFailure" && policy != "Never")
      add(unsupported_value(path + ".restartPolicy", spec["restartPolicy"], {"Always", "OnFailure", "Never"}));
    std::set<std::string> volumes;
    for (const Json& volume : spec["volumes"].items()) volumes.insert(volume["name"].str());
    for (const Json& container : spec["containers"].items())
      for (const Json& mount : container["volumeMounts"].items())
        if (!volumes.contains(mount["name"].str()))
          add({"FieldValueNotFound", path + ".containers.volumeMounts.name", fmt::format("Not found: {}", to_json(mount["name"]))});
  }

  void pod() {
    pod_spec(object_["spec"], "spec");
    if (before_.is_null()) return;
    // Images may change, and what a scheduler or a controller may set.
    const auto fixed = [](Json spec) {
      for (const char* key : {"nodeName", "tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates"})
        spec = spec.without(key);
      for (const char* key : {"containers", "initContainers"}) {
        std::vector<Json> list;
        for (const Json& one : spec[key].items()) list.push_back(one.without("image"));
        spec = spec.with(key, Json::array(std::move(list)));
      }
      return spec;
    };
    if (fixed(object_["spec"]) != fixed(before_["spec"]))
      add({"FieldValueForbidden", "spec", "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"});
  }

  void workload() {
    const Json& spec = object_["spec"];
    if (!spec["selector"].is_object()) add(required("spec.selector"));
    else if (spec["selector"]["matchLabels"].empty() && spec["selector"]["matchExpressions"].empty())
      add(invalid_value("spec.selector", spec["selector"], "empty selector is invalid for deployment"));
    const Json& labels = spec.at_path({"template", "metadata", "labels"});
    for (const auto& one : spec["selector"]["matchLabels"].members())
      if (labels[one.key()] != one.value) {
        add(invalid_value("spec.template.metadata.labels", labels.is_null() ? Json::object() : labels, "`selector` does not match template `labels`"));
        break;
      }
    if (!spec["replicas"].is_int() || spec["replicas"].as_int() < 0)
      add(invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0"));
    pod_spec(spec["template"]["spec"], "spec.template.spec");
    if (const Json& policy = spec.at_path({"template", "spec", "restartPolicy"}); policy.as_string() != "Always")
      add(unsupported_value("spec.template.spec.restartPolicy", policy, {"Always"}));
    if (!before_.is_null() && before_["spec"]["selector"] != spec["selector"]) add(immutable_field("spec.selector", spec["selector"]));
  }

  void service() {
    const Json& spec = object_["spec"];
    const std::string type = spec["type"].str();
    const std::vector<std::string> types{"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"};
    if (std::ranges::find(types, type) == types.end()) add(unsupported_value("spec.type", spec["type"], types));
    if (spec["ports"].empty() && type != "ExternalName" && spec["clusterIP"].as_string() != "None") add(required("spec.ports"));
    for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
      const std::string at = fmt::format("spec.ports[{}]", i);
      const Json& port = spec["ports"][i];
      if (spec["ports"].size() > 1 && port["name"].as_string().empty()) add(required(at + ".name"));
      if (port["port"].as_int() < 1 || port["port"].as_int() > 65535)
        add(invalid_value(at + ".port", port["port"], "must be between 1 and 65535, inclusive"));
    }
    const std::string was = before_["spec"]["clusterIP"].str();
    if (!was.empty() && type != "ExternalName" && spec["clusterIP"].as_string() != was)
      add(immutable_field("spec.clusterIPs[0]", spec["clusterIP"]));
  }

  void definition() {
    const Json& spec = object_["spec"];
    const std::string name = fmt::format("{}.{}", spec["names"]["plural"].as_string(), spec["group"].as_string());
    for (const char* key : {"plural", "kind"})
      if (spec["names"][key].as_string().empty()) add(required(fmt::format("spec.names.{}", key)));
    if (spec["group"].as_string().empty()) add(required("spec.group"));
    if (object_["metadata"]["name"].as_string() != name)
      add(invalid_value("metadata.name", object_["metadata"]["name"], "must be spec.names.plural+\".\"+spec.group"));
    if (const auto scope = spec["scope"].as_string(); scope != "Namespaced" && scope != "Cluster")
      add(unsupported_value("spec.scope", spec["scope"], {"Cluster", "Namespaced"}));
    std::size_t storage = 0;
    for (const Json& version : spec["versions"].items()) {
      storage += version["storage"].as_bool() ? 1U : 0U;
      const Json& schema = version.at_path({"schema", "openAPIV3Schema"});
      if (!schema.is_object()) add(required("spec.versions[0].schema.openAPIV3Schema"));
      for (Cause& one : causes_in_schema(schema, "spec.versions[0].schema.openAPIV3Schema")) add(std::move(one));
    }
    if (storage != 1) add(invalid_value("spec.versions", spec["versions"], "must have exactly one version marked as storage version"));
    if (const auto strategy = spec["conversion"]["strategy"].as_string(); strategy != "None")
      add(unsupported_value("spec.conversion.strategy", spec["conversion"]["strategy"], {"None"}));
  }

  const ResourceInfo& resource_;
  const Json& object_;
  const Json& before_;
  std::vector<Cause> causes_;
};

}  // namespace

bool is_dns_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && is_lower_or_digit(text.front()) && is_lower_or_digit(text.back()) &&
         std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  // Parts may be longer than 63 here, as they may in Kubernetes.
  return std::ranges::all_of(split(text, '.'), [](std::string_view part) {
    return !part.empty() && is_lower_or_digit(part.front()) && is_lower_or_digit(part.back()) &&
           std::ranges::all_of(part, [](char c) { return is_lower_or_digit(c) || c == '-'; });
  });
}

bool is_label_value(std::string_view text) {
  if (text.empty()) return true;
  return text.size() <= 63 && is_alphanumeric(text.front()) && is_alphanumeric(text.back()) &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_qualified_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash != text.npos && !is_dns_subdomain(text.substr(0, slash))) return false;
  const std::string_view name = slash == text.npos ? text : text.substr(slash + 1);
  return !name.empty() && is_label_value(name);
}

Answer<> validate(const ResourceInfo& resource, const Json& object, const Json& before) {
  std::vector<Cause> causes = Checker(resource, object, before).run();
  if (causes.empty()) return {};
  return invalid(object, std::move(causes));
}

}  // namespace slipway::api
