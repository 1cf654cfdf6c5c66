// SPDX-License-Identifier: Apache-2.0
// Hosted repositories over smart HTTP: GET /git/<ns>/<name>.git/info/refs and POST …/git-upload-pack, …/git-receive-pack
// (gitprotocol-http). `git http-backend` speaks the protocol; here the caller is checked, bytes are carried both ways,
// and a push is written into the journal before git hears that it succeeded.
#pragma once

#include <atomic>
#include <functional>

#include "base/executor.h"
#include "net/http.h"
#include "source/repositories.h"

namespace slipway::source {

enum class GitAccess { read, write };

class GitHttp final {
 public:
  static constexpr int max_running = 32;
  static constexpr std::size_t max_push_answer = 4 * 1024 * 1024;
  // Whether the bearer of this token (the password of basic auth, or a bearer token) may.
  using Authorize = std::function<Result<>(std::string_view token, const RepositoryName& repository, GitAccess access)>;

  GitHttp(Repositories& repositories, Executor& executor, Authorize authorize);
  ~GitHttp();  // waits for what runs
  // Answers requests below /git/. A name without namespace is in "default".
  void handle(std::shared_ptr<net::Exchange> exchange);

 private:
  struct Route {
    RepositoryName repository;
    std::string path_info;  // "/ns/name.git/info/refs"
    GitAccess access = GitAccess::read;
  };
  static Result<Route> route_of(const net::RequestHead& head);
  void serve(const std::shared_ptr<net::Exchange>& exchange, const Route& route);
  Result<> carry(const std::shared_ptr<net::Exchange>& exchange, const Route& route);

  Repositories& repositories_;
  Executor& executor_;
  const Authorize authorize_;
  std::atomic<int> running_{0};
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

// The token in an Authorization header: Bearer, or the password of Basic. Empty where there is none.
std::string token_of(const net::Headers& headers);

}  // namespace slipway::source
