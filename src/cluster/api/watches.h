// SPDX-License-Identifier: Apache-2.0
// Watches: events of the store as a watcher sees them: initial objects, selectors, bookmarks, an end.
//
// A session calls its sink under a lock of its own, from the store's writer thread or from tick(); the sink must not
// block. Where the sink answers false, the session is over; tick() lets it go.
#pragma once

#include <atomic>
#include <list>

#include "cluster/api/operations.h"

namespace slipway::api {

// type is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; object is JSON text. False: no more.
using WatchSink = std::function<bool(std::string_view type, const std::string& object)>;

class WatchSession final {
 public:
  // expired (410) where the history does not reach back to the wanted resourceVersion.
  static Answer<std::shared_ptr<WatchSession>> open(store::ObjectStore& store, ResourcePointer resource, const Request& request, Steady now, WatchSink sink);
  ~WatchSession() { watch_.reset(); }
  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  // Bookmarks and the time limit. False once it is over.
  bool tick(Steady now, std::uint64_t revision);

 private:
  WatchSession(ResourcePointer resource, Selectors selectors, WatchSink sink) : resource_(std::move(resource)), selectors_(std::move(selectors)), sink_(std::move(sink)) {}
  void on_event(const store::Event& event);
  void send_initial(const store::Pinned& pinned, const std::string& prefix);
  void send_bookmark(std::uint64_t revision, bool end_of_initial);
  void send(std::string_view type, const std::string& object);

  const ResourcePointer resource_;
  const Selectors selectors_;
  WatchSink sink_;
  std::mutex mutex_;
  std::uint64_t revision_ = 0;
  bool bookmarks_ = false;
  Steady next_bookmark_{}, end_{};
  std::atomic<bool> closed_{false};
  std::unique_ptr<store::Watch> watch_;
};

}  // namespace slipway::api
