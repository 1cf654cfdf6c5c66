// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/workloads.h"

#include <algorithm>
#include <ctime>

#include "base/strings.h"

namespace slipway::cluster {

IntOrPercent IntOrPercent::of(const Json& value, IntOrPercent fallback) {
  if (value.is_int()) return {value.as_int(), false};
  std::string_view text = value.as_string();
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  const auto number = parse_int(text);
  return number ? IntOrPercent{*number, percent} : fallback;
}

std::int64_t IntOrPercent::scaled_up(std::int64_t total) const { return percent ? (value * total + 99) / 100 : value; }
std::int64_t IntOrPercent::scaled_down(std::int64_t total) const { return percent ? value * total / 100 : value; }

Wall parse_time(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return {};
  return Wall(std::chrono::seconds(::timegm(&parts)));
}

const Json& find_condition(const Json& conditions, std::string_view type) {
  static const Json none;
  for (const Json& condition : conditions.items())
    if (condition["type"].as_string() == type) return condition;
  return none;
}

Json with_condition(const Json& conditions, std::string_view type, bool status, std::string_view reason, std::string_view message, Wall now,
                    bool with_update_time) {
  const Json& before = find_condition(conditions, type);
  const std::string_view word = status ? "True" : "False";
  const bool same_status = before["status"].as_string() == word;
  const bool same = same_status && before["reason"].as_string() == reason && before["message"].as_string() == message;
  const std::string stamp = format_rfc3339(now);
  Json condition = Json::object({{"type", type}, {"status", word}, {"reason", reason}, {"message", message}});
  if (with_update_time) condition = condition.with("lastUpdateTime", same ? before["lastUpdateTime"] : Json(stamp));
  condition = condition.with("lastTransitionTime", same_status ? before["lastTransitionTime"] : Json(stamp));
  std::vector<Json> out;
  for (const Json& other : conditions.items())
    if (other["type"].as_string() != type) out.push_back(other);
  out.push_back(condition);
  return Json::array(std::move(out));
}

bool PodView::available(std::int64_t min_ready_seconds, Wall now) const {
  if (!ready || deleting) return false;
  if (min_ready_seconds == 0) return true;
  return ready_since && *ready_since + std::chrono::seconds(min_ready_seconds) <= now;
}

PodView read_pod(const Json& pod) {
  const Json& metadata = pod["metadata"];
  const Json& status = pod["status"];
  PodView view{.object = pod,
               .name = metadata["name"].str(),
               .ns = metadata["namespace"].str(),
               .uid = metadata["uid"].str(),
               .phase = status["phase"].str("Pending"),
               .node = pod["spec"]["nodeName"].str(),
               .ip = status["podIP"].str(),
               .deleting = !metadata["deletionTimestamp"].is_null(),
               .created = parse_time(metadata["creationTimestamp"].as_string())};
  const Json& ready = find_condition(status["conditions"], "Ready");
  view.ready = ready["status"].as_string() == "True";
  if (view.ready) view.ready_since = parse_time(ready["lastTransitionTime"].as_string());
  for (const Json& container : status["containerStatuses"].items()) view.restarts = std::max(view.restarts, container["restartCount"].as_int());
  return view;
}

ReplicaSetView read_replica_set(const Json& set) {
  const Json& metadata = set["metadata"];
  const Json& status = set["status"];
  const Json& annotations = metadata["annotations"];
  ReplicaSetView view{.object = set, .name = metadata["name"].str(), .ns = metadata["namespace"].str(), .uid = metadata["uid"].str()};
  view.replicas = set["spec"]["replicas"].as_int(1);
  view.actual = status["replicas"].as_int();
  view.ready = status["readyReplicas"].as_int();
  view.available = status["availableReplicas"].as_int();
  view.observed_generation = status["observedGeneration"].as_int();
  view.generation = metadata["generation"].as_int();
  view.min_ready_seconds = set["spec"]["minReadySeconds"].as_int();
  view.revision = parse_int(annotations["deployment.kubernetes.io/revision"].as_string()).value_or(0);
  view.desired_annotation = parse_int(annotations["deployment.kubernetes.io/desired-replicas"].as_string());
  view.created = parse_time(metadata["creationTimestamp"].as_string());
  view.deleting = !metadata["deletionTimestamp"].is_null();
  return view;
}

DeploymentView read_deployment(const Json& deployment) {
  constexpr IntOrPercent quarter{25, true};
  const Json& metadata = deployment["metadata"];
  const Json& spec = deployment["spec"];
  const Json& rolling = spec["strategy"]["rollingUpdate"];
  DeploymentView view{.object = deployment, .name = metadata["name"].str(), .ns = metadata["namespace"].str(), .uid = metadata["uid"].str()};
  view.replicas = spec["replicas"].as_int(1);
  view.generation = metadata["generation"].as_int();
  view.min_ready_seconds = spec["minReadySeconds"].as_int();
  view.progress_deadline_seconds = spec["progressDeadlineSeconds"].as_int(600);
  view.history_limit = spec["revisionHistoryLimit"].as_int(10);
  view.recreate = spec["strategy"]["type"].as_string() == "Recreate";
  view.paused = spec["paused"].as_bool();
  view.deleting = !metadata["deletionTimestamp"].is_null();
  view.max_surge = IntOrPercent::of(rolling["maxSurge"], quarter);
  view.max_unavailable = IntOrPercent::of(rolling["maxUnavailable"], quarter);
  view.revision = parse_int(metadata["annotations"]["deployment.kubernetes.io/revision"].as_string()).value_or(0);
  view.collisions = deployment["status"]["collisionCount"].as_int();
  return view;
}

std::int64_t DeploymentView::surge() const { return recreate ? 0 : max_surge.scaled_up(replicas); }

std::int64_t DeploymentView::unavailable() const {
  if (recreate) return replicas;
  const std::int64_t scaled = max_unavailable.scaled_down(replicas);
  if (scaled == 0 && surge() == 0) return 1;  // or the rollout could never move
  return std::min(scaled, replicas);
}

namespace {

Json without_hash(const Json& pod_template) {
  const Json& labels = pod_template["metadata"]["labels"];
  if (!labels.contains("pod-template-hash")) return pod_template;
  return pod_template.with_path({"metadata", "labels"}, labels.without("pod-template-hash"));
}

}  // namespace

std::string template_hash(const Json& pod_template, std::int64_t collisions) {
  constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";
  std::uint32_t hash = 2166136261u;
  for (const char c : text::to_canonical_json(without_hash(pod_template)) + std::to_string(collisions)) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 16777619u;
  }
  std::string out;
  for (const char digit : std::to_string(hash)) out += letters[static_cast<std::size_t>(digit) % letters.size()];
  return out;
}

bool same_template(const Json& a, const Json& b) { return without_hash(a) == without_hash(b); }

namespace {

bool matches_expression(const Json& expression, const Json& labels) {
  const Json* value = labels.find(expression["key"].as_string());
  const std::string_view op = expression["operator"].as_string();
  if (op == "Exists") return value != nullptr;
  if (op == "DoesNotExist") return value == nullptr;
  const auto values = expression["values"].items();
  const bool listed = value && std::ranges::any_of(values, [&](const Json& one) { return one == *value; });
  return op == "In" ? listed : op == "NotIn" && !listed;
}

}  // namespace

bool matches_selector(const Json& selector, const Json& labels) {
  if (selector["matchLabels"].empty() && selector["matchExpressions"].empty()) return false;
  for (const auto& member : selector["matchLabels"].members())
    if (!(labels[member.key()] == member.value) || !labels.contains(member.key())) return false;
  return std::ranges::all_of(selector["matchExpressions"].items(), [&](const Json& e) { return matches_expression(e, labels); });
}

}  // namespace slipway::cluster
