// SPDX-License-Identifier: Apache-2.0
// Mirrors: what a connected repository holds here. A mirror is a repository as a hosted one is, which nobody pushes to;
// sync() brings it to what the remote has and writes what changed into the push journal, as a push does.
#pragma once

#include <stop_token>

#include "source/remote.h"
#include "source/repositories.h"

namespace slipway::source {

struct RemoteRefs {
  Refs refs;                   // branches and tags, of safe names only
  std::string default_branch;  // "main"; empty where the remote does not tell
};

struct SyncRequest {
  RemoteUrl url;
  RemoteCredential credential;
  std::vector<std::string> branches;  // "main", "release/*"; empty: all branches and tags
};

struct SyncOutcome {
  bool changed = false;
  std::string default_branch;
};

// A push that somebody told of: where it did not stay the head of its branch, it still becomes a push.
struct ToldPush {
  std::string ref, before, after;
};

class Mirrors final {
 public:
  static constexpr std::size_t max_refs = 10'000;
  static constexpr std::chrono::minutes fetch_deadline{30};
  static constexpr std::chrono::seconds list_deadline{40};

  // `proxies`: entries of the environment ("HTTPS_PROXY=…") that git gets for hosts other than loopback.
  Mirrors(Repositories& repositories, PushJournal& journal, const Clock& clock, std::vector<std::string> proxies = {})
      : repositories_(repositories), journal_(journal), clock_(clock), proxies_(std::move(proxies)) {}

  // Blocks, up to the deadlines. An error of code conflict: a hosted repository has the name.
  Result<SyncOutcome> sync(const RepositoryName& repository, const SyncRequest& request, const std::vector<ToldPush>& told, std::stop_token stop);
  Result<RemoteRefs> list_remote(const RepositoryName& repository, const SyncRequest& request, std::stop_token stop) const;
  bool holds(const RepositoryName& repository, const std::string& commit) const;

 private:
  Result<> prepare(const RepositoryName& repository);
  Result<std::string> talk(const RepositoryName& repository, const SyncRequest& request, std::vector<std::string> arguments, std::string input, std::chrono::seconds deadline,
                           std::stop_token stop) const;
  Result<> begin(const RepositoryName& repository, const RemoteRefs& remote, const SyncRequest& request);
  Result<> drop_gone(const RepositoryName& repository, const Refs& here, const Refs& there);
  Result<> journal_told(const RepositoryName& repository, const std::vector<ToldPush>& told);

  Repositories& repositories_;
  PushJournal& journal_;
  const Clock& clock_;
  const std::vector<std::string> proxies_;
};

bool selects(const std::vector<std::string>& branches, std::string_view ref);
Result<> check_branches(const std::vector<std::string>& branches);
// Of `git ls-remote --symref`: refs of unsafe names are left out; too_large beyond max_refs. Pure.
Result<RemoteRefs> parse_remote_refs(std::string_view text, const std::vector<std::string>& branches);

}  // namespace slipway::source
