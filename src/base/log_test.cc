// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <doctest/doctest.h>

namespace slipway::log {

TEST_CASE("a record is one line of JSON, also where a field holds quotes and newlines") {
  CHECK(format("2026-01-02T03:04:05.000000Z", Level::warn, "serve", "Watch ended", {{"reason", "a\"b\n\x1b"}, {"count", 3}, {"late", true}}) ==
        "{\"@timestamp\":\"2026-01-02T03:04:05.000000Z\",\"log.level\":\"warn\",\"service.name\":\"serve\",\"message\":\"Watch ended\","
        "\"reason\":\"a\\\"b\\n\\u001b\",\"count\":3,\"late\":true}");
}

}  // namespace slipway::log
