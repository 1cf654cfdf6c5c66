// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/pod_worker.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "cluster/node/pull.h"
#include "sandbox/mounts.h"

namespace slipway::cluster {
namespace {

using sandbox::Phase;

constexpr std::chrono::milliseconds setup_pause{1'000};
constexpr std::chrono::seconds eager_probe_period{1};

const char* kind_name(ProbeKind kind) {
  return kind == ProbeKind::startup ? "startupProbe" : kind == ProbeKind::readiness ? "readinessProbe" : "livenessProbe";
}

std::string container_id(const std::string& uid, const std::string& name, std::int64_t attempt) {
  return fmt::format("{}-{}-{}", uid, name, attempt);
}

}  // namespace

PodWorker::PodWorker(NodeContext& node, Json pod)
    : node_(node), pod_(std::move(pod)), uid_(pod_["metadata"]["uid"].str()), folders_(node.config, uid_),
      cgroup_(node.config.cgroup_root + "/pod" + uid_), host_network_(pod_["spec"]["hostNetwork"].as_bool()) {}

PodWorker::~PodWorker() {
  for (auto& stopper : stoppers_) stopper->request_stop();
  stoppers_.clear();
  for (auto& [reference, image] : images_)
    if (image.task) image.task->request_stop();
  for (auto& [reference, image] : images_) image.task.reset();  // joined while all that a pull touches still stands
}

sandbox::MonitorState PodWorker::state() const {
  if (auto live = node_.hub->state(uid_)) return *live;
  return sandbox::read_monitor_state(folders_.monitor()).value_or(MonitorState{});
}

Json PodWorker::container_json(std::string_view name) const {
  const std::lock_guard lock(pod_mutex_);
  for (const char* list : {"containers", "initContainers"})
    for (const Json& container : pod_["spec"][list].items())
      if (container["name"].as_string() == name) return container;
  return {};
}

bool PodWorker::any_running() const {
  return std::ranges::any_of(state().containers, [](const ContainerRecord& r) { return r.phase != Phase::exited; });
}

std::chrono::seconds PodWorker::grace() const {
  const Json& asked = pod_["metadata"]["deletionGracePeriodSeconds"];
  return std::chrono::seconds(asked.is_int() ? asked.as_int() : pod_["spec"]["terminationGracePeriodSeconds"].as_int(30));
}

PodPlan PodWorker::make_plan() const {
  return plan_pod({pod_, state(), health(), counted_from_, node_.executor.clock().now(), stopping_});
}

Result<PodWorker::Outcome> PodWorker::reconcile(const Json& pod) {
  const bool gone = pod.is_null();
  if (!gone) {
    const std::lock_guard lock(pod_mutex_);
    pod_ = pod;
  }
  stopping_ = gone || pod_["metadata"]["deletionTimestamp"].is_string();
  if (stopping_ && !any_running()) {
    if (!gone) (void)write_status(make_plan());
    TRY(remove_everything());
    if (gone) return Outcome{Left::nothing, {}};
    const auto removed = node_.client.remove(kube::resources::pods, kube::key_of(pod_), {.uid = uid_, .grace_seconds = 0});
    if (!removed && removed.error().code != ErrorCode::not_found && removed.error().code != ErrorCode::conflict) return std::unexpected(removed.error());
    return Outcome{Left::nothing, {}};
  }
  if (!finished_ && !stopping_) {
    if (auto ready = set_up(); !ready) {
      for (const Json& container : pod_["spec"]["containers"].items())
        waiting_[container["name"].str()] = {refused_ ? "CreateContainerConfigError" : "ContainerCreating", ready.error().to_string()};
      TRY(write_status(make_plan()));
      return Outcome{Left::something, refused_ ? kube::Next::done() : kube::Next::after(setup_pause)};
    }
  } else if (stopping_) {
    TRY(ensure_monitor());
  }
  note_long_runs();
  const PodPlan plan = make_plan();
  carry_out(plan);
  start_probes();
  if (!gone) TRY(write_status(make_plan()));
  if (plan.phase == PodPhase::succeeded || plan.phase == PodPhase::failed) release_finished();
  kube::Next next;
  const auto sooner = [&](std::chrono::nanoseconds delay) { next.delay = next.delay ? std::min(*next.delay, delay) : delay; };
  if (plan.look_again) sooner(std::max(*plan.look_again - node_.executor.clock().now(), Wall::duration(std::chrono::milliseconds(1))));
  if (!waiting_.empty()) sooner(setup_pause);
  if (has_refreshed_volumes(pod_) && !finished_) sooner(volume_refresh_period);
  return Outcome{Left::something, next};
}

// ---- set-up: every step finds its own work done when it is done already

Result<> PodWorker::set_up() {
  if (auto fine = check_supported(pod_, node_.config.host_access); !fine) return refused_ = true, fine;
  const auto plan = make_plan();
  if (plan.phase == PodPhase::succeeded || plan.phase == PodPhase::failed) return {};
  if (!set_up_) {
    TRY(make_folders(folders_.root, 0700));
    TRY(write_file_atomically(folders_.record(), text::to_json(pod_)));
    if (!host_network_) address_ = TRY(node_.network.reserve(uid_));
    TRY(sandbox::apply(sandbox::plan_cgroup(node_.cgroups, cgroup_, pod_resources(pod_))));
    namespaces_ = TRY(sandbox::make_namespaces(
        folders_.namespaces(), pod_["spec"]["hostname"].str(pod_["metadata"]["name"].as_string()).substr(0, 63),
        host_network_ ? sandbox::PodNetwork::host : sandbox::PodNetwork::own,
        [&]() -> Result<> { return host_network_ ? Result<>() : node_.network.attach(uid_, *address_); }));
    TRY(make_pod_files());
  }
  TRY(ensure_monitor());
  const Steady now = node_.executor.clock().steady();
  if (!volumes_fresh_until_ || now >= *volumes_fresh_until_) {
    const PodFacts known = facts();
    volume_folders_ = TRY(ensure_volumes({known, *node_.references, node_.images, folders_.volumes(), node_.config.host_access}));
    volumes_fresh_until_ = now + volume_refresh_period;
  }
  set_up_ = true;
  return {};
}

Result<> PodWorker::make_pod_files() {
  TRY(make_folders(folders_.files()));
  const std::string hostname = pod_["spec"]["hostname"].str(pod_["metadata"]["name"].as_string());
  std::string hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  if (address_) hosts += fmt::format("{}\t{}\n", address_->to_string(), hostname);
  for (const Json& alias : pod_["spec"]["hostAliases"].items()) {
    hosts += alias["ip"].str();
    for (const Json& name : alias["hostnames"].items()) hosts += "\t" + name.str();
    hosts += "\n";
  }
  const std::string_view policy = pod_["spec"]["dnsPolicy"].as_string("ClusterFirst");
  sandbox::PodDns dns;
  const bool cluster = policy == "ClusterFirstWithHostNet" || (policy == "ClusterFirst" && !host_network_);
  if (cluster) dns = node_.network.cluster_dns(pod_["metadata"]["namespace"].str());
  else if (policy != "None") dns.nameservers = node_.config.host_nameservers;
  for (const Json& server : pod_["spec"]["dnsConfig"]["nameservers"].items()) dns.nameservers.push_back(server.str());
  for (const Json& search : pod_["spec"]["dnsConfig"]["searches"].items()) dns.searches.push_back(search.str());
  for (const Json& option : pod_["spec"]["dnsConfig"]["options"].items())
    dns.options.push_back(option["name"].str() + (option.contains("value") ? ":" + option["value"].str() : ""));
  std::string resolv;
  if (!dns.searches.empty()) resolv += "search " + join(dns.searches, " ") + "\n";
  for (const std::string& server : dns.nameservers) resolv += "nameserver " + server + "\n";
  if (!dns.options.empty()) resolv += "options " + join(dns.options, " ") + "\n";
  TRY(write_file_atomically(folders_.files() + "/hosts", hosts, 0644));
  TRY(write_file_atomically(folders_.files() + "/resolv.conf", resolv, 0644));
  TRY(write_file_atomically(folders_.files() + "/hostname", hostname + "\n", 0644));
  return sandbox::mount_tmpfs(folders_.files() + "/shm", 64 * 1024 * 1024, 01777);
}

// A monitor that is gone is started anew: the new one ends what the old one left and records it as lost.
Result<> PodWorker::ensure_monitor() {
  if (node_.hub->alive(uid_)) return {};
  if (!node_.hub->adopt(uid_, folders_.monitor())) {
    TRY(sandbox::spawn_monitor(node_.config.monitor_program, {folders_.monitor(), node_.runtime, node_.config.logs}));
    TRY(node_.hub->adopt(uid_, folders_.monitor()));
  }
  return {};
}

// ---- images: pulled beside the worker, so that a slow registry holds up nobody else

bool PodWorker::image_ready(const std::string& container_name) {
  const Json container = container_json(container_name);
  const std::string reference = container["image"].str();
  const std::lock_guard lock(mutex_);
  ImageState& image = images_[reference];
  const Steady now = node_.executor.clock().steady();
  if (image.result && *image.result) return waiting_.erase(container_name), true;
  if (image.result && (!image.retry_at || now < *image.retry_at)) {
    const bool fresh = !image.retry_at;
    if (fresh) image.retry_at = now + pull_pause(++image.failures);
    auto problem = pull_problem(reference, pull_policy(container), image.result->error(), fresh ? Attempt::just_failed : Attempt::waits);
    waiting_[container_name] = {std::move(problem.reason), std::move(problem.message)};
    return false;
  }
  if (image.task && !image.result) return false;
  image.result.reset();
  image.retry_at.reset();
  image.task = node_.executor.spawn("pull", [this, container](std::stop_token stop) { pull(container, stop); });
  return false;
}

void PodWorker::pull(const Json& container, std::stop_token stop) {
  Json pod;
  {
    const std::lock_guard lock(pod_mutex_);
    pod = pod_;
  }
  const std::string reference = container["image"].str();
  // The node's own images need no secret: most pods start without a look at any.
  ImageRequest request{.reference = reference, .policy = pull_policy(container)};
  request.docker_configs = [this, pod] { return pull_secrets(node_.client, pod["metadata"]["namespace"].str(), pod["spec"]["imagePullSecrets"], pod["spec"]["serviceAccountName"].str("default")); };
  request.on_pull = [&] { tell(container, false, "Pulling", pulling_message(reference)); };
  auto result = node_.images.ensure(request, stop);
  {
    const std::lock_guard lock(mutex_);
    images_[reference].result = result;
  }
  node_.wake(uid_);
  if (!stop.stop_requested()) tell_of_pull(container, result);
}

void PodWorker::tell(const Json& container, bool warning, std::string_view reason, std::string message) {
  if (!node_.events) return;
  Json about;
  {
    const std::lock_guard lock(pod_mutex_);
    about = pod_;
  }
  about = about.with("apiVersion", "v1").with("kind", "Pod");
  const bool initial = std::ranges::any_of(about["spec"]["initContainers"].items(), [&](const Json& one) { return one["name"] == container["name"]; });
  const std::string path = fmt::format("spec.{}{{{}}}", initial ? "initContainers" : "containers", container["name"].as_string());
  if (warning) node_.events->warning(about, reason, std::move(message), path);
  else node_.events->normal(about, reason, std::move(message), path);
}

void PodWorker::tell_of_pull(const Json& container, const Result<ImageRootfs>& result) {
  const std::string image = container["image"].str();
  if (result) return tell(container, false, "Pulled", pulled_message(image, *result));
  const auto problem = pull_problem(image, pull_policy(container), result.error(), Attempt::just_failed);
  if (problem.reason == "InvalidImageName") return tell(container, true, "InspectFailed", problem.message);
  if (problem.reason == "ErrImageNeverPull") return tell(container, true, "ErrImageNeverPull", problem.message);
  tell(container, true, "Failed", failed_message(image, result.error()));
  tell(container, true, "Failed", "Error: ErrImagePull");
}

// ---- starting and stopping

void PodWorker::carry_out(const PodPlan& plan) {
  for (const StartStep& step : plan.start) {
    if (!image_ready(step.name)) continue;
    auto started = start_container(step);
    if (started) {
      waiting_.erase(step.name);
      continue;
    }
    waiting_[step.name] = {"CreateContainerConfigError", started.error().to_string()};
  }
  if (!plan.stop.empty()) begin_stop(plan.stop, grace());
  if (!stopping_) return;
  std::vector<std::string> all;
  for (const ContainerRecord& record : state().containers) all.push_back(record.name);
  begin_stop(std::move(all), grace());
}

Result<> PodWorker::start_container(const StartStep& step) {
  const Json container = container_json(step.name);
  ImageRootfs image;
  {
    const std::lock_guard lock(mutex_);
    image = **images_[container["image"].str()].result;
  }
  const PodFacts known = facts();
  std::map<std::string, std::string> extra;
  if (!node_.config.api_host.empty()) extra = {{"KUBERNETES_SERVICE_HOST", node_.config.api_host}, {"KUBERNETES_SERVICE_PORT", node_.config.api_port}};
  const std::string bundle = folders_.bundle(step.name, step.attempt);
  const std::string cgroup = fmt::format("{}/{}-{}", cgroup_, step.name, step.attempt);
  if (step.attempt > 0) (void)sandbox::unmount_below(folders_.bundle(step.name, step.attempt - 1));
  if (step.attempt > 1) (void)remove_tree(folders_.bundle(step.name, step.attempt - 2));
  TRY(prepare_bundle({known, container, image, volume_folders_, extra, *node_.references, bundle, folders_.files(), namespaces_, cgroup,
                      node_.config.host_access}));
  const std::string log = folders_.log(step.name, step.attempt);
  TRY(make_folders(parent_path(log)));
  return node_.hub->send(uid_, {.start = sandbox::StartContainer{container_id(uid_, step.name, step.attempt), step.name, step.attempt, bundle, log, cgroup}});
}

void PodWorker::begin_stop(std::vector<std::string> names, std::chrono::seconds grace) {
  std::vector<ContainerRecord> records;
  for (const ContainerRecord& record : state().containers)
    if (record.phase != Phase::exited && std::ranges::find(names, record.name) != names.end() && stops_begun_.insert(record.id).second)
      records.push_back(record);
  if (records.empty()) return;
  stoppers_.push_back(node_.executor.spawn("stop", [this, records, grace](std::stop_token stop) { stop_containers(records, grace, stop); }));
}

// New connections must have left before the process is told to end.
void PodWorker::await_traffic_end(std::stop_token stop) {
  const Steady limit = node_.executor.clock().steady() + node_.config.endpoint_leave_limit;
  while (stopping_ && address_ && node_.network.receives_traffic(*address_) && node_.executor.clock().steady() < limit)
    if (!node_.executor.sleep(std::chrono::milliseconds(10), stop)) return;
}

void PodWorker::stop_containers(std::vector<ContainerRecord> records, std::chrono::seconds grace, std::stop_token stop) {
  const Steady deadline = node_.executor.clock().steady() + grace;
  if (grace.count() > 0) await_traffic_end(stop);
  for (const ContainerRecord& record : records) {
    const Json container = container_json(record.name);
    const Json hook = container["lifecycle"]["preStop"];
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - node_.executor.clock().steady());
    if (!hook.is_null() && left.count() > 0) {
      if (hook.contains("sleep")) {
        node_.executor.sleep(std::min<std::chrono::milliseconds>(std::chrono::seconds(hook["sleep"]["seconds"].as_int()), left), stop);
      } else if (auto done = run_action(hook, left, {address_.value_or(sandbox::Ipv4{}), record.id, container}, node_.runtime); !done) {
        log::warn("a preStop hook failed", {{"pod", uid_}, {"container", record.name}, {"error", done.error().to_string()}});
      }
    }
    std::string signal = container["lifecycle"]["stopSignal"].str();
    if (signal.empty()) {
      const std::lock_guard lock(mutex_);
      const auto image = images_.find(container["image"].str());
      if (image != images_.end() && image->second.result && *image->second.result) signal = (*image->second.result)->config.stop_signal;
    }
    (void)node_.hub->send(uid_, {.signal = sandbox::SignalContainer{record.id, grace.count() > 0 ? signal_number(signal) : SIGKILL}});
  }
  const auto alive = [&] {
    MonitorState now = state();
    return std::ranges::any_of(records, [&](const ContainerRecord& r) { return now.find(r.id) && now.find(r.id)->phase != Phase::exited; });
  };
  while (alive() && node_.executor.clock().steady() < deadline)
    if (!node_.executor.sleep(std::chrono::milliseconds(20), stop)) return;
  if (!alive()) return;
  for (const ContainerRecord& record : records) (void)node_.hub->send(uid_, {.signal = sandbox::SignalContainer{record.id, SIGKILL}});
}

// A run of ten minutes clears the count of failures before it.
void PodWorker::note_long_runs() {
  for (const ContainerRecord& record : state().containers)
    if (record.phase == Phase::exited && record.finished - record.started >= back_off_reset) counted_from_[record.name] = record.attempt;
}

// ---- probes

void PodWorker::start_probes() {
  const MonitorState now = state();
  const std::lock_guard lock(mutex_);
  for (const char* list : {"containers", "initContainers"})
    for (const Json& container : pod_["spec"][list].items()) {
      const std::string name = container["name"].str();
      const ContainerRecord* record = now.newest(name);
      if (!record || record->phase != Phase::running || stops_begun_.contains(record->id)) continue;
      for (const ProbeKind kind : {ProbeKind::startup, ProbeKind::readiness, ProbeKind::liveness}) {
        const std::string key = name + "/" + kind_name(kind);
        const Json& probe = container[kind_name(kind)];
        const auto found = probes_.find(key);
        if (probe.is_null() || (found != probes_.end() && found->second.record_id == record->id)) continue;
        auto spec = parse_probe(kind, probe);
        if (!spec) {
          waiting_[name] = {"CreateContainerConfigError", spec.error().to_string()};
          continue;
        }
        // After a restart of the agent what was ready before stays so until a probe says otherwise.
        bool passing = kind == ProbeKind::liveness;
        for (const char* statuses : {"containerStatuses", "initContainerStatuses"})
          for (const Json& old : pod_["status"][statuses].items())
            if (old["name"].as_string() == name && old["containerID"].as_string() == "slipway://" + record->id)
              passing |= kind == ProbeKind::startup ? old["started"].as_bool() : old["ready"].as_bool();
        probes_.insert_or_assign(key, ProbeRun{*std::move(spec), ProbeState(passing), record->id, false});
        node_.start_probe(uid_, key);
      }
    }
}

kube::Next PodWorker::run_probe_once(const std::string& key) {
  const std::string name = key.substr(0, key.find('/'));
  std::optional<ProbeRun> run;
  {
    const std::lock_guard lock(mutex_);
    const auto found = probes_.find(key);
    if (found == probes_.end()) return kube::Next::done();
    if (!found->second.delayed) {
      found->second.delayed = true;
      if (found->second.spec.initial_delay.count() > 0) return kube::Next::after(found->second.spec.initial_delay);
    }
    run.emplace(found->second);
    const auto startup = probes_.find(name + "/" + kind_name(ProbeKind::startup));
    const bool waits = startup != probes_.end() && startup->second.record_id == run->record_id && !startup->second.state.passing();
    if (run->spec.kind != ProbeKind::startup && waits) return kube::Next::after(std::min<std::chrono::nanoseconds>(run->spec.period, std::chrono::milliseconds(200)));
  }
  const MonitorState now = state();
  const ContainerRecord* record = now.newest(name);
  if (!record || record->id != run->record_id || record->phase != Phase::running) return kube::Next::done();
  const Json container = container_json(name);
  const sandbox::Ipv4 address = address_ ? *address_ : sandbox::Ipv4::parse(node_.config.host_ip).value_or(sandbox::Ipv4{});
  const auto answer = run_probe(run->spec, {address, run->record_id, container}, node_.runtime);
  bool changed = false, over = false, settled = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = probes_.find(key);
    if (found == probes_.end() || found->second.record_id != run->record_id) return kube::Next::done();
    changed = found->second.state.record(run->spec, answer.has_value());
    settled = found->second.state.passing();
    over = run->spec.kind == ProbeKind::startup && settled;
  }
  if (changed) node_.wake(uid_);
  if (over) return kube::Next::done();
  // Until it is ready a container is asked more often than its period may say: a rollout waits for it.
  const std::chrono::nanoseconds period = run->spec.period;
  const bool eager = run->spec.kind == ProbeKind::readiness && !settled;
  return kube::Next::after(eager ? std::min<std::chrono::nanoseconds>(period, eager_probe_period) : period);
}

std::map<std::string, ContainerHealth> PodWorker::health() const {
  std::map<std::string, ContainerHealth> result;
  const MonitorState now = state();
  const std::lock_guard lock(mutex_);
  for (const char* list : {"containers", "initContainers"})
    for (const Json& container : pod_["spec"][list].items()) {
      const std::string name = container["name"].str();
      const ContainerRecord* record = now.newest(name);
      ContainerHealth& one = result[name];
      for (const ProbeKind kind : {ProbeKind::startup, ProbeKind::readiness, ProbeKind::liveness}) {
        if (container[kind_name(kind)].is_null()) continue;
        const auto probe = probes_.find(name + "/" + kind_name(kind));
        const bool known = probe != probes_.end() && record && probe->second.record_id == record->id;
        if (kind == ProbeKind::startup) one.started = known && probe->second.state.passing();
        if (kind == ProbeKind::readiness) one.ready = known && probe->second.state.passing();
        if (kind != ProbeKind::readiness) one.unhealthy |= known && probe->second.state.failed();
      }
    }
  return result;
}

}  // namespace slipway::cluster
