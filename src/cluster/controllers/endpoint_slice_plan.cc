// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/endpoint_slice_plan.h"

#include <algorithm>
#include <map>

#include "base/digest.h"
#include "kube/control.h"

namespace slipway::cluster {
namespace {

// A port of the Service on one pod; nothing where the pod names no such port.
std::optional<std::int64_t> port_on(const Json& service_port, const PodView& pod) {
  const Json& target = service_port["targetPort"];
  if (target.is_null()) return service_port["port"].as_int();
  if (target.is_int()) return target.as_int();
  const std::string_view protocol = service_port["protocol"].as_string("TCP");
  for (const char* list : {"containers", "initContainers"})
    for (const Json& container : pod.object["spec"][list].items())
      for (const Json& port : container["ports"].items())
        if (port["name"].as_string() == target.as_string() && port["protocol"].as_string("TCP") == protocol) return port["containerPort"].as_int();
  return std::nullopt;
}

Json ports_on(const Json& service, const PodView& pod) {
  std::vector<Json> ports;
  for (const Json& port : service["spec"]["ports"].items()) {
    const auto number = port_on(port, pod);
    if (!number) continue;
    Json one = Json::object({{"name", port["name"].as_string()}, {"port", *number}, {"protocol", port["protocol"].as_string("TCP")}});
    if (!port["appProtocol"].is_null()) one = one.with("appProtocol", port["appProtocol"]);
    ports.push_back(one);
  }
  return Json::array(std::move(ports));
}

Json endpoint_of(const Json& service, const PodView& pod) {
  const bool always = service["spec"]["publishNotReadyAddresses"].as_bool();
  const bool serving = pod.ready || always;
  const Json conditions = Json::object({{"ready", serving && (!pod.deleting || always)}, {"serving", serving}, {"terminating", pod.deleting}});
  Json endpoint = Json::object({{"addresses", Json::array({pod.ip})}, {"conditions", conditions}, {"nodeName", pod.node},
                                {"targetRef", Json::object({{"kind", "Pod"}, {"name", pod.name}, {"namespace", pod.ns}, {"uid", pod.uid}})}});
  const Json& spec = pod.object["spec"];
  if (!spec["hostname"].is_null() && spec["subdomain"] == service["metadata"]["name"]) endpoint = endpoint.with("hostname", spec["hostname"]);
  return endpoint;
}

Json slice(const Json& service, std::size_t index, const Json& ports, std::vector<Json> endpoints) {
  const Json& metadata = service["metadata"];
  const std::string service_name = metadata["name"].str();
  const std::string name = service_name.substr(0, 57) + "-" + sha256_hex(metadata["uid"].str() + std::to_string(index)).substr(0, 5);
  Json labels = metadata["labels"].is_null() ? Json::object() : metadata["labels"];
  labels = labels.with("kubernetes.io/service-name", service_name).with("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
  if (service["spec"]["clusterIP"].as_string() == "None") labels = labels.with("service.kubernetes.io/headless", "");
  const Json owner = kube::controller_reference(kube::resources::services, service);
  return Json::object({{"apiVersion", "discovery.k8s.io/v1"}, {"kind", "EndpointSlice"},
                       {"metadata", Json::object({{"name", name}, {"namespace", metadata["namespace"]}, {"labels", labels}, {"ownerReferences", Json::array({owner})}})},
                       {"addressType", "IPv4"}, {"endpoints", Json::array(std::move(endpoints))}, {"ports", ports}});
}

}  // namespace

std::vector<Json> plan_endpoint_slices(const Json& service, const std::vector<PodView>& pods) {
  // Pods with the same port numbers share slices; a named port may be another number on another pod.
  std::map<std::string, std::pair<Json, std::vector<Json>>> groups;
  std::vector<const PodView*> order;
  for (const PodView& pod : pods)
    if (!pod.ip.empty() && pod.phase != "Succeeded" && pod.phase != "Failed") order.push_back(&pod);
  std::ranges::sort(order, {}, &PodView::name);
  for (const PodView* pod : order) {
    const Json ports = ports_on(service, *pod);
    auto& group = groups[text::to_json(ports)];
    group.first = ports;
    group.second.push_back(endpoint_of(service, *pod));
  }
  std::vector<Json> slices;
  for (auto& [key, group] : groups) {
    auto& [ports, endpoints] = group;
    for (std::size_t from = 0; from < endpoints.size(); from += max_endpoints_per_slice) {
      const std::size_t to = std::min(endpoints.size(), from + max_endpoints_per_slice);
      slices.push_back(slice(service, slices.size(), ports, {endpoints.begin() + static_cast<std::ptrdiff_t>(from), endpoints.begin() + static_cast<std::ptrdiff_t>(to)}));
    }
  }
  if (slices.empty()) slices.push_back(slice(service, 0, Json::array(), {}));  // a Service without pods is known as such
  return slices;
}

}  // namespace slipway::cluster
