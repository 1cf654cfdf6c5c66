// SPDX-License-Identifier: Apache-2.0
// ObjectStore: versioned objects under string keys, durable, with a history that can be watched.
//
// Every write gets the next revision; a revision is never used twice. A write is seen by readers and watchers only when
// it is durable, and all see writes in the order of their revisions. Reads never wait for the writer: pin() is a copy of
// the root of a persistent tree. Any thread may call anything.
//
// A full disk refuses writes with no_space (removals use a reserve) and heals by itself. Any other error of the disk is
// final: every later write is refused, and `on_failure` runs once, so that the process can end (F3).
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/executor.h"
#include "store/file.h"
#include "store/map.h"

namespace slipway::store {

struct Object {
  std::uint64_t revision = 0;
  std::string value;
};
using ObjectPointer = std::shared_ptr<const Object>;
using ObjectMap = Map<Object>;

struct Pinned {
  std::uint64_t revision = 0;
  ObjectMap objects;
};

enum class Change { put, remove };

struct Write {
  Change change = Change::put;
  std::string key;
  std::string value;  // for a removal: the object's last state, for watchers
  // The offset in `value` where the decimal digits of the new revision are inserted; npos: nowhere.
  std::size_t revision_at = std::string::npos;
  // The revision that the key must have: 0 that it must not exist; nothing: any.
  std::optional<std::uint64_t> expected;
};

struct Event {
  Change change = Change::put;
  std::uint64_t revision = 0;
  std::string key;
  ObjectPointer object;    // the new state; for a removal the last state
  ObjectPointer previous;  // null where the key is new
};

struct ObjectStoreConfig {
  std::string folder;
  std::uint64_t segment_bytes = 8 * 1024 * 1024;
  std::uint64_t snapshot_after_bytes = 64 * 1024 * 1024;  // of log
  std::size_t history_events = 20'000;
  std::size_t history_bytes = 64 * 1024 * 1024;
  std::function<void(const Error&)> on_failure;
};

// Ends the watch when it is destroyed; never destroy it inside its own callback.
class Watch {
 public:
  virtual ~Watch() = default;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  static Result<std::unique_ptr<ObjectStore>> open(FileSystem& files, Executor& executor, ObjectStoreConfig config);

  virtual Pinned pin() const = 0;
  // Blocks until durable. already_exists, not_found, conflict: by `expected`. no_space, unavailable: nothing happened,
  // except that after unavailable the write may be found done after a restart.
  virtual Result<ObjectPointer> write(Write write) = 0;
  // Calls on_event for what happened after revision `from` to keys with the prefix: first from the history, then as it
  // happens, on the writer's thread: it must not block or call the store. expired: the history does not reach back.
  virtual Result<std::unique_ptr<Watch>> watch(std::string prefix, std::uint64_t from,
                                               std::function<void(const Event&)> on_event) = 0;
  virtual std::uint64_t oldest_revision() const = 0;  // the least `from` that watch() takes
  virtual Result<> snapshot() = 0;                    // now, on the caller's thread
};

}  // namespace slipway::store
