// SPDX-License-Identifier: Apache-2.0
#include "base/counters.h"

#include <doctest/doctest.h>

namespace slipway {

TEST_CASE("metrics are written in the Prometheus text format, labels escaped, buckets cumulative") {
  Metrics metrics;
  metrics.counter("slipway_requests_total", "Requests answered", {{"verb", "get"}, {"path", "a\"b"}}).add(2);
  metrics.histogram("slipway_wait_seconds", "Time waited", {}, {0.1, 1}).observe(0.5);
  metrics.gauge_from("slipway_depth", "Queue depth", [] { return 3.0; });
  CHECK(metrics.text() ==
        "# HELP slipway_depth Queue depth\n# TYPE slipway_depth gauge\nslipway_depth 3\n"
        "# HELP slipway_requests_total Requests answered\n# TYPE slipway_requests_total counter\n"
        "slipway_requests_total{verb=\"get\",path=\"a\\\"b\"} 2\n"
        "# HELP slipway_wait_seconds Time waited\n# TYPE slipway_wait_seconds histogram\n"
        "slipway_wait_seconds_bucket{le=\"0.1\"} 0\nslipway_wait_seconds_bucket{le=\"1\"} 1\n"
        "slipway_wait_seconds_bucket{le=\"+Inf\"} 1\nslipway_wait_seconds_sum 0.5\nslipway_wait_seconds_count 1\n");
}

TEST_CASE("label values from outside cannot make series without end") {
  Metrics metrics;
  for (int i = 0; i < 20'000; ++i) metrics.counter("slipway_x_total", "X", {{"v", std::to_string(i)}}).add();
  CHECK(metrics.counter("slipway_x_total", "X", {{"v", "another"}}).value() >= 10'000 - 1);
}

}  // namespace slipway
