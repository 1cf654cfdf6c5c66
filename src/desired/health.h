// SPDX-License-Identifier: Apache-2.0
// Whether a live object does what it should: pure. Rules of Argo CD's built-in checks and kstatus: nothing is healthy
// before its controller has observed the newest generation.
#pragma once

#include <string>

#include "text/json.h"

namespace slipway::desired {

enum class Health { healthy, suspended, progressing, missing, degraded };  // from good to bad

struct HealthReport {
  Health health = Health::healthy;
  std::string message;
};

HealthReport health_of(const text::Json& live);  // null: missing
std::string_view name_of(Health health);         // "Healthy"

}  // namespace slipway::desired
