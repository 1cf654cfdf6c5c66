// SPDX-License-Identifier: Apache-2.0
// The columns and cells of the built-in kinds, as `kubectl get` shows them. Internal to tables.cc. Pure.
#pragma once

#include "base/clock.h"
#include "cluster/api/resources.h"

namespace slipway::api {

struct Printer {
  std::vector<Column> columns;
  std::vector<Json> (*cells)(const Json& object, Wall now);
};
// Null for a kind without columns of its own.
const Printer* printer_of(const kube::Resource& resource);
std::string age_of(const Json& timestamp, Wall now);  // "<unknown>" where there is none

}  // namespace slipway::api
