// SPDX-License-Identifier: Apache-2.0
#include "cluster/controllers/controllers.h"
#include "kube/events.h"
#include "cluster/controllers/schedule.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;

class Scheduler final {
 public:
  explicit Scheduler(kube::Manager& manager)
      : manager_(manager), pods_(manager.informer(kube::resources::pods)), nodes_(manager.informer(kube::resources::nodes)), events_(manager, "default-scheduler") {}

  Result<kube::Next> reconcile(const ObjectKey& key) {
    const Json pod = pods_.get(key);
    if (pod.is_null() || !pod["spec"]["nodeName"].is_null() || !pod["metadata"]["deletionTimestamp"].is_null()) return kube::Next::done();
    if (pod["spec"]["schedulerName"].as_string("default-scheduler") != "default-scheduler") return kube::Next::done();
    const Placement placement = place(pod, nodes_.list(), pods_.list());
    if (placement.node.empty()) return hold(pod, placement.message);
    const Json binding = Json::object({{"apiVersion", "v1"}, {"kind", "Binding"},
                                       {"metadata", Json::object({{"name", key.name}, {"namespace", key.ns}, {"uid", pod["metadata"]["uid"]}})},
                                       {"target", Json::object({{"apiVersion", "v1"}, {"kind", "Node"}, {"name", placement.node}})}});
    TRY(manager_.client().create(kube::resources::pods, binding, "binding"));
    return kube::Next::done();
  }

 private:
  Result<kube::Next> hold(const Json& pod, const std::string& message) {
    const Json conditions = with_condition(pod["status"]["conditions"], "PodScheduled", false, "Unschedulable", message, manager_.clock().now(), false);
    if (!(conditions == pod["status"]["conditions"])) {
      events_.warning(pod, "FailedScheduling", message);
      pods_.observed(TRY(manager_.client().patch(kube::resources::pods, kube::key_of(pod), kube::PatchType::merge,
                                                 Json::object({{"status", Json::object({{"conditions", conditions}})}}), {}, "status")));
    }
    return kube::Next::after(std::chrono::seconds(2));
  }

  kube::Manager& manager_;
  kube::Informer& pods_;
  kube::Informer& nodes_;
  kube::EventRecorder events_;
};

}  // namespace

void register_scheduler(kube::Manager& manager) {
  const auto state = std::make_shared<Scheduler>(manager);
  auto& controller = manager.controller("scheduler", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  auto& pods = manager.informer(kube::resources::pods);
  const auto enqueue_waiting = [&controller, &pods] {
    for (const Json& pod : pods.list())
      if (pod["spec"]["nodeName"].is_null()) controller.enqueue(kube::key_of(pod));
  };
  pods.on_change([&controller](const Json&, const Json& after) {
    if (!after.is_null() && after["spec"]["nodeName"].is_null()) controller.enqueue(kube::key_of(after));
  });
  manager.informer(kube::resources::nodes).on_change([enqueue_waiting](const Json& before, const Json& after) {
    const auto ready = [](const Json& node) { return find_condition(node["status"]["conditions"], "Ready")["status"].as_string() == "True"; };
    if (ready(before) != ready(after) || before["spec"] != after["spec"]) enqueue_waiting();
  });
}

}  // namespace slipway::cluster
