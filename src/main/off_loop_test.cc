// SPDX-License-Identifier: Apache-2.0
#include "main/off_loop.h"

#include <doctest/doctest.h>

#include <future>

#include "main/testing/recording_exchange.h"

namespace slipway::app {
namespace {

using testing::RecordingExchange;

TEST_CASE("at most 64 requests wait for another server; the next hears that it is too many") {
  const auto executor = make_system_executor();
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  OffLoop off_loop(*executor);
  std::vector<std::shared_ptr<RecordingExchange>> exchanges;
  for (std::size_t i = 0; i <= OffLoop::max_running; ++i) {
    exchanges.push_back(std::make_shared<RecordingExchange>());
    off_loop.handle(exchanges.back(), [released](std::shared_ptr<net::Exchange> exchange) {
      released.wait();
      exchange->respond({.status = 200});
    });
  }
  CHECK(exchanges.back()->status == 503);
  release.set_value();
}

}  // namespace
}  // namespace slipway::app
