// SPDX-License-Identifier: Apache-2.0
// Events of the controllers: what they did to an object, for `kubectl describe`. An event that cannot be written is
// dropped: it must never hold up what it tells of. The same event again raises its count.
#pragma once

#include <map>
#include <mutex>

#include "kube/control.h"

namespace slipway::kube {


class EventRecorder final {
 public:
  EventRecorder(Manager& manager, std::string component) : EventRecorder(manager.client(), manager.clock(), std::move(component)) {}
  EventRecorder(Client& client, const Clock& clock, std::string component) : client_(client), clock_(clock), component_(std::move(component)) {}
  // `part` is a path within the object ("spec.containers{app}"), or empty.
  void normal(const Json& about, std::string_view reason, std::string message, std::string_view part = {}) { record(about, "Normal", reason, std::move(message), part); }
  void warning(const Json& about, std::string_view reason, std::string message, std::string_view part = {}) { record(about, "Warning", reason, std::move(message), part); }

 private:
  void record(const Json& about, std::string_view type, std::string_view reason, std::string message, std::string_view part);
  Client& client_;
  const Clock& clock_;
  const std::string component_;
  std::mutex mutex_;
  std::map<std::string, std::pair<std::string, std::int64_t>> known_;  // what -> event name, count
};

}  // namespace slipway::kube
