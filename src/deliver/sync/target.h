// SPDX-License-Identifier: Apache-2.0
// The plane that an app is delivered to: reads the live objects, carries plans out by server-side apply, judges health.
#pragma once

#include <functional>

#include "desired/health.h"
#include "desired/plan.h"
#include "kube/control.h"
#include "kube/events.h"

namespace slipway::deliver {

using text::Json;

class Target final {
 public:
  explicit Target(kube::Manager& manager);

  Result<desired::Plan> plan(const desired::Set& set, const kube::ObjectKey& app, const std::string& ns, desired::Prune prune);
  // Applies in order, then prunes. Stops at the first error; what was applied stays and is seen by the next plan.
  Result<> carry_out(const desired::Plan& plan);
  desired::HealthReport health(const desired::Set& set);  // the worst of all, with its object named
  void on_owned_change(std::function<void(const kube::ObjectKey& app)> callback);
  kube::EventRecorder& events() { return events_; }

 private:
  Result<kube::Resource> resource_of(const Json& object);
  Result<Json> live(const Json& object);
  kube::Informer* informer_of(const Json& object);

  kube::Manager& manager_;
  std::vector<std::pair<kube::Resource, kube::Informer*>> watched_;
  std::vector<kube::Resource> discovered_;
  kube::EventRecorder events_;
};

}  // namespace slipway::deliver
