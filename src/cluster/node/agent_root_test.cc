// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/agent.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/files.h"
#include "base/process.h"
#include "base/random.h"
#include "base/strings.h"
#include "sandbox/cgroup.h"
#include "sandbox/monitor.h"

namespace slipway::cluster {
namespace {

__attribute__((constructor)) void be_a_monitor(int count, char** words, char**) {
  if (count > 1 && std::strcmp(words[1], "monitor") == 0) std::exit(sandbox::monitor_main({words + 2, words + count}));
}

bool can_run() {
  if (::geteuid() != 0) return std::puts("SKIPPED: this test needs root"), false;
  if (!exists("/bin/busybox")) return std::puts("SKIPPED: this test needs busybox-static"), false;
  return true;
}

Json merged(const Json& base, const Json& patch) {
  if (!patch.is_object()) return patch;
  Json result = base.is_object() ? base : Json::object();
  for (const auto& member : patch.members())
    result = member.value.is_null() ? result.without(member.key()) : result.with(member.key(), merged(result[member.key()], member.value));
  return result;
}

// An API server in memory: objects by resource and key, a watch that tells every change.
class FakeApi final : public kube::Client {
 public:
  Result<Json> get(const kube::Resource& resource, const kube::ObjectKey& key, std::string_view) override {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find({resource.plural, key});
    if (found == objects_.end()) return fail(ErrorCode::not_found, resource.plural + " \"" + key.name + "\" not found");
    return found->second;
  }
  Result<kube::ObjectList> list(const kube::Resource& resource, const kube::ListOptions&) override {
    const std::lock_guard lock(mutex_);
    kube::ObjectList list{.resource_version = std::to_string(version_)};
    for (const auto& [key, object] : objects_)
      if (key.first == resource.plural) list.items.push_back(object);
    return list;
  }
  Result<Json> create(const kube::Resource& resource, const Json& object, std::string_view, std::string_view) override {
    return put(resource, object, kube::WatchKind::added);
  }
  Result<Json> update(const kube::Resource& resource, const Json& object, std::string_view) override {
    return put(resource, object, kube::WatchKind::modified);
  }
  Result<Json> patch(const kube::Resource& resource, const kube::ObjectKey& key, kube::PatchType, const Json& body, const kube::PatchOptions&,
                     std::string_view) override {
    return put(resource, merged(TRY(get(resource, key, {})), body), kube::WatchKind::modified);
  }
  Result<Json> remove(const kube::Resource& resource, const kube::ObjectKey& key, const kube::DeleteOptions& options) override {
    const Json object = TRY(get(resource, key, {}));
    if (options.grace_seconds != 0)
      return put(resource, object.with_path({"metadata", "deletionTimestamp"}, "2026-01-01T00:00:00Z").with_path({"metadata", "deletionGracePeriodSeconds"}, options.grace_seconds.value_or(30)), kube::WatchKind::modified);
    const std::lock_guard lock(mutex_);
    objects_.erase({resource.plural, key});
    tell(resource, kube::WatchKind::deleted, object.with_path({"metadata", "resourceVersion"}, std::to_string(++version_)));
    return object;
  }
  Result<> watch(const kube::Resource& resource, const kube::WatchOptions& options, std::function<bool(const kube::WatchEvent&)> on_event,
                 std::stop_token stop) override {
    const std::stop_callback wake(stop, [&] { changed_.notify_all(); });
    auto from = parse_int(options.resource_version).value_or(0);
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      std::vector<kube::WatchEvent> due;
      for (const auto& [version, plural, event] : events_)
        if (version > from && plural == resource.plural) due.push_back(event), from = version;
      lock.unlock();
      for (const auto& event : due)
        if (!on_event(event)) return {};
      lock.lock();
      if (due.empty()) changed_.wait_for(lock, std::chrono::milliseconds(50));
    }
    return {};
  }
  Result<std::string> raw(std::string_view, std::string_view, std::string_view, std::string_view) override { return fail(ErrorCode::not_found, "raw"); }
  Result<> raw_stream(std::string_view, std::function<bool(std::string_view)>, std::stop_token) override { return fail(ErrorCode::not_found, "raw"); }

 private:
  Result<Json> put(const kube::Resource& resource, const Json& object, kube::WatchKind kind) {
    const std::lock_guard lock(mutex_);
    const Json stored = object.with_path({"metadata", "resourceVersion"}, std::to_string(++version_));
    objects_[{resource.plural, kube::key_of(stored)}] = stored;
    tell(resource, kind, stored);
    return stored;
  }
  void tell(const kube::Resource& resource, kube::WatchKind kind, const Json& object) {
    events_.emplace_back(version_, resource.plural, kube::WatchEvent{kind, object});
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<std::string, kube::ObjectKey>, Json> objects_;
  std::vector<std::tuple<std::int64_t, std::string, kube::WatchEvent>> events_;
  std::int64_t version_ = 1;
};

struct FakeNetwork final : sandbox::PodNetworkDriver {
  Result<sandbox::Ipv4> reserve(const std::string& uid) override {
    const std::lock_guard lock(mutex);
    return taken.try_emplace(uid, sandbox::Ipv4{0x0AF40000u + static_cast<std::uint32_t>(taken.size()) + 2}).first->second;
  }
  Result<> release(const std::string& uid) override { const std::lock_guard lock(mutex); taken.erase(uid); return {}; }
  std::vector<std::string> reserved() const override { return {}; }
  Result<> attach(const std::string&, sandbox::Ipv4) override { return {}; }
  sandbox::PodDns cluster_dns(const std::string&) const override { return {{"10.96.0.10"}, {"svc.cluster.local"}, {"ndots:5"}}; }
  bool receives_traffic(sandbox::Ipv4) const override { return false; }
  std::mutex mutex;
  std::map<std::string, sandbox::Ipv4> taken;
};

struct FakeImages final : ImageProvider {
  Result<ImageRootfs> ensure(const ImageRequest& request, std::stop_token) override {
    if (request.reference != "busybox") return fail(ErrorCode::not_found, "no such image: " + request.reference);
    return ImageRootfs{{folder}, {.entrypoint = {"/bin/sh"}}, "sha256:0"};
  }
  std::string folder;
};

class Node {
 public:
  Node() : executor_(make_system_executor()) {
    images_.folder = data_.path() + "/image";
    REQUIRE(make_folders(images_.folder + "/bin"));
    REQUIRE(make_folders(images_.folder + "/etc"));
    REQUIRE(run_ok({.arguments = {"cp", "/bin/busybox", images_.folder + "/bin/busybox"}}));
    for (const char* name : {"sh", "sleep", "cat", "test", "touch", "ls"}) {
      ::unlink((images_.folder + "/bin/" + name).c_str());
      REQUIRE(::symlink("busybox", (images_.folder + "/bin/" + name).c_str()) == 0);
    }
    config_.name = "n1";
    config_.data = data_.path() + "/data";
    config_.host_ip = "192.0.2.1";
    config_.cgroup_root = "/slipway-test-" + SystemRandom().name_suffix(8);
    start();
  }
  ~Node() {
    stop();
    const auto purged = purge_pods(config_, &network_);
    CHECK_MESSAGE(purged, purged.error().to_string());
  }

  void start() { agent_ = NodeAgent::start(config_, api_, *executor_, images_, network_, nullptr).value(); }
  void stop() { agent_.reset(); }
  // As after `down`: nothing of the pods stays on the machine.
  void forget() {
    const auto purged = purge_pods(config_, &network_);
    REQUIRE_MESSAGE(purged, purged.error().to_string());
  }

  void create(const std::string& name, const std::string& spec) {
    const auto parsed = text::parse_json(spec);
    REQUIRE_MESSAGE(parsed, parsed.error().to_string());
    const Json meta = Json::object({{"name", name}, {"namespace", "default"}, {"uid", "uid-" + name + "-" + config_.cgroup_root.substr(14)}, {"generation", 1}});
    REQUIRE(api_.create(kube::resources::pods, Json::object({{"metadata", meta}, {"spec", parsed->with("nodeName", "n1")}}), {}, {}));
  }

  template <class Ready>
  Json await(const std::string& name, Ready ready) {
    Json pod;
    for (int i = 0; i < 3000; ++i) {
      pod = api_.get(kube::resources::pods, {"default", name}, {}).value_or(Json());
      if (ready(pod)) return pod;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    FAIL("never came: " << text::to_json(pod["status"]));
    return pod;
  }
  Json await_phase(const std::string& name, std::string_view phase) {
    return await(name, [&](const Json& pod) { return pod["status"]["phase"].as_string() == phase; });
  }
  std::string logs(const std::string& name) {
    std::string text;
    const auto read = agent_->read_logs({"default", name}, "", {}, [&](std::string_view piece) { return text += piece, true; }, {});
    CHECK_MESSAGE(read, read.error().to_string());
    return text;
  }
  FakeApi& api() { return api_; }
  std::vector<std::string> left_pods() const { return list_folder(config_.data + "/pods").value(); }
  const NodeConfig& config() const { return config_; }

 private:
  TempFolder data_;
  FakeApi api_;
  FakeNetwork network_;
  FakeImages images_;
  NodeConfig config_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<NodeAgent> agent_;
};

const Json& first_status(const Json& pod) { return pod["status"]["containerStatuses"][std::size_t{0}]; }

TEST_CASE("a pod runs to its end: init containers first, environment and volumes in place, logs to read") {
  if (!can_run()) return;
  Node node;
  REQUIRE(node.api().create(kube::resources::config_maps, text::parse_json(R"({"metadata":{"name":"c","namespace":"default"},"data":{"key":"of the map"}})").value(), {}, {}));
  node.create("job", R"({"restartPolicy":"Never",
    "initContainers":[{"name":"first","image":"busybox","args":["-c","echo made > /work/file"],"volumeMounts":[{"name":"w","mountPath":"/work"}]}],
    "containers":[{"name":"main","image":"busybox","args":["-c","cat /work/file; cat /config/key; echo; echo $(GREETING) $MAP $NAME; echo bye > /dev/termination-log; exit 3"],
      "env":[{"name":"GREETING","value":"hello"},{"name":"MAP","valueFrom":{"configMapKeyRef":{"name":"c","key":"key"}}},{"name":"NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],
      "volumeMounts":[{"name":"w","mountPath":"/work"},{"name":"c","mountPath":"/config"}]}],
    "volumes":[{"name":"w","emptyDir":{}},{"name":"c","configMap":{"name":"c"}}]})");
  const Json pod = node.await_phase("job", "Failed");
  const Json& ended = first_status(pod)["state"]["terminated"];
  CHECK(ended["exitCode"].as_int() == 3);
  CHECK(ended["reason"].as_string() == "Error");
  CHECK(ended["message"].as_string() == "bye\n");
  CHECK(node.logs("job") == "made\nof the map\nhello of the map job\n");
}

TEST_CASE("a pod that has ended is not run again by a node that has forgotten it, and can be deleted") {
  if (!can_run()) return;
  Node node;
  const char* const spec = R"({"restartPolicy":"Never","containers":[{"name":"main","image":"busybox","args":["-c","echo ran"]}]})";
  node.create("once", spec);
  const Json before = node.await_phase("once", "Succeeded");
  node.stop();
  node.forget();
  node.start();
  node.create("after", spec);
  node.await_phase("after", "Succeeded");  // the node has seen both by now
  CHECK(node.api().get(kube::resources::pods, {"default", "once"}, {})->at_path({"status"}) == before["status"]);
  CHECK(node.left_pods().size() == 1);
  REQUIRE(node.api().remove(kube::resources::pods, {"default", "once"}, {.grace_seconds = 10}));
  node.await("once", [](const Json& pod) { return pod.is_null(); });
}

TEST_CASE("a running pod survives the agent, and leaves nothing behind once deleted") {
  if (!can_run()) return;
  Node node;
  node.create("web", R"({"containers":[{"name":"main","image":"busybox","args":["-c","trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"],
    "readinessProbe":{"exec":{"command":["/bin/test","-e","/bin/sh"]},"periodSeconds":1}}]})");
  const auto is_ready = [](const Json& pod) { return first_status(pod)["ready"].as_bool(); };
  const Json before = node.await("web", is_ready);
  node.stop();
  node.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const Json after = node.await("web", is_ready);
  CHECK(first_status(after)["containerID"] == first_status(before)["containerID"]);
  CHECK(first_status(after)["restartCount"].as_int() == 0);
  CHECK(after["status"]["podIP"] == before["status"]["podIP"]);
  REQUIRE(node.api().remove(kube::resources::pods, {"default", "web"}, {.grace_seconds = 10}));
  node.await("web", [](const Json& pod) { return pod.is_null(); });
  CHECK(node.left_pods().empty());
}

TEST_CASE("a container that fails is restarted at once, then waits in CrashLoopBackOff") {
  if (!can_run()) return;
  Node node;
  node.create("crash", R"({"containers":[{"name":"main","image":"busybox","args":["-c","exit 1"]}]})");
  const Json pod = node.await("crash", [](const Json& p) { return first_status(p)["state"]["waiting"]["reason"].as_string() == "CrashLoopBackOff"; });
  CHECK(first_status(pod)["restartCount"].as_int() == 1);
  CHECK(first_status(pod)["lastState"]["terminated"]["exitCode"].as_int() == 1);
}

TEST_CASE("an image that is not there and a field that is not supported say so in the container's state") {
  if (!can_run()) return;
  Node node;
  node.create("absent", R"({"containers":[{"name":"main","image":"nothing"}]})");
  node.create("host", R"({"hostNetwork":true,"containers":[{"name":"main","image":"busybox"}]})");
  node.await("absent", [](const Json& p) { return first_status(p)["state"]["waiting"]["reason"].as_string().find("Image") != std::string_view::npos; });
  const Json pod = node.await("host", [](const Json& p) { return first_status(p)["state"]["waiting"]["reason"].as_string() == "CreateContainerConfigError"; });
  CHECK(first_status(pod)["state"]["waiting"]["message"].as_string().find("spec.hostNetwork") != std::string_view::npos);
}

TEST_CASE("a killed monitor ends its containers as MonitorLost, and the restart policy is followed") {
  if (!can_run()) return;
  Node node;
  node.create("victim", R"({"containers":[{"name":"main","image":"busybox","args":["-c","exec sleep 1000"]}]})");
  const Json pod = node.await_phase("victim", "Running");
  const auto state = sandbox::read_monitor_state(node.config().data + "/pods/" + pod["metadata"]["uid"].str() + "/monitor").value();
  const std::string status = read_file("/proc/" + std::to_string(state.containers[0].pid) + "/status").value();
  for (const auto line : split_lines(status))
    if (line.starts_with("PPid:")) ::kill(static_cast<pid_t>(parse_int(trim(line.substr(5))).value()), SIGKILL);
  const Json again = node.await("victim", [](const Json& p) { return first_status(p)["restartCount"].as_int() == 1 && first_status(p)["state"].contains("running"); });
  CHECK(first_status(again)["lastState"]["terminated"]["reason"].as_string() == "MonitorLost");
}

}  // namespace
}  // namespace slipway::cluster
