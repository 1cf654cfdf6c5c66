// SPDX-License-Identifier: Apache-2.0
// What the workload controllers read of Deployments, ReplicaSets and Pods, decoded once. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kube/client.h"

namespace slipway::cluster {

using text::Json;

// A number or a percentage ("25%"), of maxSurge and maxUnavailable.
struct IntOrPercent {
  std::int64_t value = 0;
  bool percent = false;
  static IntOrPercent of(const Json& value, IntOrPercent fallback);
  std::int64_t scaled_up(std::int64_t total) const;    // a percentage rounds up
  std::int64_t scaled_down(std::int64_t total) const;  // a percentage rounds down
};

struct PodView {
  Json object;
  std::string name, ns, uid, phase, node, ip;
  bool deleting = false, ready = false;
  Wall created{};
  std::optional<Wall> ready_since;
  std::int64_t restarts = 0;
  bool active() const { return !deleting && phase != "Succeeded" && phase != "Failed"; }
  bool available(std::int64_t min_ready_seconds, Wall now) const;
};
PodView read_pod(const Json& pod);

struct ReplicaSetView {
  Json object;
  std::string name, ns, uid;
  std::int64_t replicas = 0;  // spec
  std::int64_t actual = 0, ready = 0, available = 0;  // status
  std::int64_t observed_generation = 0, generation = 0;
  std::int64_t min_ready_seconds = 0;
  std::int64_t revision = 0;
  std::optional<std::int64_t> desired_annotation;
  Wall created{};
  bool deleting = false;
};
ReplicaSetView read_replica_set(const Json& set);

struct DeploymentView {
  Json object;
  std::string name, ns, uid;
  std::int64_t replicas = 1, generation = 0, min_ready_seconds = 0, progress_deadline_seconds = 600, history_limit = 10;
  bool recreate = false, paused = false, deleting = false;
  IntOrPercent max_surge, max_unavailable;
  std::int64_t revision = 0, collisions = 0;
  std::int64_t surge() const;
  std::int64_t unavailable() const;  // 1 where both would be 0
};
DeploymentView read_deployment(const Json& deployment);

Wall parse_time(std::string_view rfc3339);  // the epoch where it is not a time

// The name part and label of a pod template: FNV-1a over its canonical JSON, in letters that make no word.
std::string template_hash(const Json& pod_template, std::int64_t collisions);
// Equal but for the hash label.
bool same_template(const Json& a, const Json& b);

// A selector as the API's labelSelector parameter; empty selects nothing (not everything).
bool matches_selector(const Json& label_selector, const Json& labels);

// Replaces the condition of the same type. lastTransitionTime stays while the status stays.
Json with_condition(const Json& conditions, std::string_view type, bool status, std::string_view reason, std::string_view message, Wall now,
                    bool with_update_time);
const Json& find_condition(const Json& conditions, std::string_view type);  // null where absent

}  // namespace slipway::cluster
