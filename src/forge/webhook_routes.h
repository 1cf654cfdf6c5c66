// SPDX-License-Identifier: Apache-2.0
// POST /hooks/v1/NAMESPACE/NAME: where forges send webhooks. No token: the signature is the authentication.
//
// 202 the push is on the disk and will be fetched · 200 a ping, or an event that starts nothing · 401 the signature, or
// there is no such webhook (which is not told apart) · 409 a replay · 400, 405, 413, 415, 422 what is wrong with it · 429,
// 503 too much at once. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "base/counters.h"
#include "base/executor.h"
#include "forge/connected.h"
#include "net/http.h"

namespace slipway::forge {

// Tokens a peer: `burst` at once, then `per_second`. Holds at most max_peers.
class PeerLimit final {
 public:
  static constexpr std::size_t max_peers = 4096;
  static constexpr double burst = 120, per_second = 5;
  bool admit(std::string_view peer, Steady now);

 private:
  struct Bucket {
    double tokens = burst;
    Steady at{};
  };
  std::mutex mutex_;
  std::map<std::string, Bucket, std::less<>> buckets_;
};

struct WebhookDependencies {
  Executor& executor;
  Deliveries& deliveries;
  Metrics& metrics;
  std::function<Result<WebhookTarget>(const source::RepositoryName&)> target;
  std::function<void(const kube::ObjectKey&)> wake;
};

class WebhookRoutes final {
 public:
  static constexpr int max_running = 64;

  explicit WebhookRoutes(WebhookDependencies dependencies) : dependencies_(std::move(dependencies)) {}
  ~WebhookRoutes();  // waits for what runs
  void handle(std::shared_ptr<net::Exchange> exchange);
  // One delivery, whole; blocks for the disk.
  net::Response receive(const source::RepositoryName& repository, const net::Headers& headers, std::string_view body);

 private:
  Result<std::string> take(const source::RepositoryName& repository, const net::Headers& headers, std::string_view body, int& status, std::string& provider);
  void answer_later(std::shared_ptr<net::Exchange> exchange, source::RepositoryName repository, std::string body, std::shared_ptr<void> slot);

  const WebhookDependencies dependencies_;
  PeerLimit limit_;
  std::atomic<int> running_{0};
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

}  // namespace slipway::forge
