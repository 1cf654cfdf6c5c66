// SPDX-License-Identifier: Apache-2.0
#include "kube/control.h"

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "base/strings.h"

namespace slipway::kube {
namespace {

constexpr std::chrono::milliseconds first_retry{5};
constexpr std::chrono::seconds last_retry{60};
constexpr std::size_t max_remembered_gone = 4096;
constexpr std::int64_t list_page = 500;

std::int64_t revision_of(const Json& object) { return parse_int(object["metadata"]["resourceVersion"].as_string()).value_or(0); }
std::string uid_of(const Json& object) { return object["metadata"]["uid"].str(); }

std::chrono::nanoseconds back_off(int failures) {
  const int doublings = std::min(failures, 20);
  return std::min<std::chrono::nanoseconds>(first_retry * (1 << doublings), last_retry);
}

}  // namespace

Json controller_reference(const Resource& resource, const Json& owner) {
  return Json::object({{"apiVersion", resource.api_version()}, {"kind", resource.kind}, {"name", owner["metadata"]["name"]},
                       {"uid", owner["metadata"]["uid"]}, {"controller", true}, {"blockOwnerDeletion", true}});
}

Json controller_of(const Json& object) {
  for (const Json& reference : object["metadata"]["ownerReferences"].items())
    if (reference["controller"].as_bool()) return reference;
  return {};
}

Informer::Informer(Client& client, Executor& executor, Resource resource, WatchOptions options)
    : client_(client), executor_(executor), resource_(std::move(resource)), options_(std::move(options)), monitor_(executor.make_monitor()) {}
Informer::~Informer() { stop(); }

Json Informer::get(const ObjectKey& key) const {
  const Guard guard(*monitor_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? Json() : found->second;
}

std::vector<Json> Informer::list(std::string_view ns) const {
  const Guard guard(*monitor_);
  std::vector<Json> out;
  for (auto at = objects_.lower_bound(ObjectKey{std::string(ns), ""}); at != objects_.end(); ++at) {
    if (!ns.empty() && at->first.ns != ns) break;
    out.push_back(at->second);
  }
  return out;
}

std::vector<Json> Informer::owned_by(std::string_view owner_uid) const {
  const Guard guard(*monitor_);
  std::vector<Json> out;
  const auto keys = by_owner_.find(std::string(owner_uid));
  if (keys == by_owner_.end()) return out;
  for (const ObjectKey& key : keys->second) out.push_back(objects_.at(key));
  return out;
}

bool Informer::synced() const {
  const Guard guard(*monitor_);
  return synced_;
}

void Informer::on_change(OnChange callback) {
  std::vector<Json> present;
  {
    const Guard guard(*monitor_);
    auto callbacks = std::make_shared<std::vector<OnChange>>(*callbacks_);
    callbacks->push_back(callback);
    callbacks_ = std::move(callbacks);
    for (const auto& [key, object] : objects_) present.push_back(object);
  }
  for (const Json& object : present) callback(Json(), object);
}

void Informer::start() {
  const Guard guard(*monitor_);
  if (!task_) task_ = executor_.spawn("watch-" + resource_.plural, [this](std::stop_token stop) { run(stop); });
}

void Informer::stop() {
  std::unique_ptr<Task> task;
  {
    const Guard guard(*monitor_);
    task = std::move(task_);
  }
  if (!task) return;
  task->request_stop();
  task->join();
}

void Informer::run(std::stop_token stop) {
  int failures = 0;
  std::string revision;
  while (!stop.stop_requested()) {
    Result<> outcome;
    if (revision.empty()) {
      auto listed = replace_all(stop);
      if (listed) revision = *listed;
      else outcome = std::unexpected(listed.error());
    }
    if (outcome) outcome = follow(revision, stop);
    if (outcome) {
      failures = 0;
      continue;
    }
    if (stop.stop_requested()) return;
    if (outcome.error().code == ErrorCode::expired) revision.clear();
    else log::warn("Watch failed; it is taken up again", {{"resource", resource_.plural}, {"reason", outcome.error().to_string()}});
    executor_.sleep(std::min<std::chrono::nanoseconds>(back_off(failures++), std::chrono::seconds(5)), stop);
  }
}

Result<std::string> Informer::replace_all(std::stop_token stop) {
  ListOptions options{.ns = options_.ns, .label_selector = options_.label_selector, .field_selector = options_.field_selector, .limit = list_page};
  std::set<ObjectKey> seen;
  std::string revision;
  do {
    auto page = TRY(client_.list(resource_, options));
    for (const Json& item : page.items) {
      seen.insert(key_of(item));
      put(item);
    }
    revision = page.resource_version;
    options.continue_token = page.continue_token;
  } while (!options.continue_token.empty() && !stop.stop_requested());
  for (const Json& object : list())
    if (!seen.contains(key_of(object)) && revision_of(object) <= parse_int(revision).value_or(0)) drop(object);
  const Guard guard(*monitor_);
  synced_ = true;
  monitor_->notify_all();
  return revision;
}

Result<> Informer::follow(std::string& revision, std::stop_token stop) {
  WatchOptions options = options_;
  options.resource_version = revision;
  return client_.watch(
      resource_, options,
      [&](const WatchEvent& event) {
        if (event.kind == WatchKind::deleted) drop(event.object);
        else if (event.kind != WatchKind::bookmark) put(event.object);
        if (const auto newer = event.object["metadata"]["resourceVersion"].str(); !newer.empty()) revision = newer;
        return !stop.stop_requested();
      },
      stop);
}

void Informer::index(const Json& object, bool add) {
  const std::string owner = controller_of(object)["uid"].str();
  if (owner.empty()) return;
  if (add) {
    by_owner_[owner].insert(key_of(object));
  } else if (const auto keys = by_owner_.find(owner); keys != by_owner_.end()) {
    keys->second.erase(key_of(object));
    if (keys->second.empty()) by_owner_.erase(keys);
  }
}

void Informer::put(const Json& object) {
  Json before;
  std::shared_ptr<const std::vector<OnChange>> callbacks;
  {
    const Guard guard(*monitor_);
    callbacks = callbacks_;
    if (gone_.contains(uid_of(object))) return;
    Json& known = objects_[key_of(object)];
    if (!known.is_null() && revision_of(known) >= revision_of(object)) return;
    before = known;
    if (!before.is_null()) index(before, false);
    known = object;
    index(object, true);
  }
  for (const auto& callback : *callbacks) callback(before, object);
}

void Informer::drop(const Json& object) {
  Json before;
  std::shared_ptr<const std::vector<OnChange>> callbacks;
  {
    const Guard guard(*monitor_);
    callbacks = callbacks_;
    if (gone_.emplace(uid_of(object), revision_of(object)).second) gone_order_.push_back(uid_of(object));
    if (gone_order_.size() > max_remembered_gone) {
      gone_.erase(gone_order_.front());
      gone_order_.pop_front();
    }
    const auto known = objects_.find(key_of(object));
    if (known == objects_.end() || uid_of(known->second) != uid_of(object)) return;
    before = known->second;
    index(before, false);
    objects_.erase(known);
  }
  for (const auto& callback : *callbacks) callback(before, Json());
}

void Informer::observed(const Json& object) { put(object); }
void Informer::observed_gone(const Json& object) { drop(object); }

Queue::Queue(Executor& executor, std::string name, Metrics* metrics) : executor_(executor), monitor_(executor.make_monitor()) {
  if (!metrics) return;
  added_ = &metrics->counter("workqueue_adds_total", "Keys added to a controller's queue", {{"name", name}});
  retried_ = &metrics->counter("workqueue_retries_total", "Keys that failed and wait for another try", {{"name", name}});
  depth_ = &metrics->gauge("workqueue_depth", "Keys that wait", {{"name", name}});
}

void Queue::add(const ObjectKey& key) {
  const Guard guard(*monitor_);
  if (added_) added_->add();
  if (active_.contains(key)) {
    again_.insert(key);
  } else if (queued_.insert(key).second) {
    ready_.push_back(key);
    tell_depth();
    monitor_->notify_all();
  }
}

void Queue::tell_depth() {
  if (depth_) depth_->set(static_cast<double>(ready_.size()));
}

void Queue::add_after(const ObjectKey& key, std::chrono::nanoseconds delay) {
  if (delay.count() <= 0) return add(key);
  const Guard guard(*monitor_);
  delayed_.emplace(executor_.clock().steady() + delay, key);
  monitor_->notify_all();
}

void Queue::add_failed(const ObjectKey& key) {
  int failures = 0;
  {
    const Guard guard(*monitor_);
    failures = failures_[key]++;
    if (retried_) retried_->add();
  }
  add_after(key, back_off(failures));
}

void Queue::forget(const ObjectKey& key) {
  const Guard guard(*monitor_);
  failures_.erase(key);
}

std::optional<Steady> Queue::move_due() {
  const Steady now = executor_.clock().steady();
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    const ObjectKey key = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    if (active_.contains(key)) again_.insert(key);
    else if (queued_.insert(key).second) ready_.push_back(key);
  }
  return delayed_.empty() ? std::nullopt : std::optional(delayed_.begin()->first);
}

std::optional<ObjectKey> Queue::take(std::stop_token stop) {
  const Guard guard(*monitor_);
  for (;;) {
    const auto due = move_due();
    if (stop.stop_requested()) return std::nullopt;
    if (!ready_.empty()) break;
    monitor_->wait(stop, due);
  }
  ObjectKey key = ready_.front();
  ready_.pop_front();
  tell_depth();
  queued_.erase(key);
  active_.insert(key);
  return key;
}

void Queue::done(const ObjectKey& key) {
  const Guard guard(*monitor_);
  active_.erase(key);
  if (again_.erase(key) && queued_.insert(key).second) ready_.push_back(key);
  tell_depth();
  monitor_->notify_all();
}

std::size_t Queue::size() const {
  const Guard guard(*monitor_);
  return ready_.size();
}

Controller::Controller(Executor& executor, std::string name, Reconcile reconcile, int workers, Metrics* metrics)
    : executor_(executor), name_(std::move(name)), reconcile_(std::move(reconcile)), workers_(workers), queue_(executor, name_, metrics) {
  if (!metrics) return;
  errors_ = &metrics->counter("slipway_reconcile_errors_total", "Reconciles that ended with an error", {{"controller", name_}});
  seconds_ = &metrics->histogram("workqueue_work_duration_seconds", "Time of one reconcile", {{"name", name_}});
}

Controller::~Controller() { request_stop(); }

void Controller::start() {
  for (int i = 0; i < workers_; ++i) tasks_.push_back(executor_.spawn(name_, [this](std::stop_token stop) { work(stop); }));
}

void Controller::request_stop() {
  for (auto& task : tasks_) task->request_stop();
}

void Controller::work(std::stop_token stop) {
  while (const auto key = queue_.take(stop)) {
    const Steady begun = executor_.clock().steady();
    auto next = reconcile_(*key, stop);
    if (seconds_) seconds_->observe(std::chrono::duration<double>(executor_.clock().steady() - begun).count());
    if (!next) {
      const bool race = next.error().code == ErrorCode::conflict || next.error().code == ErrorCode::not_found;
      if (errors_) errors_->add();
      log::write(race ? log::Level::debug : log::Level::warn, "Reconcile failed; it is tried again",
                 {{"controller", name_}, {"object", key->to_string()}, {"reason", next.error().to_string()}});
      queue_.add_failed(*key);
    } else {
      queue_.forget(*key);
      if (next->delay) queue_.add_after(*key, *next->delay);
    }
    queue_.done(*key);
  }
}

Manager::Manager(Client& client, Executor& executor, Metrics* metrics) : client_(client), executor_(executor), metrics_(metrics) {}
Manager::~Manager() { stop(); }

Informer& Manager::informer(const Resource& resource) { return informer(resource, {}, ""); }

Informer& Manager::informer(const Resource& resource, WatchOptions options, std::string_view name) {
  const std::lock_guard lock(mutex_);
  auto& informer = informers_[resource.group + "/" + resource.plural + "/" + std::string(name)];
  if (!informer) informer = std::make_unique<Informer>(client_, executor_, resource, std::move(options));
  return *informer;
}

Controller& Manager::controller(std::string name, Reconcile reconcile, int workers) {
  controllers_.push_back(std::make_unique<Controller>(executor_, std::move(name), std::move(reconcile), workers, metrics_));
  return *controllers_.back();
}

std::vector<Informer*> Manager::informers() {
  const std::lock_guard lock(mutex_);
  std::vector<Informer*> out;
  for (auto& [name, informer] : informers_) out.push_back(informer.get());
  return out;
}

void Manager::start(std::stop_token stop) {
  const std::vector<Informer*> present = informers();
  for (Informer* informer : present) informer->start();
  for (const Informer* informer : present)
    while (!informer->synced() && executor_.sleep(std::chrono::milliseconds(2), stop)) {
    }
  for (auto& controller : controllers_) controller->start();
}

void Manager::stop() {
  for (auto& controller : controllers_) controller->request_stop();
  for (Informer* informer : informers()) informer->stop();
  controllers_.clear();
}

}  // namespace slipway::kube
