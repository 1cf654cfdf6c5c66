// SPDX-License-Identifier: Apache-2.0
#include "main/off_loop.h"

namespace slipway::app {

void OffLoop::handle(std::shared_ptr<net::Exchange> exchange, net::Handler handler) {
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& task) { return task.first->load(); });
  if (tasks_.size() >= max_running) return exchange->respond({503, {{"Content-Type", "text/plain; charset=utf-8"}, {"Retry-After", "2"}}, "too many requests at once\n"});
  auto over = std::make_shared<std::atomic<bool>>(false);
  tasks_.emplace_back(over, executor_.spawn("request", [over, exchange = std::move(exchange), handler = std::move(handler)](std::stop_token) mutable {
    handler(std::move(exchange));
    over->store(true);
  }));
}

}  // namespace slipway::app
