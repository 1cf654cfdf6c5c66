// SPDX-License-Identifier: Apache-2.0
// ApiServer: the one way of every request: authenticate, authorize, dispatch. HTTP and the local client share it.
#pragma once

#include <deque>

#include "cluster/api/meter.h"
#include "cluster/api/watches.h"

namespace slipway::api {

class ApiServer final : public Api {
 public:
  ApiServer(Executor& executor, ApiConfig config, std::unique_ptr<store::ObjectStore> store);
  ~ApiServer() override;
  Result<> start();
  void handle(std::shared_ptr<net::Exchange> exchange) override;
  std::unique_ptr<kube::Client> local_client(auth::Identity identity) override;
  void stop() override;

  // For the local client. The identity is authenticated already; authorization is here.
  Answer<Request> admit(auth::Identity identity, std::string_view method, std::string_view target) const;
  Answer<Reply> answer(const Request& request);
  Answer<std::shared_ptr<WatchSession>> watch(const Request& request, WatchSink sink);
  Answer<LogRequest> log_request(const Request& request) const;
  const ApiConfig& config() const { return config_; }
  Executor& executor() { return executor_; }

 private:
  struct Job {
    std::shared_ptr<net::Exchange> exchange;
    std::string body;
  };
  void run_jobs(std::stop_token stop);
  void run_ticks(std::stop_token stop);
  void process(Job& job);
  Answer<auth::Identity> authenticate(const net::RequestHead& head) const;
  Answer<auth::Identity> account_of(std::string_view token) const;
  Answer<> authorize(const auth::Identity& identity, const Route& route) const;
  Answer<Reply> path(const Request& request) const;
  std::size_t watches_of(std::string_view user);
  void stream_watch(const Request& request, const std::shared_ptr<net::Exchange>& exchange);
  void stream_log(const Request& request, const std::shared_ptr<net::Exchange>& exchange);

  Executor& executor_;
  const ApiConfig config_;
  const std::unique_ptr<store::ObjectStore> store_;
  auth::FixedRoles roles_;
  ResourceTable resources_;
  Operations operations_;
  std::unique_ptr<Monitor> monitor_;  // of jobs_
  std::deque<Job> jobs_;
  bool stopped_ = false;
  std::mutex sessions_mutex_;
  struct OpenWatch {
    std::shared_ptr<WatchSession> session;
    std::shared_ptr<net::Exchange> exchange;
    std::string user;
  };
  std::list<OpenWatch> sessions_;
  Meter meter_;
  struct LogTask {
    std::shared_ptr<std::atomic<bool>> done;
    std::unique_ptr<Task> task;
  };
  std::list<LogTask> logs_;
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace slipway::api
