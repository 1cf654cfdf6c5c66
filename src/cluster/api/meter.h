// SPDX-License-Identifier: Apache-2.0
// What the API counts about itself, under the names that Kubernetes' dashboards ask for. Any thread.
#pragma once

#include "base/clock.h"
#include "base/counters.h"
#include "cluster/api/resources.h"
#include "cluster/api/route.h"
#include "store/objects.h"

namespace slipway::api {

class Meter final {
 public:
  explicit Meter(Metrics* metrics) : metrics_(metrics) {}  // null: nothing is counted
  void request(const Route& route, int code, std::chrono::nanoseconds took);
  void count(std::string_view verb, std::string_view resource, int code);
  void watches(std::size_t open);
  void sizes(const store::ObjectStore& store, const ResourceTable& resources);

 private:
  Metrics* metrics_;
};

}  // namespace slipway::api
