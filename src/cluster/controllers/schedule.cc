// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/strings.h"

namespace slipway::cluster {
namespace {

// A quantity in thousandths; enough for a sum of requests.
double quantity(const Json& value) {
  const std::string text = value.is_string() ? value.str() : text::to_json(value);
  constexpr std::pair<std::string_view, double> suffixes[] = {{"Ki", 1024.}, {"Mi", 1048576.}, {"Gi", 1073741824.}, {"Ti", 1099511627776.},
                                                              {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}};
  std::string_view number = text;
  double factor = 1;
  for (const auto& [suffix, scale] : suffixes)
    if (number.ends_with(suffix)) {
      number.remove_suffix(suffix.size());
      factor = scale;
      break;
    }
  return std::strtod(std::string(number).c_str(), nullptr) * factor;
}

double request_of(const Json& pod, std::string_view resource) {
  double sum = 0, largest_init = 0;
  for (const Json& container : pod["spec"]["containers"].items()) sum += quantity(container["resources"]["requests"][resource]);
  for (const Json& container : pod["spec"]["initContainers"].items()) largest_init = std::max(largest_init, quantity(container["resources"]["requests"][resource]));
  return std::max(sum, largest_init);
}

bool tolerates(const Json& pod, const Json& taint) {
  return std::ranges::any_of(pod["spec"]["tolerations"].items(), [&](const Json& toleration) {
    const bool effect = toleration["effect"].is_null() || toleration["effect"] == taint["effect"];
    const bool key = toleration["key"].is_null() ? toleration["operator"].as_string() == "Exists" : toleration["key"] == taint["key"];
    const bool value = toleration["operator"].as_string() == "Exists" || toleration["value"].as_string() == taint["value"].as_string();
    return effect && key && value;
  });
}

// Why the node does not take the pod; empty where it does.
std::string refusal(const Json& pod, const Json& node, const std::vector<Json>& pods) {
  if (node["spec"]["unschedulable"].as_bool()) return "node(s) were unschedulable";
  if (find_condition(node["status"]["conditions"], "Ready")["status"].as_string() != "True") return "node(s) were not ready";
  for (const Json& taint : node["spec"]["taints"].items())
    if (taint["effect"].as_string() != "PreferNoSchedule" && !tolerates(pod, taint))
      return fmt::format("node(s) had untolerated taint(s) {{{}: {}}}", taint["key"].as_string(), taint["value"].as_string());
  for (const auto& wanted : pod["spec"]["nodeSelector"].members())
    if (node["metadata"]["labels"][wanted.key()] != wanted.value) return "node(s) didn't match Pod's node affinity/selector";
  const Json& allocatable = node["status"]["allocatable"];
  std::map<std::string_view, double> used{{"cpu", 0}, {"memory", 0}};
  std::int64_t count = 0;
  for (const Json& other : pods) {
    const std::string_view phase = other["status"]["phase"].as_string();
    if (other["spec"]["nodeName"] != node["metadata"]["name"] || phase == "Succeeded" || phase == "Failed") continue;
    ++count;
    for (auto& [resource, sum] : used) sum += request_of(other, resource);
  }
  if (!allocatable["pods"].is_null() && static_cast<double>(count + 1) > quantity(allocatable["pods"])) return "Too many pods";
  for (const auto& [resource, sum] : used)
    if (!allocatable[resource].is_null() && request_of(pod, resource) > 0 && sum + request_of(pod, resource) > quantity(allocatable[resource]) + 1e-9)
      return fmt::format("Insufficient {}", resource);
  return {};
}

}  // namespace

Placement place(const Json& pod, const std::vector<Json>& nodes, const std::vector<Json>& pods) {
  std::map<std::string, int> reasons;
  for (const Json& node : nodes) {
    const std::string why = refusal(pod, node, pods);
    if (why.empty()) return {node["metadata"]["name"].str(), {}};
    ++reasons[why];
  }
  if (nodes.empty()) return {"", "no nodes available to schedule pods"};
  std::vector<std::string> parts;
  for (const auto& [why, count] : reasons) parts.push_back(fmt::format("{} {}", count, why));
  return {"", fmt::format("0/{} nodes are available: {}.", nodes.size(), join(parts, ", "))};
}

}  // namespace slipway::cluster
