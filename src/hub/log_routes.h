// SPDX-License-Identifier: Apache-2.0
// Logs over HTTP, below /hub/v1/logs/OWNER/NAME:
//   PUT ?offset=N         appends; answers {"offset": end}, 409 with the same where N lies beyond the end
//   GET ?offset=N&follow=true&tail=LINES   the bytes from there, on and on until the log is finished
// Who may ask is decided before. Each request that reads runs on a task of its own.
#pragma once

#include "hub/logs.h"
#include "net/http.h"

namespace slipway::hub {

inline constexpr std::size_t max_log_piece = 1024 * 1024;

// On the caller's thread; it answers the exchange unless it fails.
Result<> receive_log(net::Exchange& exchange, Logs& logs, const LogName& log);

class LogRoutes final {
 public:
  static constexpr std::size_t max_followers = 500;
  LogRoutes(Logs& logs, Executor& executor) : logs_(logs), executor_(executor) {}
  void handle(std::shared_ptr<net::Exchange> exchange);

 private:
  void send(net::Exchange& exchange, const LogName& log, const std::stop_token& stop);
  Logs& logs_;
  Executor& executor_;
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

}  // namespace slipway::hub
