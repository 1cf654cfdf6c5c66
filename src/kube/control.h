// SPDX-License-Identifier: Apache-2.0
// How every controller is built: informers (a cache kept up to date by a watch), a queue of keys, a reconcile.
//
// A reconcile gets a key, never an event, and reads the newest known state; it may run again at any time and must then
// find nothing to do. Its errors are retried with exponential back-off. A key is never reconciled twice at once.
// What a reconcile wrote is put into the cache at once (Informer::observed), so that it does not act on a state that is
// older than its own writes (F12).
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/counters.h"
#include "base/executor.h"
#include "kube/client.h"

namespace slipway::kube {

// When to look at a key again without a change: not, or at a time.
struct Next {
  std::optional<std::chrono::nanoseconds> delay;
  static Next done() { return {}; }
  static Next after(std::chrono::nanoseconds delay) { return {delay}; }
};

// The cache of one resource. Reads are from any thread; the values are immutable.
class Informer final {
 public:
  using OnChange = std::function<void(const Json& before, const Json& after)>;  // null where it was or is not there

  Informer(Client& client, Executor& executor, Resource resource, WatchOptions options);
  ~Informer();

  Json get(const ObjectKey& key) const;  // null where absent
  std::vector<Json> list(std::string_view ns = {}) const;
  std::vector<Json> owned_by(std::string_view owner_uid) const;  // by the controller reference
  bool synced() const;
  // Called on the thread that brought the change, without the lock. Who comes late is told first of all that is there.
  void on_change(OnChange callback);
  void start();
  void stop();
  // Takes a newer state that the caller got as the answer of its own write.
  void observed(const Json& object);
  void observed_gone(const Json& object);

 private:
  void run(std::stop_token stop);
  Result<std::string> replace_all(std::stop_token stop);
  Result<> follow(std::string& revision, std::stop_token stop);
  void put(const Json& object);
  void drop(const Json& object);
  void index(const Json& object, bool add);

  Client& client_;
  Executor& executor_;
  const Resource resource_;
  const WatchOptions options_;
  std::shared_ptr<const std::vector<OnChange>> callbacks_ = std::make_shared<std::vector<OnChange>>();
  std::unique_ptr<Monitor> monitor_;
  std::map<ObjectKey, Json> objects_;
  std::unordered_map<std::string, std::set<ObjectKey>> by_owner_;
  std::unordered_map<std::string, std::int64_t> gone_;  // uid -> resourceVersion: a late event does not bring it back
  std::deque<std::string> gone_order_;
  bool synced_ = false;
  std::unique_ptr<Task> task_;
};

// Keys to look at, each once however often it is added; delayed and retried keys wait in the same queue.
class Queue final {
 public:
  Queue(Executor& executor, std::string name, Metrics* metrics);
  void add(const ObjectKey& key);
  void add_after(const ObjectKey& key, std::chrono::nanoseconds delay);
  void add_failed(const ObjectKey& key);  // with back-off: 5 ms doubling to 1 min
  void forget(const ObjectKey& key);      // it succeeded
  std::optional<ObjectKey> take(std::stop_token stop);  // blocks; nothing when stopped
  void done(const ObjectKey& key);
  std::size_t size() const;

 private:
  std::optional<Steady> move_due();  // when the next delayed key is due
  void tell_depth();

  Executor& executor_;
  std::unique_ptr<Monitor> monitor_;
  std::deque<ObjectKey> ready_;
  std::set<ObjectKey> queued_, active_, again_;
  std::multimap<Steady, ObjectKey> delayed_;
  std::map<ObjectKey, int> failures_;
  Counter* added_ = nullptr;
  Counter* retried_ = nullptr;
  Counter* depth_ = nullptr;
};

using Reconcile = std::function<Result<Next>(const ObjectKey& key, std::stop_token stop)>;

class Controller final {
 public:
  Controller(Executor& executor, std::string name, Reconcile reconcile, int workers, Metrics* metrics);
  ~Controller();
  void enqueue(const ObjectKey& key) { queue_.add(key); }
  Queue& queue() { return queue_; }
  void start();
  void request_stop();

 private:
  void work(std::stop_token stop);
  Executor& executor_;
  const std::string name_;
  const Reconcile reconcile_;
  const int workers_;
  Queue queue_;
  Counter* errors_ = nullptr;
  Histogram* seconds_ = nullptr;
  std::vector<std::unique_ptr<Task>> tasks_;
};

// The informers (one a resource, shared) and controllers of one process and one plane.
class Manager final {
 public:
  Manager(Client& client, Executor& executor, Metrics* metrics = nullptr);
  ~Manager();
  Client& client() { return client_; }
  Executor& executor() { return executor_; }
  const Clock& clock() const { return executor_.clock(); }
  Metrics* metrics() { return metrics_; }
  Informer& informer(const Resource& resource);
  Informer& informer(const Resource& resource, WatchOptions options, std::string_view name);
  // One that is added after start() must be started by who adds it; starting twice is fine.
  Controller& controller(std::string name, Reconcile reconcile, int workers = 1);
  // Waits until every informer is synced, then starts the controllers.
  void start(std::stop_token stop);
  void stop();

 private:
  std::vector<Informer*> informers();
  Client& client_;
  Executor& executor_;
  Metrics* metrics_;
  std::mutex mutex_;  // of informers_: one may be added while the others run
  std::map<std::string, std::unique_ptr<Informer>> informers_;
  std::vector<std::unique_ptr<Controller>> controllers_;
};

// The controller's owner reference to `owner`, for metadata.ownerReferences.
Json controller_reference(const Resource& resource, const Json& owner);
// The controller owner of an object; null where it has none.
Json controller_of(const Json& object);

}  // namespace slipway::kube
