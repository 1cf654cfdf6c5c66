// SPDX-License-Identifier: Apache-2.0
// The attempts of steps at the hub: what each may read (the tars of its workspaces) and what it brought (changed files,
// test reports). A capability is a random token for one attempt, kept by its hash, and ends with it.
//
// What was acknowledged is durable: blobs by the BlobStore, the rest by files written atomically. Any thread.
#pragma once

#include <map>
#include <mutex>

#include "base/executor.h"
#include "hub/junit.h"
#include "hub/logs.h"
#include "net/http.h"
#include "store/blobs.h"

namespace slipway::hub {

struct AttemptOutcome {
  std::map<std::string, std::string> changes;  // workspace -> digest of the tar of what changed
  TestSummary tests;
};

class Attempts final {
 public:
  static constexpr std::size_t max_reports = 200;
  static constexpr std::uint64_t max_changes = 2ULL << 30;

  Attempts(std::string folder, store::BlobStore& blobs, Logs& logs, Executor& executor) : folder_(std::move(folder)), blobs_(blobs), logs_(logs), executor_(executor) {}
  ~Attempts();

  // A new capability for the attempt; an earlier one of it ends. `readable`: digests.
  Result<std::string> open(const std::string& id, const std::vector<std::string>& readable);
  Result<AttemptOutcome> outcome(const std::string& id) const;
  Result<> close(const std::string& id);   // the capability ends, its logs are finished; what it brought stays
  Result<> forget(const std::string& id);  // with its logs and reports

  // Requests below /hub/v1/attempts/.
  void handle(std::shared_ptr<net::Exchange> exchange);

 private:
  struct Route {
    std::string id, what, name;
  };
  std::string path_of(const std::string& id) const { return folder_ + "/" + id; }
  Result<> authenticate(const Route& route, const net::Headers& headers) const;
  void serve(const std::shared_ptr<net::Exchange>& exchange, const Route& route);
  Result<> send_blob(net::Exchange& exchange, const Route& route);
  Result<> take_changes(net::Exchange& exchange, const Route& route);
  Result<> take_report(net::Exchange& exchange, const Route& route);
  Result<> take_log(net::Exchange& exchange, const Route& route);

  const std::string folder_;
  store::BlobStore& blobs_;
  Logs& logs_;
  Executor& executor_;
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

}  // namespace slipway::hub
