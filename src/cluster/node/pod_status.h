// SPDX-License-Identifier: Apache-2.0
// The status of a pod as a kubelet words it, from what is known about it. Pure.
#pragma once

#include <map>
#include <string>

#include "cluster/node/pod_plan.h"

namespace slipway::cluster {

struct Waiting {
  std::string reason, message;  // "ErrImagePull", "back-off …"
};

struct StatusInput {
  const Json& pod;
  const MonitorState& state;
  const PodPlan& plan;
  const std::map<std::string, ContainerHealth>& health;
  std::map<std::string, Waiting> waiting;              // containers that cannot start for a reason of their own
  std::map<std::string, std::string> images;           // container -> digest
  std::map<std::string, std::string> messages;         // record id -> termination message
  std::string pod_ip, host_ip;
  bool sandbox_ready = false;
  bool stopping = false;
  Wall now;
};

// The whole status; condition times stay where the condition did not change.
Json make_pod_status(const StatusInput& input);

std::string qos_class(const Json& pod);  // "Guaranteed", "Burstable", "BestEffort"

// "100m" of cores, "64Mi" of bytes; in thousandths. Refused: what is not a quantity.
Result<std::int64_t> parse_milli(const Json& quantity);

}  // namespace slipway::cluster
