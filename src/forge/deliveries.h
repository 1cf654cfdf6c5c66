// SPDX-License-Identifier: Apache-2.0
// The webhooks that arrived: an append-only file of one JSON line each, durable before anybody is told "accepted".
//
// It answers two questions: was this delivery seen before (a replay, for 24 hours: B14), and which pushes were told of
// that no fetch has brought yet (they survive kill -9). Any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "forge/webhooks.h"
#include "source/repositories.h"
#include "text/json.h"

namespace slipway::forge {

struct Delivery {
  source::RepositoryName repository;
  Provider provider = Provider::github;
  std::string id;           // the forge's
  std::string body_digest;  // empty where the forge signs the id; else a body that comes again is a replay too
  std::vector<RefChange> changes;
  Wall arrived{};
  std::uint64_t sequence = 0;  // ours, rising
};

class Deliveries final {
 public:
  static constexpr std::chrono::hours remembered{24};
  static constexpr std::size_t max_remembered = 10'000;  // of one repository
  // Of one repository, and of all: what is beyond is accepted and woken for, but only its branch's head is a push.
  static constexpr std::size_t max_pending = 1'000, max_pending_of_all = 10'000;

  static Result<std::unique_ptr<Deliveries>> open(const std::string& folder, const Clock& clock);

  // Durable on return. Errors: already_exists (a replay), throttled (too many within the day).
  Result<> record(Delivery delivery);
  std::vector<Delivery> pending(const source::RepositoryName& repository) const;  // in the order of arrival
  // These are brought. Not durable: what is forgotten of it costs one more fetch.
  void settle(const source::RepositoryName& repository, const std::vector<std::uint64_t>& sequences);
  void forget(const source::RepositoryName& repository);  // it is gone

 private:
  struct Seen {
    std::set<std::string> marks;
    std::vector<Delivery> pending;
    std::vector<std::pair<Wall, std::vector<std::string>>> by_age;
  };
  Deliveries(std::string path, const Clock& clock) : path_(std::move(path)), clock_(clock) {}
  void load(std::string_view text);
  static void load_marks(Seen& seen, const text::Json& rows);
  void take(const Delivery& delivery);
  void expire(Seen& seen) const;
  Result<> append(const std::string& line);
  Result<> compact();

  const std::string path_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<source::RepositoryName, Seen> seen_;
  UniqueFd file_;
  std::uint64_t next_ = 1;
  std::size_t pending_ = 0;
  std::size_t bytes_ = 0, compacted_bytes_ = 0;  // of the file: now, and when it was last made anew
};

}  // namespace slipway::forge
