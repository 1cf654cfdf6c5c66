// SPDX-License-Identifier: Apache-2.0
// Probes: the counting is pure (ProbeState); running one asks the container. Source: Kubernetes, "Probes".
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "sandbox/netlink.h"
#include "sandbox/runtime.h"
#include "text/json.h"

namespace slipway::cluster {

using text::Json;

enum class ProbeKind { startup, readiness, liveness };

struct ProbeSpec {
  ProbeKind kind = ProbeKind::readiness;
  Json action;  // the probe object: exec, httpGet or tcpSocket
  std::chrono::seconds initial_delay{0}, period{10}, timeout{1};
  int success_threshold = 1, failure_threshold = 3;
};
// grpc and anything else unknown are refused by name.
Result<ProbeSpec> parse_probe(ProbeKind kind, const Json& probe);

class ProbeState {
 public:
  explicit ProbeState(bool passing) : passing_(passing) {}
  // Counts an answer; true when the verdict changed.
  bool record(const ProbeSpec& spec, bool success);
  bool passing() const { return passing_; }
  bool failed() const { return failed_; }  // failure_threshold in a row

 private:
  bool passing_;
  bool failed_ = false;
  int successes_ = 0, failures_ = 0;
};

struct ProbeTarget {
  sandbox::Ipv4 pod_address;
  std::string container_id;
  const Json& container;  // for named ports
};
// Asks once: an error is a failed probe, its text the reason.
Result<> run_probe(const ProbeSpec& spec, const ProbeTarget& target, const sandbox::Runtime& runtime);
// An action of a probe or of a lifecycle hook: exec, httpGet, tcpSocket or sleep.
Result<> run_action(const Json& action, std::chrono::milliseconds timeout, const ProbeTarget& target, const sandbox::Runtime& runtime);

}  // namespace slipway::cluster
