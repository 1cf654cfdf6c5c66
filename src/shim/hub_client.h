// SPDX-License-Identifier: Apache-2.0
// The hub as a step's pod sees it: TLS with a pinned key, one capability, every call tried again until it is answered
// or `patience` is over. Any thread.
#pragma once

#include <memory>

#include "base/executor.h"
#include "net/client.h"
#include "wire/plan.h"

namespace slipway::shim {

class HubClient final {
 public:
  static constexpr std::chrono::minutes patience{10};

  static Result<std::unique_ptr<HubClient>> open(const wire::Plan& plan, std::string token, Executor& executor);

  // A blob into a file.
  Result<> download(const std::string& digest, const std::string& path, const std::stop_token& stop);
  // A file as the body.
  Result<> upload(const std::string& target, const std::string& path, const std::stop_token& stop);
  // Bytes of a step's log at an offset; answers the end of what the hub has, whatever was sent.
  Result<std::uint64_t> append_log(const std::string& step, std::uint64_t offset, std::string bytes);

 private:
  HubClient(const wire::Plan& plan, std::unique_ptr<net::Client> client, std::string token, Executor& executor)
      : attempt_(plan.attempt), client_(std::move(client)), token_(std::move(token)), executor_(executor) {}
  Result<> with_patience(const std::function<Result<>()>& call, const std::stop_token& stop);
  net::ClientRequest request(std::string method, std::string target) const;

  const std::string attempt_;
  const std::unique_ptr<net::Client> client_;
  const std::string token_;
  Executor& executor_;
};

}  // namespace slipway::shim
