// SPDX-License-Identifier: Apache-2.0
#include "desired/health.h"

#include <fmt/format.h>

namespace slipway::desired {
namespace {

using text::Json;

const Json& condition(const Json& object, std::string_view type) {
  static const Json none;
  for (const Json& one : object["status"]["conditions"].items())
    if (one["type"].as_string() == type) return one;
  return none;
}

bool is_observed(const Json& object) { return object["status"]["observedGeneration"].as_int() >= object["metadata"]["generation"].as_int(); }

HealthReport of_deployment(const Json& object) {
  if (object["spec"]["paused"].as_bool()) return {Health::suspended, "the Deployment is paused"};
  if (!is_observed(object)) return {Health::progressing, "the new specification is not observed yet"};
  const Json& progressing = condition(object, "Progressing");
  if (progressing["reason"].as_string() == "ProgressDeadlineExceeded") return {Health::degraded, progressing["message"].str()};
  const Json& status = object["status"];
  const std::int64_t wanted = object["spec"]["replicas"].as_int(1), updated = status["updatedReplicas"].as_int();
  if (updated < wanted) return {Health::progressing, fmt::format("{} of {} new replicas have been updated", updated, wanted)};
  if (status["replicas"].as_int() > updated) return {Health::progressing, fmt::format("{} old replicas are pending termination", status["replicas"].as_int() - updated)};
  if (status["availableReplicas"].as_int() < updated) return {Health::progressing, fmt::format("{} of {} updated replicas are available", status["availableReplicas"].as_int(), updated)};
  return {};
}

HealthReport of_replica_set(const Json& object) {
  if (!is_observed(object)) return {Health::progressing, "the new specification is not observed yet"};
  if (const Json& failure = condition(object, "ReplicaFailure"); failure["status"].as_string() == "True") return {Health::degraded, failure["message"].str()};
  const std::int64_t wanted = object["spec"]["replicas"].as_int(1), available = object["status"]["availableReplicas"].as_int();
  if (available < wanted) return {Health::progressing, fmt::format("{} of {} replicas are available", available, wanted)};
  return {};
}

HealthReport of_pod(const Json& object) {
  const std::string_view phase = object["status"]["phase"].as_string();
  if (phase == "Failed") return {Health::degraded, object["status"]["message"].str("the pod failed")};
  if (phase == "Succeeded") return {};
  for (const Json& container : object["status"]["containerStatuses"].items()) {
    const std::string_view reason = container["state"]["waiting"]["reason"].as_string();
    if (reason == "CrashLoopBackOff" || reason.starts_with("ErrImage") || reason == "ImagePullBackOff" || reason.starts_with("CreateContainer"))
      return {Health::degraded, container["state"]["waiting"]["message"].str(reason)};
  }
  if (condition(object, "Ready")["status"].as_string() == "True") return {};
  return {Health::progressing, "the pod is not ready"};
}

// Custom resources by the conditions that most of them have.
HealthReport by_conditions(const Json& object) {
  if (object["status"].contains("observedGeneration") && !is_observed(object)) return {Health::progressing, "the new specification is not observed yet"};
  for (const char* type : {"Ready", "Available", "Succeeded"}) {
    const Json& one = condition(object, type);
    if (one["status"].as_string() == "False") return {Health::degraded, one["message"].str()};
    if (one["status"].as_string() == "Unknown") return {Health::progressing, one["message"].str()};
  }
  return {};
}

}  // namespace

HealthReport health_of(const Json& live) {
  if (live.is_null()) return {Health::missing, "it does not exist"};
  if (!live["metadata"]["deletionTimestamp"].is_null()) return {Health::progressing, "it is being deleted"};
  const std::string_view kind = live["kind"].as_string();
  if (kind == "Deployment") return of_deployment(live);
  if (kind == "ReplicaSet") return of_replica_set(live);
  if (kind == "Pod") return of_pod(live);
  return by_conditions(live);
}

std::string_view name_of(Health health) {
  constexpr std::string_view names[] = {"Healthy", "Suspended", "Progressing", "Missing", "Degraded"};
  return names[static_cast<std::size_t>(health)];
}

}  // namespace slipway::desired
