// SPDX-License-Identifier: Apache-2.0
// Hosted repositories: bare git repositories in one folder, read and written by the git programs alone.
//
// Every git process runs with its own HOME, without the system's and the user's configuration, without hooks, and with
// its operands behind "--" (T3, T16, B13). Any thread. A push is remembered in the push journal before it is
// acknowledged; recover() finds those that arrived while nobody could write them down.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/process.h"
#include "store/blobs.h"
#include "text/json.h"

namespace slipway::source {

struct RepositoryName {
  std::string ns, name;
  // Lower-case letters, digits, '-' and '.', as Kubernetes names them; nothing that a path could misread.
  static Result<RepositoryName> parse(std::string_view ns, std::string_view name);
  std::string to_string() const { return ns + "/" + name; }
  auto operator<=>(const RepositoryName&) const = default;
};

struct Push {
  std::string id;  // the journal's file name: sorted by arrival
  RepositoryName repository;
  std::string ref;     // "refs/heads/main"
  std::string before;  // empty: the ref is new
  std::string after;   // empty: the ref was deleted
  text::Json to_json() const;
  static Result<Push> from_json(const text::Json& value);
};

// The pushes that are not handled yet, one durable file each.
class PushJournal final {
 public:
  explicit PushJournal(std::string folder) : folder_(std::move(folder)) {}
  Result<> add(Push push, Wall now);  // durable on return; gives it its id
  Result<std::vector<Push>> pending() const;
  Result<> remove(const std::string& id);
  // Called after each add(), on its thread.
  void on_push(std::function<void()> callback) { callback_ = std::move(callback); }

 private:
  const std::string folder_;
  std::function<void()> callback_;
  std::mutex mutex_;
  std::uint64_t sequence_ = 0;
};

using Refs = std::map<std::string, std::string>;   // name -> commit
using Files = std::map<std::string, std::string>;  // path -> content

class Repositories final {
 public:
  static constexpr std::size_t max_file = 10 * 1024 * 1024;
  static constexpr std::size_t max_files = 10'000;

  Repositories(std::string folder, PushJournal& journal, const Clock& clock);

  Result<> create(const RepositoryName& repository);  // fine where it exists
  Result<> remove(const RepositoryName& repository);
  // A mirror takes no push. It begins without a past: until finish_beginning(), nothing in it counts as pushed.
  Result<> create_mirror(const RepositoryName& repository);
  bool is_mirror(const RepositoryName& repository) const;
  bool is_beginning(const RepositoryName& repository) const;
  Result<> finish_beginning(const RepositoryName& repository);
  // These refs were there before: record_pushes() tells what differs from them.
  Result<> record_as_known(const RepositoryName& repository, const Refs& known);
  bool contains(const RepositoryName& repository) const;
  std::vector<RepositoryName> list() const;
  std::string path_of(const RepositoryName& repository) const;
  const std::string& folder() const { return folder_; }

  Result<Refs> refs(const RepositoryName& repository) const;
  Result<std::string> head(const RepositoryName& repository, std::string_view branch) const;  // not_found
  // The files below `path` ("" for all; a file itself too) in a commit; symlinks and submodules are left out.
  Result<Files> files(const RepositoryName& repository, std::string_view commit, std::string_view path) const;
  // The tree of a commit as a tar in the BlobStore; the same commit gives the same blob.
  Result<store::Digest> tree(const RepositoryName& repository, std::string_view commit, store::BlobStore& blobs) const;
  // Subject, author and time of a commit, for people.
  Result<std::string> describe(const RepositoryName& repository, std::string_view commit) const;

  Result<std::string> committer_date(const RepositoryName& repository, std::string_view commit) const;  // seconds since 1970

  // Holds pushes to one repository apart, so that what changed can be told.
  std::shared_ptr<std::mutex> push_lock(const RepositoryName& repository);
  // Writes what changed since the last time into the journal; true where something did.
  Result<bool> record_pushes(const RepositoryName& repository);
  // At start: pushes that were received but not recorded.
  Result<> recover();

  Command git(const RepositoryName& repository, std::vector<std::string> arguments) const;

 private:
  const std::string folder_;
  PushJournal& journal_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<RepositoryName, std::shared_ptr<std::mutex>> locks_;
};

bool is_commit_id(std::string_view text);
bool is_safe_ref(std::string_view ref);  // what git check-ref-format allows, below refs/

}  // namespace slipway::source
