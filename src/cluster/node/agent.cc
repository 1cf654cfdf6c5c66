// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/agent.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"
#include "cluster/node/pod_worker.h"
#include "cluster/node/registration.h"
#include "sandbox/mounts.h"

namespace slipway::cluster {
namespace {

using kube::ObjectKey;

constexpr std::chrono::milliseconds sync_pause{5};
constexpr std::chrono::seconds register_pause{2};
constexpr const char* build_address_prefix = "build-";  // addresses of image builds, which release them themselves

class Agent final : public NodeAgent {
 public:
  Agent(NodeConfig config, kube::Client& client, Executor& executor, ImageProvider& images, sandbox::PodNetworkDriver& network, Metrics* metrics,
        sandbox::CgroupTree cgroups, sandbox::Runtime runtime)
      : node_{.config = std::move(config), .client = client, .executor = executor, .images = images, .network = network,
              .cgroups = std::move(cgroups), .runtime = std::move(runtime)},
        pods_(client, executor, kube::resources::pods, {.field_selector = "spec.nodeName=" + node_.config.name}),
        hub_([this](const std::string& uid) { wake(uid); }), events_(client, executor.clock(), "kubelet") {
    reconciler_ = std::make_unique<kube::Controller>(
        executor, "pods", [this](const ObjectKey& key, std::stop_token stop) { return reconcile(key, stop); }, pod_workers, metrics);
    prober_ = std::make_unique<kube::Controller>(
        executor, "probes", [this](const ObjectKey& key, std::stop_token) { return probe(key); }, probe_workers, metrics);
    node_.references = api_references(client, node_.config.cluster_ca_pem);
    node_.hub = &hub_;
    node_.events = &events_;
    node_.wake = [this](const std::string& uid) { wake(uid); };
    node_.start_probe = [this](const std::string& uid, const std::string& name) {
      const std::lock_guard lock(wake_mutex_);
      if (prober_) prober_->enqueue({uid, name});
    };
  }

  ~Agent() override {
    if (registrar_) registrar_->request_stop();
    if (starter_) starter_->request_stop();
    pods_.stop();
    starter_.reset();
    registrar_.reset();
    // Whoever still runs may want to wake a pod: first they find nobody to wake, then each is waited for.
    std::unique_ptr<kube::Controller> reconciler, prober;
    {
      const std::lock_guard lock(wake_mutex_);
      reconciler = std::move(reconciler_);
      prober = std::move(prober_);
    }
    reconciler->request_stop();
    prober->request_stop();
    reconciler.reset();
    prober.reset();
    workers_.clear();
  }

  void start() {
    registrar_ = node_.executor.spawn("node-status", [this](std::stop_token stop) { keep_registered(stop); });
    pods_.on_change([this](const Json& before, const Json& after) { note(before, after); });
    pods_.start();
    starter_ = node_.executor.spawn("node-start", [this](std::stop_token stop) { begin(stop); });
  }

  Result<> read_logs(const ObjectKey& key, const std::string& container, const PodLogOptions& options, const sandbox::LogSink& sink, std::stop_token stop) override {
    const Json pod = pods_.get(key);
    if (pod.is_null()) return fail(ErrorCode::not_found, fmt::format("pod {} is not on this node", key.to_string()));
    const auto worker = find(pod["metadata"]["uid"].str());
    const Json& containers = pod["spec"]["containers"];
    if (container.empty() && containers.size() > 1) return fail(ErrorCode::invalid, "a container name must be specified for pod " + key.name);
    const std::string name = container.empty() ? containers[std::size_t{0}]["name"].str() : container;
    const auto waiting = [&] { return fail(ErrorCode::invalid, fmt::format("container \"{}\" in pod \"{}\" is waiting to start: ContainerCreating", name, key.name)); };
    if (!worker) return waiting();
    const auto state = worker->state();
    const ContainerRecord* record = options.previous ? state.before_newest(name) : state.newest(name);
    if (!record && options.previous) return fail(ErrorCode::invalid, fmt::format("previous terminated container \"{}\" in pod \"{}\" not found", name, key.name));
    if (!record) return waiting();
    const PodFolders folders(node_.config, pod["metadata"]["uid"].str());
    const auto ended = [worker, id = record->id] {
      auto now = worker->state();
      const ContainerRecord* current = now.find(id);
      return !current || current->phase == sandbox::Phase::exited;
    };
    return sandbox::read_log(folders.log(name, record->attempt), options.read, sink, stop, ended);
  }

 private:
  void wake(const std::string& uid) {
    const std::lock_guard lock(wake_mutex_);
    if (reconciler_) reconciler_->enqueue({"", uid});
  }

  // The pods' keys are uids: a new pod of an old name is another pod.
  void note(const Json& before, const Json& after) {
    const Json& pod = after.is_null() ? before : after;
    const std::string uid = pod["metadata"]["uid"].str();
    {
      const std::lock_guard lock(mutex_);
      if (after.is_null()) known_.erase(uid);
      else known_[uid] = kube::key_of(after);
      if (!after.is_null() && !before.is_null() && before["metadata"]["uid"] != after["metadata"]["uid"]) {
        known_.erase(before["metadata"]["uid"].str());
        wake(before["metadata"]["uid"].str());
      }
    }
    wake(uid);
  }

  // Once the API's pods are known: what stands on disk and is not among them is ended like a deleted pod.
  void begin(std::stop_token stop) {
    while (!pods_.synced())
      if (!node_.executor.sleep(sync_pause, stop)) return;
    const std::string folder = node_.config.data + "/pods";
    for (const std::string& uid : list_folder(folder).value_or(std::vector<std::string>())) {
      const auto record = text::parse_json(read_file(folder + "/" + uid + "/pod.json").value_or("null"));
      if (record && record->is_object()) make(uid, *record);
      else (void)remove_tree(folder + "/" + uid);
      wake(uid);
    }
    for (const std::string& uid : node_.network.reserved())
      if (!is_folder(folder + "/" + uid) && !uid.starts_with(build_address_prefix)) (void)node_.network.release(uid);
    const std::lock_guard lock(wake_mutex_);
    reconciler_->start();
    prober_->start();
  }

  std::shared_ptr<PodWorker> find(const std::string& uid) {
    const std::lock_guard lock(mutex_);
    const auto found = workers_.find(uid);
    return found == workers_.end() ? nullptr : found->second;
  }

  std::shared_ptr<PodWorker> make(const std::string& uid, const Json& pod) {
    const std::lock_guard lock(mutex_);
    auto& worker = workers_[uid];
    if (!worker) worker = std::make_shared<PodWorker>(node_, pod);
    return worker;
  }

  Json pod_of(const std::string& uid) {
    ObjectKey key;
    {
      const std::lock_guard lock(mutex_);
      const auto found = known_.find(uid);
      if (found == known_.end()) return {};
      key = found->second;
    }
    Json pod = pods_.get(key);
    return pod["metadata"]["uid"].as_string() == uid ? pod : Json();
  }

  Result<kube::Next> reconcile(const ObjectKey& key, std::stop_token) {
    const Json pod = pod_of(key.name);
    auto worker = find(key.name);
    if (!worker && pod.is_null()) return kube::Next::done();
    if (!worker && is_over(pod)) return let_go(pod);
    if (!worker) worker = make(key.name, pod);
    const auto outcome = TRY(at(worker->reconcile(pod), "pod " + key.name));
    if (outcome.left == PodWorker::Left::something) return outcome.next;
    const std::lock_guard lock(mutex_);
    workers_.erase(key.name);
    return kube::Next::done();
  }

  static bool is_over(const Json& pod) {
    const std::string_view phase = pod["status"]["phase"].as_string();
    return phase == "Succeeded" || phase == "Failed";
  }

  // A pod that has ended and of which nothing stands here any more (the node's folder is new) is never run again.
  Result<kube::Next> let_go(const Json& pod) {
    if (pod["metadata"]["deletionTimestamp"].is_null()) return kube::Next::done();
    const auto removed = node_.client.remove(kube::resources::pods, kube::key_of(pod), {.uid = pod["metadata"]["uid"].str(), .grace_seconds = 0});
    if (!removed && removed.error().code != ErrorCode::not_found && removed.error().code != ErrorCode::conflict) return std::unexpected(removed.error());
    return kube::Next::done();
  }

  Result<kube::Next> probe(const ObjectKey& key) {
    const auto worker = find(key.ns);
    return worker ? worker->run_probe_once(key.name) : kube::Next::done();
  }

  void keep_registered(std::stop_token stop) {
    const Machine machine = read_machine(node_.config.data);
    Steady next_status{};
    while (!stop.stop_requested()) {
      const Steady now = node_.executor.clock().steady();
      Result<> done;
      if (now >= next_status) done = write_node(machine);
      if (done && now >= next_status) next_status = now + node_status_period;
      if (done) done = renew_lease();
      if (!done) log::warn("cannot report the node", {{"node", node_.config.name}, {"error", done.error().to_string()}});
      node_.executor.sleep(done ? std::chrono::nanoseconds(lease_period) : std::chrono::nanoseconds(register_pause), stop);
    }
  }

  Result<> write_node(const Machine& machine) {
    const ObjectKey key{"", node_.config.name};
    auto old = node_.client.get(kube::resources::nodes, key);
    if (!old && old.error().code != ErrorCode::not_found) return std::unexpected(old.error());
    if (!old) old = TRY(node_.client.create(kube::resources::nodes, make_node(node_.config)));
    const Json status = make_node_status(node_.config, machine, *old, node_.executor.clock().now());
    TRY(node_.client.patch(kube::resources::nodes, key, kube::PatchType::merge, Json::object({{"status", status}}), {}, "status"));
    return {};
  }

  Result<> renew_lease() {
    const Json lease = make_lease(node_.config, node_.executor.clock().now());
    const auto written = node_.client.patch(kube::resources::leases, {"kube-node-lease", node_.config.name}, kube::PatchType::merge,
                                            Json::object({{"spec", lease["spec"]}}));
    if (written) return {};
    if (written.error().code != ErrorCode::not_found) return std::unexpected(written.error());
    TRY(node_.client.create(kube::resources::leases, lease));
    return {};
  }

  NodeContext node_;
  kube::Informer pods_;
  std::mutex wake_mutex_;
  std::unique_ptr<kube::Controller> reconciler_, prober_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<PodWorker>> workers_;  // by uid
  std::map<std::string, ObjectKey> known_;                     // uid -> key, of what the API has
  sandbox::MonitorHub hub_;
  kube::EventRecorder events_;
  std::unique_ptr<Task> registrar_, starter_;
};

}  // namespace

Result<std::unique_ptr<NodeAgent>> NodeAgent::start(NodeConfig config, kube::Client& client, Executor& executor, ImageProvider& images,
                                                    sandbox::PodNetworkDriver& network, Metrics* metrics) {
  if (config.name.empty() || config.data.empty()) return fail(ErrorCode::invalid, "the node agent needs a name and a data folder");
  TRY(make_folders(config.data + "/pods", 0700));
  TRY(make_folders(config.data + "/runtime", 0700));
  sandbox::CgroupTree cgroups = TRY(sandbox::read_cgroup_tree());
  sandbox::Runtime runtime = TRY(sandbox::find_runtime(cgroups, config.data + "/runtime"));
  auto agent = std::make_unique<Agent>(std::move(config), client, executor, images, network, metrics, std::move(cgroups), std::move(runtime));
  agent->start();
  return agent;
}

Result<> purge_pods(const NodeConfig& config, sandbox::PodNetworkDriver* network) {
  const sandbox::CgroupTree cgroups = TRY(sandbox::read_cgroup_tree());
  const std::string folder = config.data + "/pods";
  for (const std::string& uid : list_folder(folder).value_or(std::vector<std::string>())) {
    TRY(sandbox::kill_cgroup(cgroups, config.cgroup_root + "/pod" + uid));
    sandbox::quit_monitor(folder + "/" + uid + "/monitor");  // else it writes into folders that are being removed
    TRY(sandbox::remove_namespaces(folder + "/" + uid + "/ns"));
    if (network) TRY(network->release(uid));
  }
  TRY(sandbox::unmount_below(config.data));
  (void)sandbox::remove_cgroup(cgroups, config.cgroup_root);
  TRY(remove_tree(folder));
  return remove_tree(config.data + "/runtime");
}

}  // namespace slipway::cluster
