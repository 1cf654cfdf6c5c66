// SPDX-License-Identifier: Apache-2.0
#include "store/objects.h"

#include <fmt/format.h>

#include <deque>
#include <list>
#include <mutex>

#include "base/log.h"
#include "store/encoding.h"
#include "store/log.h"
#include "store/snapshot.h"

namespace slipway::store {
namespace {

constexpr std::size_t batch_bytes = 4 * 1024 * 1024;

void encode(std::string& out, const Event& event) {
  put_number(out, static_cast<std::uint8_t>(event.change == Change::put ? 1 : 2));
  put_number(out, event.revision);
  put_text(out, event.key);
  put_text(out, event.object->value);
}

struct Waiting {
  Write write;
  std::optional<Result<ObjectPointer>> result;
};

class Store final : public ObjectStore {
 public:
  Store(FileSystem& files, Executor& executor, ObjectStoreConfig config)
      : files_(files), executor_(executor), config_(std::move(config)), queue_(executor.make_monitor()) {}

  ~Store() override {
    snapshotter_.reset();
    writer_.reset();
  }

  Result<> recover() {
    TRY(files_.make_folder(config_.folder));
    const auto head = TRY(read_snapshot(files_, config_.folder, [&](const SnapshotEntry& entry) -> Result<> {
      durable_.objects.set(entry.key, std::make_shared<Object>(Object{entry.revision, std::string(entry.value)}));
      return {};
    }));
    LogPosition from;
    if (head) from = head->position, durable_.revision = head->revision;
    compacted_ = durable_.revision;
    log_ = TRY(Log::open(files_, {config_.folder, config_.segment_bytes}, from,
                         [&](std::uint64_t, std::string_view payload) { return replay(payload); }));
    position_ = log_->position();
    next_revision_ = durable_.revision + 1;
    return {};
  }

  void start() {
    writer_ = executor_.spawn("store-writer", [this](std::stop_token stop) { run_writer(stop); });
    snapshotter_ = executor_.spawn("store-snapshot", [this](std::stop_token stop) { run_snapshots(stop); });
  }

  Pinned pin() const override {
    std::lock_guard lock(mutex_);
    return durable_;
  }

  std::uint64_t oldest_revision() const override {
    std::lock_guard lock(mutex_);
    return compacted_;
  }

  Result<ObjectPointer> write(Write write) override {
    auto waiting = std::make_shared<Waiting>(Waiting{std::move(write), {}});
    Guard guard(*queue_);
    if (closed_) return fail(ErrorCode::unavailable, "the store is closed");
    waiting_.push_back(waiting);
    queue_->notify_all();
    guard.wait_until([&] { return waiting->result.has_value(); }, {}, {}, executor_.clock());
    return std::move(*waiting->result);
  }

  Result<std::unique_ptr<Watch>> watch(std::string prefix, std::uint64_t from,
                                       std::function<void(const Event&)> on_event) override;

  Result<> snapshot() override {
    std::lock_guard one_at_a_time(snapshot_mutex_);
    SnapshotHead head;
    Pinned pinned;
    {
      std::lock_guard lock(mutex_);
      pinned = durable_;
      head = {position_, pinned.revision};
    }
    TRY(write_snapshot(files_, config_.folder, head, [&](const SnapshotSink& sink) -> Result<> {
      Result<> result;
      pinned.objects.scan("", [&](const std::string& key, const ObjectPointer& object) {
        result = sink({key, object->value, object->revision});
        return result.has_value();
      });
      return result;
    }));
    Guard guard(*queue_);
    drop_through_ = head.position.sequence;
    queue_->notify_all();
    return {};
  }

 private:
  struct Subscriber {
    std::string prefix;
    std::function<void(const Event&)> on_event;
  };
  class Subscription;

  Result<> replay(std::string_view payload) {
    Decoder in(payload);
    while (!in.at_end()) {
      Event event;
      event.change = in.number<std::uint8_t>() == 1 ? Change::put : Change::remove;
      event.revision = in.number<std::uint64_t>();
      event.key = in.text();
      event.object = std::make_shared<Object>(Object{event.revision, std::string(in.text())});
      if (!in.ok() || event.revision <= durable_.revision)
        return fail(ErrorCode::internal, "a log record is not in order");
      apply(durable_, event);
      remember(std::move(event));
    }
    return {};
  }

  static void apply(Pinned& state, Event& event) {
    event.previous = state.objects.get(event.key);
    if (event.change == Change::put) state.objects.set(event.key, event.object);
    else state.objects.erase(event.key);
    state.revision = event.revision;
  }

  void remember(Event event) {
    history_bytes_ += event.object->value.size() + event.key.size();
    history_.push_back(std::move(event));
    while (history_.size() > config_.history_events || (history_bytes_ > config_.history_bytes && history_.size() > 1)) {
      compacted_ = history_.front().revision;
      history_bytes_ -= history_.front().object->value.size() + history_.front().key.size();
      history_.pop_front();
    }
  }

  static Result<> admit(const Pinned& state, const Write& write) {
    const ObjectPointer now = state.objects.get(write.key);
    if (write.change == Change::remove && now == nullptr) return fail(ErrorCode::not_found, write.key + " does not exist");
    if (!write.expected) return {};
    if (*write.expected == 0 && now != nullptr) return fail(ErrorCode::already_exists, write.key + " exists already");
    if (*write.expected != 0 && now == nullptr) return fail(ErrorCode::not_found, write.key + " does not exist");
    if (*write.expected != 0 && now->revision != *write.expected)
      return fail(ErrorCode::conflict, fmt::format("{} has revision {}, not {}", write.key, now->revision, *write.expected));
    return {};
  }

  // One frame of the log: the writes that fit the state, each seen by the ones after it.
  struct Batch {
    Pinned state;
    std::vector<Event> events;
    std::string payload;
    bool only_removals = true;
  };

  Result<ObjectPointer> add(Batch& batch, const Write& write) {
    TRY(admit(batch.state, write));
    Event event{write.change, next_revision_++, write.key, nullptr, nullptr};
    std::string value = write.value;
    if (write.revision_at != std::string::npos) value.insert(write.revision_at, std::to_string(event.revision));
    event.object = std::make_shared<Object>(Object{event.revision, std::move(value)});
    encode(batch.payload, event);
    apply(batch.state, event);
    batch.only_removals &= event.change == Change::remove;
    batch.events.push_back(event);
    return event.object;
  }

  void run_writer(std::stop_token stop) {
    while (true) {
      std::vector<std::shared_ptr<Waiting>> taken;
      std::uint64_t drop = 0;
      {
        Guard guard(*queue_);
        guard.wait_until([&] { return !waiting_.empty() || drop_through_ != 0; }, stop, {}, executor_.clock());
        if (waiting_.empty() && stop.stop_requested()) {
          closed_ = true;
          return;
        }
        drop = std::exchange(drop_through_, 0);
        taken = take_batch();
      }
      if (drop != 0)
        if (auto dropped = log_->drop_through(drop); !dropped)
          log::warn("old log segments could not be removed", {{"error", dropped.error().to_string()}});
      if (!taken.empty()) commit(taken);
    }
  }

  std::vector<std::shared_ptr<Waiting>> take_batch() {
    std::vector<std::shared_ptr<Waiting>> taken;
    std::size_t bytes = 0;
    while (!waiting_.empty() && bytes < batch_bytes) {
      bytes += waiting_.front()->write.value.size();
      taken.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return taken;
  }

  void commit(std::vector<std::shared_ptr<Waiting>>& taken) {
    Batch batch{pin(), {}, {}};
    std::vector<Result<ObjectPointer>> results;
    for (const auto& waiting : taken) results.push_back(add(batch, waiting->write));
    Result<> logged;
    if (!batch.events.empty())
      logged = log_->append(batch.payload, batch.only_removals ? Reserve::use : Reserve::keep);
    if (logged) publish(batch);
    else if (logged.error().code != ErrorCode::no_space) report_failure(logged.error());
    else if (!batch.only_removals) return refuse_puts(taken, logged.error());
    Guard guard(*queue_);
    for (std::size_t i = 0; i < taken.size(); ++i)
      taken[i]->result = logged || !results[i] ? std::move(results[i]) : std::unexpected(logged.error());
    if (log_->bytes_since_open() - snapshot_at_ > config_.snapshot_after_bytes) {
      snapshot_at_ = log_->bytes_since_open();
      snapshot_due_ = true;
    }
    queue_->notify_all();
  }

  // The disk is full: what only removes still goes through, by the log's reserve.
  void refuse_puts(std::vector<std::shared_ptr<Waiting>>& taken, const Error& error) {
    std::vector<std::shared_ptr<Waiting>> removals;
    {
      Guard guard(*queue_);
      for (const auto& waiting : taken) {
        if (waiting->write.change == Change::put) waiting->result = std::unexpected(error);
        else removals.push_back(waiting);
      }
      queue_->notify_all();
    }
    if (!removals.empty()) commit(removals);
  }

  void publish(Batch& batch) {
    std::lock_guard lock(mutex_);
    durable_ = std::move(batch.state);
    position_ = log_->position();
    for (Event& event : batch.events) {
      for (const Subscriber& subscriber : subscribers_)
        if (event.key.starts_with(subscriber.prefix)) subscriber.on_event(event);
      remember(std::move(event));
    }
  }

  void report_failure(const Error& error) {
    if (std::exchange(failed_, true)) return;
    log::error("the store failed and takes no more writes", {{"error", error.to_string()}});
    if (config_.on_failure) config_.on_failure(error);
  }

  void run_snapshots(std::stop_token stop) {
    while (true) {
      {
        Guard guard(*queue_);
        if (!guard.wait_until([&] { return snapshot_due_; }, stop, {}, executor_.clock())) return;
        snapshot_due_ = false;
      }
      if (auto written = snapshot(); !written)
        log::warn("no snapshot could be written", {{"error", written.error().to_string()}});
    }
  }

  FileSystem& files_;
  Executor& executor_;
  const ObjectStoreConfig config_;

  mutable std::mutex mutex_;  // of the next block; held while watchers are told
  Pinned durable_;
  LogPosition position_;
  std::deque<Event> history_;
  std::size_t history_bytes_ = 0;
  std::uint64_t compacted_ = 0;  // the revision before the first of history_
  std::list<Subscriber> subscribers_;

  std::unique_ptr<Monitor> queue_;  // of the next block
  std::deque<std::shared_ptr<Waiting>> waiting_;
  std::uint64_t drop_through_ = 0;
  bool snapshot_due_ = false, closed_ = false;

  std::unique_ptr<Log> log_;  // the writer's own, with what follows
  std::uint64_t next_revision_ = 1, snapshot_at_ = 0;
  bool failed_ = false;

  std::mutex snapshot_mutex_;
  std::unique_ptr<Task> writer_, snapshotter_;
};

class Store::Subscription final : public Watch {
 public:
  Subscription(Store& store, std::list<Subscriber>::iterator place) : store_(store), place_(place) {}
  ~Subscription() override {
    std::lock_guard lock(store_.mutex_);
    store_.subscribers_.erase(place_);
  }

 private:
  Store& store_;
  std::list<Subscriber>::iterator place_;
};

Result<std::unique_ptr<Watch>> Store::watch(std::string prefix, std::uint64_t from,
                                            std::function<void(const Event&)> on_event) {
  std::lock_guard lock(mutex_);
  if (from < compacted_)
    return fail(ErrorCode::expired, fmt::format("too old resource version: {} ({})", from, compacted_));
  const auto first = std::ranges::upper_bound(history_, from, {}, &Event::revision);
  for (auto event = first; event != history_.end(); ++event)
    if (event->key.starts_with(prefix)) on_event(*event);
  subscribers_.push_back({std::move(prefix), std::move(on_event)});
  return std::make_unique<Subscription>(*this, std::prev(subscribers_.end()));
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> ObjectStore::open(FileSystem& files, Executor& executor, ObjectStoreConfig config) {
  auto store = std::make_unique<Store>(files, executor, std::move(config));
  TRY(store->recover());
  store->start();
  return store;
}

}  // namespace slipway::store
