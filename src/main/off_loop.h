// SPDX-License-Identifier: Apache-2.0
// Requests whose answer needs a question to another server: carried out beside the loop that read them, a bounded
// number at a time.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/executor.h"
#include "net/http.h"

namespace slipway::app {

class OffLoop final {
 public:
  static constexpr std::size_t max_running = 64;
  explicit OffLoop(Executor& executor) : executor_(executor) {}
  // Runs `handler` on a thread of its own; 503 where too many run.
  void handle(std::shared_ptr<net::Exchange> exchange, net::Handler handler);

 private:
  Executor& executor_;
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

}  // namespace slipway::app
