// SPDX-License-Identifier: Apache-2.0
// One pod on this node. The agent never works on one pod from two threads at once; what other threads ask for (health,
// logs) is behind the mutex.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "cluster/node/agent.h"
#include "cluster/node/container_setup.h"
#include "cluster/node/pod_plan.h"
#include "cluster/node/pod_status.h"
#include "cluster/node/probes.h"
#include "kube/control.h"
#include "kube/events.h"
#include "sandbox/cgroup.h"
#include "sandbox/monitor_hub.h"

namespace slipway::cluster {

// What all pods share.
struct NodeContext {
  NodeConfig config;
  kube::Client& client;
  Executor& executor;
  ImageProvider& images;
  sandbox::PodNetworkDriver& network;
  sandbox::CgroupTree cgroups;
  sandbox::Runtime runtime;
  std::unique_ptr<References> references;
  sandbox::MonitorHub* hub = nullptr;
  kube::EventRecorder* events = nullptr;
  std::function<void(const std::string& uid)> wake;                        // reconcile this pod soon
  std::function<void(const std::string& uid, const std::string& probe)> start_probe;
};

struct PodFolders {
  explicit PodFolders(const NodeConfig& config, const std::string& uid) : root(config.data + "/pods/" + uid) {}
  std::string root;
  std::string monitor() const { return root + "/monitor"; }
  std::string namespaces() const { return root + "/ns"; }
  std::string volumes() const { return root + "/volumes"; }
  std::string files() const { return root + "/files"; }
  std::string record() const { return root + "/pod.json"; }
  std::string bundle(const std::string& container, std::int64_t attempt) const { return root + "/containers/" + container + "/" + std::to_string(attempt); }
  std::string log(const std::string& container, std::int64_t attempt) const { return root + "/logs/" + container + "/" + std::to_string(attempt) + ".log"; }
};

class PodWorker final {
 public:
  PodWorker(NodeContext& node, Json pod);
  ~PodWorker();

  enum class Left { something, nothing };
  // One pass over the steps. Left::nothing: the pod is gone from this machine and from the API.
  struct Outcome {
    Left left = Left::something;
    kube::Next next;
  };
  Result<Outcome> reconcile(const Json& pod);  // null: the API does not have it any more

  // Runs the probe "container/kind" once; when to run it again, or done.
  kube::Next run_probe_once(const std::string& probe);
  sandbox::MonitorState state() const;

 private:
  struct ProbeRun {
    ProbeSpec spec;
    ProbeState state;
    std::string record_id;
    bool delayed = false;
  };
  struct ImageState {
    std::optional<Result<ImageRootfs>> result;
    std::unique_ptr<Task> task;
    std::optional<Steady> retry_at;
    int failures = 0;
  };

  Result<> set_up();
  Result<> make_pod_files();
  Result<> ensure_monitor();
  bool image_ready(const std::string& container);
  void pull(const Json& container, std::stop_token stop);
  void tell(const Json& container, bool warning, std::string_view reason, std::string message);
  void tell_of_pull(const Json& container, const Result<ImageRootfs>& result);
  void carry_out(const PodPlan& plan);
  Result<> start_container(const StartStep& step);
  void begin_stop(std::vector<std::string> names, std::chrono::seconds grace);
  void stop_containers(std::vector<ContainerRecord> records, std::chrono::seconds grace, std::stop_token stop);
  void await_traffic_end(std::stop_token stop);
  void start_probes();
  std::map<std::string, ContainerHealth> health() const;
  void note_long_runs();
  Result<> write_status(const PodPlan& plan);
  std::map<std::string, std::string> termination_messages();
  void release_finished();
  Result<> remove_everything();
  Json container_json(std::string_view name) const;
  std::string uid() const { return uid_; }
  bool any_running() const;
  std::chrono::seconds grace() const;
  PodFacts facts() const { return {pod_, address_ ? address_->to_string() : host_network_ ? node_.config.host_ip : "", node_.config.host_ip}; }
  PodPlan make_plan() const;

  NodeContext& node_;
  Json pod_;
  const std::string uid_;
  const PodFolders folders_;
  const std::string cgroup_;
  const bool host_network_;
  bool set_up_ = false, refused_ = false, finished_ = false;
  std::atomic<bool> stopping_ = false;
  std::optional<sandbox::Ipv4> address_;
  sandbox::NamespaceFiles namespaces_;
  std::map<std::string, std::string> volume_folders_;
  std::optional<Steady> volumes_fresh_until_;
  std::map<std::string, Waiting> waiting_;
  std::map<std::string, ImageState> images_;      // by reference
  std::map<std::string, std::int64_t> counted_from_;
  std::map<std::string, std::string> messages_;   // by record id
  std::set<std::string> stops_begun_;             // record ids
  Json last_status_;

  mutable std::mutex pod_mutex_;  // pod_: written by the worker, read by stoppers and probes
  mutable std::mutex mutex_;  // images_' results, probes_
  std::map<std::string, ProbeRun> probes_;        // "container/kind"
  std::vector<std::unique_ptr<Task>> stoppers_;
};

}  // namespace slipway::cluster
