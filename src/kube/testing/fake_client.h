// SPDX-License-Identifier: Apache-2.0
// An API in memory for tests of controllers: one map of objects, one log of events, one counter of revisions.
//
// It knows no schema, defaults, validation or garbage collection; field selectors, strategic and JSON patches and raw
// paths are refused, and an apply is a merge that creates what is absent. Removal is at once (no finalizers, no grace).
// An update or patch of "status" changes the status alone, any other keeps the stored status. From any thread.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kube/client.h"
#include "kube/patch.h"

namespace slipway::kube::testing {

class FakeClient final : public Client {
 public:
  Result<Json> get(const Resource& resource, const ObjectKey& key, std::string_view = {}) override {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find({id_of(resource), key});
    if (found == objects_.end()) return absent(resource, key);
    return found->second;
  }

  Result<ObjectList> list(const Resource& resource, const ListOptions& options = {}) override {
    if (!options.field_selector.empty()) return refused("field selectors");
    if (!is_equality(options.label_selector)) return refused("label selectors other than key=value");
    const std::lock_guard lock(mutex_);
    ObjectList answer{.resource_version = std::to_string(revision_)};
    for (const auto& [id, object] : objects_)
      if (id.first == id_of(resource) && selected(object, options.ns, options.label_selector))
        answer.items.push_back(object);
    return answer;
  }

  Result<Json> create(const Resource& resource, const Json& given, std::string_view = {},
                      std::string_view = {}) override {
    const std::lock_guard lock(mutex_);
    return create_locked(resource, given);
  }

  Result<Json> update(const Resource& resource, const Json& object, std::string_view subresource = {}) override {
    const std::lock_guard lock(mutex_);
    return replace_locked(resource, key_of(object), object, subresource);
  }

  Result<Json> patch(const Resource& resource, const ObjectKey& key, PatchType type, const Json& body,
                     const PatchOptions& = {}, std::string_view subresource = {}) override {
    if (type != PatchType::merge && type != PatchType::apply) return refused("JSON and strategic patches");
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find({id_of(resource), key});
    if (found != objects_.end()) return replace_locked(resource, key, merge_patch(found->second, body), subresource);
    if (type == PatchType::merge) return absent(resource, key);
    return create_locked(resource,
                         body.with_path({"metadata", "name"}, key.name).with_path({"metadata", "namespace"}, key.ns));
  }

  Result<Json> remove(const Resource& resource, const ObjectKey& key, const DeleteOptions& options = {}) override {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find({id_of(resource), key});
    if (found == objects_.end()) return absent(resource, key);
    const Json& metadata = found->second["metadata"];
    if ((!options.uid.empty() && metadata["uid"].as_string() != options.uid) ||
        (!options.resource_version.empty() && metadata["resourceVersion"].as_string() != options.resource_version))
      return fail(ErrorCode::conflict, "the precondition of the removal of " + key.to_string() + " does not hold");
    const Json gone = found->second.with_path({"metadata", "resourceVersion"}, std::to_string(++revision_));
    objects_.erase(found);
    record(resource, WatchKind::deleted, gone);
    return gone;
  }

  Result<> watch(const Resource& resource, const WatchOptions& options, std::function<bool(const WatchEvent&)> on_event,
                 std::stop_token stop) override {
    if (!options.field_selector.empty()) return refused("field selectors");
    if (!is_equality(options.label_selector)) return refused("label selectors other than key=value");
    std::size_t next = options.resource_version.empty() ? 0 : std::stoul(options.resource_version);
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [&] { return next < events_.size(); })) {
      const auto [id, event] = events_[next++];
      if (id != id_of(resource) || !selected(event.object, options.ns, options.label_selector)) continue;
      lock.unlock();
      if (!on_event(event)) return {};
      lock.lock();
    }
    return {};
  }

  Result<std::string> raw(std::string_view, std::string_view, std::string_view = {}, std::string_view = {}) override {
    return refused("raw paths");
  }
  Result<> raw_stream(std::string_view, std::function<bool(std::string_view)>, std::stop_token) override {
    return refused("raw paths");
  }

 private:
  static std::string id_of(const Resource& resource) { return resource.group + "/" + resource.plural; }
  static std::unexpected<Error> refused(const std::string& what) {
    return fail(ErrorCode::invalid, "the fake API does not serve " + what);
  }
  static std::unexpected<Error> absent(const Resource& resource, const ObjectKey& key) {
    return fail(ErrorCode::not_found, resource.plural + " \"" + key.name + "\" not found");
  }

  static bool is_equality(std::string_view selector) {
    return selector.find_first_of("!()") == std::string_view::npos &&
           (selector.empty() || selector.find('=') != std::string_view::npos);
  }

  static bool selected(const Json& object, std::string_view ns, std::string_view selector) {
    if (!ns.empty() && object["metadata"]["namespace"].as_string() != ns) return false;
    while (!selector.empty()) {
      const auto comma = selector.find(',');
      const auto term = selector.substr(0, comma);
      selector = comma == std::string_view::npos ? std::string_view{} : selector.substr(comma + 1);
      const auto value = term.substr(std::min(term.size(), term.find('=')));
      const Json* label = object["metadata"]["labels"].find(term.substr(0, term.find('=')));
      const auto wanted = value.substr(std::min(value.size(), value.find_first_not_of('=')));
      if (label == nullptr || label->as_string() != wanted) return false;
    }
    return true;
  }

  Result<Json> create_locked(const Resource& resource, const Json& given) {
    const auto number = std::to_string(++revision_);
    // Every revision has one event, so that a watch resumes at its index.
    Json object = given;
    if (given["metadata"]["name"].as_string().empty())
      object = object.with_path({"metadata", "name"}, given["metadata"]["generateName"].str() + number);
    const ObjectKey key = key_of(object);
    if (objects_.contains({id_of(resource), key})) {
      --revision_;
      return fail(ErrorCode::already_exists, resource.plural + " \"" + key.name + "\" already exists");
    }
    object = object.with("apiVersion", resource.api_version())
                 .with("kind", resource.kind)
                 .with_path({"metadata", "uid"}, "uid-" + number)
                 .with_path({"metadata", "creationTimestamp"}, "2026-01-01T00:00:00Z")
                 .with_path({"metadata", "generation"}, 1)
                 .with_path({"metadata", "resourceVersion"}, number);
    objects_[{id_of(resource), key}] = object;
    record(resource, WatchKind::added, object);
    return object;
  }

  Result<Json> replace_locked(const Resource& resource, const ObjectKey& key, const Json& given,
                              std::string_view subresource) {
    const auto found = objects_.find({id_of(resource), key});
    if (found == objects_.end()) return absent(resource, key);
    const Json& old = found->second;
    const auto seen = given["metadata"]["resourceVersion"].as_string();
    if (!seen.empty() && seen != old["metadata"]["resourceVersion"].as_string())
      return fail(ErrorCode::conflict, resource.plural + " \"" + key.name + "\" has been modified");
    Json object = subresource == "status" ? old.with("status", given["status"]) : given;
    if (subresource.empty() && old.contains("status")) object = object.with("status", old["status"]);
    const std::int64_t changed = object["spec"] == old["spec"] ? 0 : 1;
    object = object.with_path({"metadata", "uid"}, old["metadata"]["uid"])
                 .with_path({"metadata", "generation"}, old["metadata"]["generation"].as_int() + changed)
                 .with_path({"metadata", "resourceVersion"}, std::to_string(++revision_));
    found->second = object;
    record(resource, WatchKind::modified, object);
    return object;
  }

  void record(const Resource& resource, WatchKind kind, const Json& object) {
    events_.emplace_back(id_of(resource), WatchEvent{kind, object});
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::pair<std::string, ObjectKey>, Json> objects_;
  std::vector<std::pair<std::string, WatchEvent>> events_;
  std::size_t revision_ = 0;  // the number of events
};

}  // namespace slipway::kube::testing
