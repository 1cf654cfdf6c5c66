// SPDX-License-Identifier: Apache-2.0
// From a pod and what its containers did so far to what starts or stops next. Pure: the agent carries it out and asks
// again; after a restart it asks with the monitor's record and gets the same answer.
// Sources: Kubernetes, "Pod lifecycle", "Init containers", "Sidecar containers".
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sandbox/monitor_state.h"
#include "text/json.h"

namespace slipway::cluster {

using sandbox::ContainerRecord;
using sandbox::MonitorState;
using text::Json;

enum class RestartPolicy { always, on_failure, never };
RestartPolicy restart_policy_of(const Json& pod);

constexpr std::chrono::seconds first_back_off{10};
constexpr std::chrono::seconds longest_back_off{300};
constexpr std::chrono::seconds back_off_reset{600};  // a run this long clears the count

// The pause before the restart that follows exit number `failures` (0: the first exit, which restarts at once).
std::chrono::seconds back_off_after(std::int64_t failures);

struct ContainerHealth {  // of the newest attempt, from its probes
  bool started = true;    // startup probe passed, or there is none
  bool ready = true;
  bool unhealthy = false;  // liveness or startup probe failed for good
};

struct PlanInput {
  const Json& pod;
  const MonitorState& state;
  const std::map<std::string, ContainerHealth>& health;      // by container name
  const std::map<std::string, std::int64_t>& first_counted;  // attempts before it no longer count for back-off
  Wall now;
  bool stopping = false;
};

struct StartStep {
  std::string name;
  std::int64_t attempt = 0;
  bool operator==(const StartStep&) const = default;
};

enum class PodPhase { pending, running, succeeded, failed };

struct PodPlan {
  std::vector<StartStep> start;
  std::vector<std::string> stop;             // names: unhealthy containers, sidecars of a finished pod
  std::set<std::string> in_back_off;         // names
  bool initialized = false;
  PodPhase phase = PodPhase::pending;
  std::optional<Wall> look_again;            // when a back-off ends
  bool operator==(const PodPlan&) const = default;
};

PodPlan plan_pod(const PlanInput& input);

}  // namespace slipway::cluster
