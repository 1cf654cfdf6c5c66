// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/printers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cluster/api/tables.h"

namespace slipway::api {
namespace {

std::string joined(const std::vector<std::string>& parts, std::string_view none = "<none>") {
  return parts.empty() ? std::string(none) : join(parts, ",");
}

std::string text_or(const Json& value, std::string_view none) {
  const std::string_view text = value.as_string();
  return std::string(text.empty() ? none : text);
}

std::vector<std::string> each(const Json& list, std::string_view key) {
  std::vector<std::string> out;
  for (const Json& one : list.items()) out.push_back(one[key].str());
  return out;
}

std::string selector_text(const Json& selector) {
  std::vector<std::string> parts;
  for (const auto& one : selector["matchLabels"].members()) parts.push_back(fmt::format("{}={}", one.key(), one.value.as_string()));
  for (const Json& one : selector["matchExpressions"].items()) {
    std::vector<std::string> values;
    for (const Json& value : one["values"].items()) values.push_back(value.str());
    const std::string_view how = one["operator"].as_string();
    const std::string key = one["key"].str();
    if (how == "Exists") parts.push_back(key);
    else if (how == "DoesNotExist") parts.push_back("!" + key);
    else parts.push_back(fmt::format("{} {} ({})", key, how == "In" ? "in" : "notin", join(values, ",")));
  }
  return joined(parts);
}

bool condition_is_true(const Json& status, std::string_view type) {
  for (const Json& one : status["conditions"].items())
    if (one["type"].as_string() == type) return one["status"].as_string() == "True";
  return false;
}

Json age_cell(const Json& object, Wall now) { return age_of(object["metadata"]["creationTimestamp"], now); }

// What a container's state adds to a pod's STATUS; empty where nothing.
std::string reason_of(const Json& state) {
  const Json& ended = state["terminated"];
  if (const auto waiting = state["waiting"]["reason"].as_string(); !waiting.empty()) return std::string(waiting);
  if (!ended.is_object()) return {};
  if (const auto reason = ended["reason"].as_string(); !reason.empty()) return std::string(reason);
  if (ended["signal"].as_int() != 0) return fmt::format("Signal:{}", ended["signal"].as_int());
  return fmt::format("ExitCode:{}", ended["exitCode"].as_int());
}

bool is_sidecar(const Json& pod, const Json& container) {
  for (const Json& one : pod["spec"]["initContainers"].items())
    if (one["name"] == container["name"]) return one["restartPolicy"].as_string() == "Always";
  return false;
}

struct PodSummary {
  std::string status;
  std::size_t ready = 0, containers = 0;
  std::int64_t restarts = 0;
  std::string last_restart;  // RFC 3339
};

void note_restart(const Json& container, PodSummary& out) {
  const std::string at = container.at_path({"lastState", "terminated", "finishedAt"}).str();
  out.last_restart = std::max(out.last_restart, at);
}

// True while the init containers are not through; the status then says how far they are.
bool summarize_init(const Json& pod, PodSummary& out) {
  const Json& status = pod["status"];
  const std::size_t wanted = pod["spec"]["initContainers"].size();
  std::int64_t restarts = 0;
  for (std::size_t i = 0; i < status["initContainerStatuses"].size(); ++i) {
    const Json& one = status["initContainerStatuses"][i];
    const Json& ended = one["state"]["terminated"];
    const bool sidecar = is_sidecar(pod, one);
    restarts += one["restartCount"].as_int();
    note_restart(one, out);
    if (sidecar && one["ready"].as_bool()) ++out.ready;
    if (sidecar && one["started"].as_bool()) continue;
    if (ended.is_object() && ended["exitCode"].as_int() == 0) continue;
    const std::string reason = reason_of(one["state"]);
    if (!ended.is_object() && (reason.empty() || reason == "PodInitializing")) out.status = fmt::format("Init:{}/{}", i, wanted);
    else out.status = "Init:" + reason;
    out.restarts = restarts;
    return true;
  }
  return false;
}

PodSummary summarize(const Json& pod) {
  const Json& status = pod["status"];
  PodSummary out;
  out.containers = pod["spec"]["containers"].size();
  for (const Json& one : pod["spec"]["initContainers"].items()) out.containers += one["restartPolicy"].as_string() == "Always" ? 1U : 0U;
  out.status = text_or(status["reason"], text_or(status["phase"], "Pending"));
  for (const Json& one : status["conditions"].items())
    if (one["type"].as_string() == "PodScheduled" && one["reason"].as_string() == "SchedulingGated") out.status = "SchedulingGated";
  if (!summarize_init(pod, out)) {
    bool running = false;
    std::int64_t restarts = 0;
    for (std::size_t i = status["containerStatuses"].size(); i-- > 0;) {
      const Json& one = status["containerStatuses"][i];
      restarts += one["restartCount"].as_int();
      note_restart(one, out);
      if (const std::string reason = reason_of(one["state"]); !reason.empty()) out.status = reason;
      else if (one["ready"].as_bool() && one["state"]["running"].is_object()) running = true, ++out.ready;
    }
    for (const Json& one : status["initContainerStatuses"].items())
      if (is_sidecar(pod, one)) restarts += one["restartCount"].as_int();
    if (out.status == "Completed" && running) out.status = condition_is_true(status, "Ready") ? "Running" : "NotReady";
    out.restarts = restarts;
  }
  if (pod["metadata"].contains("deletionTimestamp")) {
    const std::string_view phase = status["phase"].as_string();
    if (status["reason"].as_string() == "NodeLost") out.status = "Unknown";
    else if (phase != "Succeeded" && phase != "Failed") out.status = "Terminating";
  }
  return out;
}

std::vector<Json> pod_cells(const Json& pod, Wall now) {
  const PodSummary summary = summarize(pod);
  std::string restarts = std::to_string(summary.restarts);
  if (summary.restarts > 0 && !summary.last_restart.empty()) restarts += fmt::format(" ({} ago)", age_of(summary.last_restart, now));
  const Json& gates = pod["spec"]["readinessGates"];
  std::size_t open = 0;
  for (const Json& gate : gates.items()) open += condition_is_true(pod["status"], gate["conditionType"].as_string()) ? 1U : 0U;
  std::string ip = pod["status"]["podIPs"][0]["ip"].str(pod["status"]["podIP"].as_string());
  return {pod["metadata"]["name"], fmt::format("{}/{}", summary.ready, summary.containers), summary.status, restarts, age_cell(pod, now),
          ip.empty() ? "<none>" : ip, text_or(pod["spec"]["nodeName"], "<none>"), text_or(pod["status"]["nominatedNodeName"], "<none>"),
          gates.empty() ? "<none>" : fmt::format("{}/{}", open, gates.size())};
}

std::vector<Json> deployment_cells(const Json& object, Wall now) {
  const Json &spec = object["spec"], &status = object["status"];
  const Json& containers = spec["template"]["spec"]["containers"];
  return {object["metadata"]["name"], fmt::format("{}/{}", status["readyReplicas"].as_int(), spec["replicas"].as_int(1)),
          status["updatedReplicas"].as_int(), status["availableReplicas"].as_int(), age_cell(object, now),
          joined(each(containers, "name")), joined(each(containers, "image")), selector_text(spec["selector"])};
}

std::vector<Json> replica_set_cells(const Json& object, Wall now) {
  const Json &spec = object["spec"], &status = object["status"];
  const Json& containers = spec["template"]["spec"]["containers"];
  return {object["metadata"]["name"], spec["replicas"].as_int(1), status["replicas"].as_int(), status["readyReplicas"].as_int(),
          age_cell(object, now), joined(each(containers, "name")), joined(each(containers, "image")), selector_text(spec["selector"])};
}

std::string external_ip(const Json& service) {
  const Json& spec = service["spec"];
  const std::string_view type = spec["type"].as_string();
  std::vector<std::string> parts;
  if (type == "ExternalName") return spec["externalName"].str();
  for (const Json& one : service["status"]["loadBalancer"]["ingress"].items()) parts.push_back(text_or(one["ip"], one["hostname"].as_string()));
  for (const Json& one : spec["externalIPs"].items()) parts.push_back(one.str());
  return joined(parts, type == "LoadBalancer" ? "<pending>" : "<none>");
}

std::vector<Json> service_cells(const Json& object, Wall now) {
  const Json& spec = object["spec"];
  std::vector<std::string> ports, selector;
  for (const Json& one : spec["ports"].items()) {
    const std::string node = one["nodePort"].as_int() == 0 ? "" : fmt::format(":{}", one["nodePort"].as_int());
    ports.push_back(fmt::format("{}{}/{}", one["port"].as_int(), node, text_or(one["protocol"], "TCP")));
  }
  for (const auto& one : spec["selector"].members()) selector.push_back(fmt::format("{}={}", one.key(), one.value.as_string()));
  return {object["metadata"]["name"], spec["type"], text_or(spec["clusterIP"], "<none>"), external_ip(object), joined(ports), age_cell(object, now), joined(selector)};
}

// At most three, then how many more.
std::string shortened(std::vector<std::string> parts, std::string_view none) {
  const std::size_t all = parts.size();
  if (all > 3) parts.resize(3);
  return joined(parts, none) + (all > 3 ? fmt::format(" + {} more...", all - 3) : "");
}

std::vector<Json> endpoint_slice_cells(const Json& object, Wall now) {
  std::vector<std::string> ports, addresses;
  for (const Json& one : object["ports"].items()) ports.push_back(one["port"].is_int() ? to_json(one["port"]) : "*");
  for (const Json& one : object["endpoints"].items())
    for (const Json& address : one["addresses"].items()) addresses.push_back(address.str());
  return {object["metadata"]["name"], object["addressType"], shortened(ports, "<unset>"), shortened(addresses, "<unset>"), age_cell(object, now)};
}

std::string node_address(const Json& node, std::string_view type) {
  for (const Json& one : node["status"]["addresses"].items())
    if (one["type"].as_string() == type) return one["address"].str();
  return "<none>";
}

std::vector<Json> node_cells(const Json& node, Wall now) {
  std::string ready = "Unknown";
  for (const Json& one : node["status"]["conditions"].items())
    if (one["type"].as_string() == "Ready") ready = one["status"].as_string() == "True" ? "Ready" : "NotReady";
  if (node["spec"]["unschedulable"].as_bool()) ready += ",SchedulingDisabled";
  std::set<std::string> roles;
  constexpr std::string_view role = "node-role.kubernetes.io/";
  for (const auto& one : node["metadata"]["labels"].members()) {
    if (one.key().starts_with(role) && one.key().size() > role.size()) roles.emplace(one.key().substr(role.size()));
    else if (one.key() == "kubernetes.io/role" && !one.value.as_string().empty()) roles.insert(one.value.str());
  }
  const Json& info = node["status"]["nodeInfo"];
  return {node["metadata"]["name"], ready, joined({roles.begin(), roles.end()}), age_cell(node, now), info["kubeletVersion"],
          node_address(node, "InternalIP"), node_address(node, "ExternalIP"), text_or(info["osImage"], "<unknown>"),
          text_or(info["kernelVersion"], "<unknown>"), text_or(info["containerRuntimeVersion"], "<unknown>")};
}

std::vector<Json> event_cells(const Json& event, Wall now) {
  const Json& about = event["involvedObject"].is_object() ? event["involvedObject"] : event["regarding"];
  const Json &series = event["series"], &micro = event["eventTime"];
  const Json& first = event["firstTimestamp"].is_string() ? event["firstTimestamp"] : micro;
  const Json& last = series["lastObservedTime"].is_string() ? series["lastObservedTime"] : event["lastTimestamp"].is_string() ? event["lastTimestamp"] : first;
  const std::int64_t count = series["count"].is_int() ? series["count"].as_int() : event["count"].as_int(1);
  std::string source = text_or(event["source"]["component"], event["reportingComponent"].as_string());
  if (const auto host = event["source"]["host"].as_string(); !host.empty()) source += ", " + std::string(host);
  const Json& message = event["message"].is_string() ? event["message"] : event["note"];
  return {age_of(last, now), event["type"], event["reason"], fmt::format("{}/{}", to_lower(about["kind"].as_string()), about["name"].as_string()),
          about["fieldPath"].str(), source, std::string(trim(message.as_string())), age_of(first, now), count, event["metadata"]["name"]};
}

std::vector<Json> namespace_cells(const Json& object, Wall now) {
  return {object["metadata"]["name"], text_or(object["status"]["phase"], "Active"), age_cell(object, now)};
}
std::vector<Json> config_map_cells(const Json& object, Wall now) {
  return {object["metadata"]["name"], static_cast<std::int64_t>(object["data"].size() + object["binaryData"].size()), age_cell(object, now)};
}
std::vector<Json> secret_cells(const Json& object, Wall now) {
  return {object["metadata"]["name"], object["type"], static_cast<std::int64_t>(object["data"].size()), age_cell(object, now)};
}
std::vector<Json> account_cells(const Json& object, Wall now) {
  return {object["metadata"]["name"], static_cast<std::int64_t>(object["secrets"].size()), age_cell(object, now)};
}
std::vector<Json> lease_cells(const Json& object, Wall now) {
  return {object["metadata"]["name"], object["spec"]["holderIdentity"].str(), age_cell(object, now)};
}
std::vector<Json> definition_cells(const Json& object, Wall) {
  return {object["metadata"]["name"], object["metadata"]["creationTimestamp"]};
}

Column text(const char* name, int priority = 0) { return {name, "string", "", priority}; }
Column number(const char* name, int priority = 0) { return {name, "integer", "", priority}; }

std::map<std::string, Printer, std::less<>> make_printers() {
  std::map<std::string, Printer, std::less<>> out;
  out["Pod"] = {{text("Name"), text("Ready"), text("Status"), text("Restarts"), text("Age"), text("IP", 1), text("Node", 1), text("Nominated Node", 1), text("Readiness Gates", 1)}, pod_cells};
  out["Deployment"] = {{text("Name"), text("Ready"), number("Up-to-date"), number("Available"), text("Age"), text("Containers", 1), text("Images", 1), text("Selector", 1)}, deployment_cells};
  out["ReplicaSet"] = {{text("Name"), number("Desired"), number("Current"), number("Ready"), text("Age"), text("Containers", 1), text("Images", 1), text("Selector", 1)}, replica_set_cells};
  out["Service"] = {{text("Name"), text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), text("Age"), text("Selector", 1)}, service_cells};
  out["EndpointSlice"] = {{text("Name"), text("AddressType"), text("Ports"), text("Endpoints"), text("Age")}, endpoint_slice_cells};
  out["Node"] = {{text("Name"), text("Status"), text("Roles"), text("Age"), text("Version"), text("Internal-IP", 1), text("External-IP", 1), text("OS-Image", 1), text("Kernel-Version", 1), text("Container-Runtime", 1)}, node_cells};
  out["Event"] = {{text("Last Seen"), text("Type"), text("Reason"), text("Object"), text("Subobject", 1), text("Source", 1), text("Message"), text("First Seen", 1), number("Count", 1), text("Name", 1)}, event_cells};
  out["Namespace"] = {{text("Name"), text("Status"), text("Age")}, namespace_cells};
  out["ConfigMap"] = {{text("Name"), number("Data"), text("Age")}, config_map_cells};
  out["Secret"] = {{text("Name"), text("Type"), number("Data"), text("Age")}, secret_cells};
  out["ServiceAccount"] = {{text("Name"), number("Secrets"), text("Age")}, account_cells};
  out["Lease"] = {{text("Name"), text("Holder"), text("Age")}, lease_cells};
  out["CustomResourceDefinition"] = {{text("Name"), {"Created At", "date", "", 0}}, definition_cells};
  return out;
}

}  // namespace

const Printer* printer_of(const kube::Resource& resource) {
  static const auto printers = make_printers();
  const auto found = printers.find(resource.kind);
  return found == printers.end() ? nullptr : &found->second;
}

std::string age_of(const Json& timestamp, Wall now) {
  const auto at = parse_rfc3339(timestamp.as_string());
  if (!at) return "<unknown>";
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(now - *at));
}

}  // namespace slipway::api
