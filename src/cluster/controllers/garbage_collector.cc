// SPDX-License-Identifier: Apache-2.0
// Deletes what its owners left behind (pkg/controller/garbagecollector; "Garbage Collection" in the documentation):
// background: an object goes when none of its owners exists any more; foreground: the owner stays, with the finalizer
// foregroundDeletion, until its dependents with blockOwnerDeletion are gone; orphan: the references are cut first.
#include <mutex>

#include "cluster/controllers/controllers.h"
#include "kube/discovery.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;
using text::Json;

constexpr std::string_view foreground_finalizer = "foregroundDeletion";
constexpr std::string_view orphan_finalizer = "orphan";

bool has_finalizer(const Json& object, std::string_view name) {
  for (const Json& one : object["metadata"]["finalizers"].items())
    if (one.as_string() == name) return true;
  return false;
}

Json without_finalizer(const Json& object, std::string_view name) {
  std::vector<Json> rest;
  for (const Json& one : object["metadata"]["finalizers"].items())
    if (one.as_string() != name) rest.push_back(one);
  return object.with_path({"metadata", "finalizers"}, Json::array(std::move(rest)));
}

// The graph of owners: uid -> the object's place, and owner uid -> dependents' uids. Filled by the informers.
class Graph final {
 public:
  struct Node {
    kube::Resource resource;
    ObjectKey key;
    std::vector<std::string> owners;
  };

  void put(const kube::Resource& resource, const Json& object) {
    const std::lock_guard lock(mutex_);
    const std::string uid = object["metadata"]["uid"].str();
    unlink(uid);
    Node node{resource, kube::key_of(object), {}};
    for (const Json& owner : object["metadata"]["ownerReferences"].items()) {
      node.owners.push_back(owner["uid"].str());
      dependents_[owner["uid"].str()].insert(uid);
    }
    nodes_[uid] = std::move(node);
  }
  void drop(const std::string& uid) {
    const std::lock_guard lock(mutex_);
    unlink(uid);
    nodes_.erase(uid);
  }
  std::optional<Node> find(const std::string& uid) const {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(uid);
    return found == nodes_.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<std::string> dependents(const std::string& uid) const {
    const std::lock_guard lock(mutex_);
    const auto found = dependents_.find(uid);
    if (found == dependents_.end()) return {};
    return {found->second.begin(), found->second.end()};
  }

 private:
  void unlink(const std::string& uid) {
    const auto found = nodes_.find(uid);
    if (found == nodes_.end()) return;
    for (const std::string& owner : found->second.owners) {
      auto& set = dependents_[owner];
      set.erase(uid);
      if (set.empty()) dependents_.erase(owner);
    }
  }

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Node> nodes_;
  std::unordered_map<std::string, std::set<std::string>> dependents_;
};

// Keys of this controller are uids, in ObjectKey::name.
class GarbageCollector final {
 public:
  explicit GarbageCollector(kube::Manager& manager) : manager_(manager) {}
  Graph& graph() { return graph_; }

  Result<kube::Next> reconcile(const std::string& uid) {
    const auto node = graph_.find(uid);
    if (!node) return kube::Next::done();
    auto object = manager_.client().get(node->resource, node->key);
    if (!object && object.error().code == ErrorCode::not_found) return kube::Next::done();
    if (!object) return std::unexpected(std::move(object.error()));
    if ((*object)["metadata"]["uid"].as_string() != uid) return kube::Next::done();
    if (!(*object)["metadata"]["deletionTimestamp"].is_null()) return finish_deletion(*node, *object);
    return delete_if_abandoned(*node, *object);
  }

 private:
  Result<kube::Next> delete_if_abandoned(const Graph::Node& node, const Json& object) {
    const auto& references = object["metadata"]["ownerReferences"];
    if (references.empty()) return kube::Next::done();
    bool waits_for_us = false;
    for (const Json& reference : references.items()) {
      const Owner owner = TRY(look_up(reference, node.key.ns));
      if (owner == Owner::alive) return kube::Next::done();
      waits_for_us |= owner == Owner::waits_for_dependents;
    }
    const auto how = waits_for_us ? kube::Propagation::foreground : kube::Propagation::background;
    auto removed = manager_.client().remove(node.resource, node.key, {.propagation = how, .uid = object["metadata"]["uid"].str()});
    if (!removed && removed.error().code != ErrorCode::not_found) return std::unexpected(std::move(removed.error()));
    return kube::Next::done();
  }

  enum class Owner { alive, gone, waits_for_dependents };

  Result<Owner> look_up(const Json& reference, const std::string& ns) {
    const std::string uid = reference["uid"].str();
    const auto known = graph_.find(uid);
    if (!known) return absent(reference, ns);
    auto owner = manager_.client().get(known->resource, known->key);
    if (!owner && owner.error().code == ErrorCode::not_found) return Owner::gone;
    if (!owner) return std::unexpected(std::move(owner.error()));
    if ((*owner)["metadata"]["uid"].as_string() != uid) return Owner::gone;
    const bool waits = !(*owner)["metadata"]["deletionTimestamp"].is_null() && has_finalizer(*owner, foreground_finalizer);
    return waits ? Owner::waits_for_dependents : Owner::alive;
  }

  // The cache has not got it; that is no proof. The kind is asked for by its reference.
  Result<Owner> absent(const Json& reference, const std::string& ns) {
    for (const kube::Resource& resource : TRY(kube::discover(manager_.client()))) {
      if (resource.kind != reference["kind"].as_string() || resource.api_version() != reference["apiVersion"].as_string()) continue;
      const auto owner = manager_.client().get(resource, {resource.namespaced ? ns : "", reference["name"].str()});
      if (!owner && owner.error().code != ErrorCode::not_found) return std::unexpected(owner.error());
      return owner && (*owner)["metadata"]["uid"] == reference["uid"] ? Owner::alive : Owner::gone;
    }
    return Owner::alive;  // a kind that is not served: it may come back, so nothing is deleted
  }

  Result<kube::Next> finish_deletion(const Graph::Node& node, const Json& object) {
    if (has_finalizer(object, orphan_finalizer)) {
      TRY(orphan_dependents(object));
      TRY(manager_.client().update(node.resource, without_finalizer(object, orphan_finalizer)));
      return kube::Next::done();
    }
    if (!has_finalizer(object, foreground_finalizer)) return kube::Next::done();
    bool blocked = false;
    for (const std::string& uid : graph_.dependents(object["metadata"]["uid"].str())) blocked |= TRY(remove_dependent(uid, object));
    if (blocked) return kube::Next::after(std::chrono::milliseconds(500));
    TRY(manager_.client().update(node.resource, without_finalizer(object, foreground_finalizer)));
    return kube::Next::done();
  }

  // True while the dependent is there and its owner has to wait for it.
  Result<bool> remove_dependent(const std::string& uid, const Json& owner) {
    const auto node = graph_.find(uid);
    if (!node) return false;
    auto dependent = manager_.client().get(node->resource, node->key);
    if (!dependent || (*dependent)["metadata"]["uid"].as_string() != uid) return false;
    if ((*dependent)["metadata"]["deletionTimestamp"].is_null()) TRY(delete_if_abandoned(*node, *dependent));
    for (const Json& reference : (*dependent)["metadata"]["ownerReferences"].items())
      if (reference["uid"] == owner["metadata"]["uid"]) return reference["blockOwnerDeletion"].as_bool();
    return false;
  }

  Result<> orphan_dependents(const Json& owner) {
    for (const std::string& uid : graph_.dependents(owner["metadata"]["uid"].str())) {
      const auto node = graph_.find(uid);
      if (!node) continue;
      auto dependent = manager_.client().get(node->resource, node->key);
      if (!dependent) continue;
      std::vector<Json> rest;
      for (const Json& reference : (*dependent)["metadata"]["ownerReferences"].items())
        if (reference["uid"] != owner["metadata"]["uid"]) rest.push_back(reference);
      TRY(manager_.client().update(node->resource, dependent->with_path({"metadata", "ownerReferences"}, Json::array(std::move(rest)))));
    }
    return {};
  }

  kube::Manager& manager_;
  Graph graph_;
};

// Kinds whose objects own or are owned in practice; custom resources are added as their definitions appear.
const std::vector<kube::Resource>& watched() {
  using namespace kube::resources;
  static const std::vector<kube::Resource> all{pods, replica_sets, deployments, services, endpoint_slices, secrets, config_maps, service_accounts};
  return all;
}

void watch(kube::Informer& informer, const kube::Resource& resource, GarbageCollector& collector, kube::Controller& controller) {
  informer.on_change([&collector, &controller, resource](const Json& before, const Json& after) {
    if (!after.is_null()) {
      collector.graph().put(resource, after);
      const bool look = !after["metadata"]["ownerReferences"].empty() && before.is_null();
      if (look || !after["metadata"]["deletionTimestamp"].is_null()) controller.enqueue({"", after["metadata"]["uid"].str()});
      return;
    }
    const std::string uid = before["metadata"]["uid"].str();
    for (const std::string& dependent : collector.graph().dependents(uid)) controller.enqueue({"", dependent});
    for (const Json& owner : before["metadata"]["ownerReferences"].items()) controller.enqueue({"", owner["uid"].str()});
    collector.graph().drop(uid);
  });
}

}  // namespace

void register_garbage_collector(kube::Manager& manager) {
  const auto state = std::make_shared<GarbageCollector>(manager);
  auto& controller = manager.controller("garbage-collector", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key.name); });
  for (const kube::Resource& resource : watched()) watch(manager.informer(resource), resource, *state, controller);
  manager.informer(kube::resources::custom_resource_definitions).on_change([&manager, state, &controller](const Json& before, const Json& after) {
    if (after.is_null() || !before.is_null()) return;
    const Json& spec = after["spec"];
    for (const Json& version : spec["versions"].items()) {
      if (!version["storage"].as_bool()) continue;
      const kube::Resource resource{spec["group"].str(), version["name"].str(), spec["names"]["plural"].str(), spec["names"]["kind"].str(),
                                    spec["scope"].as_string() == "Namespaced"};
      auto& informer = manager.informer(resource);
      watch(informer, resource, *state, controller);
      informer.start();
    }
  });
}

void register_controllers(kube::Manager& manager, const ControllerOptions& options) {
  register_deployments(manager);
  register_replica_sets(manager);
  register_endpoint_slices(manager);
  register_namespaces(manager);
  register_service_accounts(manager, options.ca_pem);
  register_scheduler(manager);
  register_garbage_collector(manager);
}

}  // namespace slipway::cluster
