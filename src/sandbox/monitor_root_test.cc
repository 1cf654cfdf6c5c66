// SPDX-License-Identifier: Apache-2.0
#include "sandbox/monitor.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/digest.h"
#include "base/random.h"
#include "base/strings.h"
#include "sandbox/mounts.h"
#include "sandbox/namespaces.h"
#include "sandbox/oci_spec.h"

namespace slipway::sandbox {
namespace {

// The test program is its own monitor: started with "monitor" as its first word it is one.
__attribute__((constructor)) void be_a_monitor(int count, char** words, char**) {
  if (count > 1 && std::strcmp(words[1], "monitor") == 0) std::exit(monitor_main({words + 2, words + count}));
}

bool can_run() {
  if (::geteuid() != 0) return std::puts("SKIPPED: this test needs root"), false;
  if (!exists("/bin/busybox")) return std::puts("SKIPPED: this test needs busybox-static"), false;
  return true;
}

// A pod folder with a busybox image, a monitor, and everything of it gone at the end.
class Pod {
 public:
  Pod() : uid_("t" + SystemRandom().name_suffix(8)), cgroups_(read_cgroup_tree().value()) {
    runtime_ = find_runtime(cgroups_, folder_.path() + "/runtime").value();
    REQUIRE(make_folders(folder_.path() + "/image/bin"));
    REQUIRE(make_folders(folder_.path() + "/image/etc"));
    REQUIRE(run_ok({.arguments = {"cp", "/bin/busybox", folder_.path() + "/image/bin/busybox"}}));
    REQUIRE(::symlink("busybox", (folder_.path() + "/image/bin/sh").c_str()) == 0);
    namespaces_ = make_namespaces(folder_.path() + "/ns", "pod", PodNetwork::own).value();
  }

  ~Pod() {
    if (connection_) (void)send_command(connection_.get(), {.quit = QuitMonitor{}});
    (void)kill_cgroup(cgroups_, cgroup());
    for (const auto& id : ids_) (void)run(runtime_.remove_command(id));
    (void)remove_cgroup(cgroups_, cgroup());
    (void)remove_namespaces(folder_.path() + "/ns");
    (void)unmount_below(folder_.path());
  }

  void monitor() {
    const auto spawned = spawn_monitor({"/proc/self/exe", "monitor"}, {monitor_folder(), runtime_, {}});
    REQUIRE_MESSAGE(spawned, spawned.error().to_string());
    connect();
  }

  void connect() {
    received_.clear();
    connection_ = connect_monitor(monitor_folder()).value();
  }
  void disconnect() { connection_.reset(); }
  void leave_command(const MonitorCommand& command) { REQUIRE(send_command(connect_monitor(monitor_folder()).value().get(), command)); }
  bool monitor_ends() {
    for (int i = 0; i < 500; ++i) {
      if (!connect_monitor(monitor_folder())) return true;
      ::usleep(10'000);
    }
    return false;
  }

  std::string start(const std::string& name, const std::string& script, ContainerResources resources = {}) {
    const std::string id = uid_ + "-" + name;
    const std::string bundle = folder_.path() + "/" + name;
    ids_.push_back(id);
    REQUIRE(mount_overlay({{folder_.path() + "/image"}, bundle + "/upper", bundle + "/work", bundle + "/root"}));
    ContainerConfig config;
    config.root_folder = bundle + "/root";
    config.arguments = {"/bin/busybox", "sh", "-c", script};
    config.environment = {"PATH=/bin"};
    config.namespaces = {namespaces_.network, namespaces_.ipc, namespaces_.uts};
    config.cgroup_path = cgroup() + "/" + name;
    config.resources = resources;
    const auto spec = make_runtime_spec(config);
    REQUIRE(spec);
    REQUIRE(write_file_atomically(bundle + "/config.json", text::to_json(*spec)));
    StartContainer command{id, name, 0, bundle, log(name), config.cgroup_path};
    REQUIRE(send_command(connection_.get(), {.start = command}));
    return id;
  }

  void signal(const std::string& id, int number) {
    REQUIRE(send_command(connection_.get(), {.signal = SignalContainer{id, number}}));
  }

  // The record once `ready` holds for it, from what the monitor tells.
  template <class Ready>
  ContainerRecord await(const std::string& id, Ready ready) {
    for (int i = 0; i < 2000; ++i) {
      if (ContainerRecord* record = state_.find(id); record && ready(*record)) return *record;
      char buffer[65536];
      const ssize_t size = ::recv(connection_.get(), buffer, sizeof buffer, 0);
      REQUIRE(size > 0);
      received_.append(buffer, static_cast<std::size_t>(size));
      for (std::size_t end; (end = received_.find('\n')) != std::string::npos; received_.erase(0, end + 1))
        state_ = parse_monitor_state(received_.substr(0, end)).value();
    }
    FAIL("the record never came to the state awaited");
    return {};
  }
  ContainerRecord await_exit(const std::string& id) {
    return await(id, [](const ContainerRecord& r) { return r.phase == Phase::exited; });
  }
  ContainerRecord await_running(const std::string& id) {
    return await(id, [](const ContainerRecord& r) { return r.phase != Phase::starting; });
  }

  std::string output(const std::string& name) {
    std::string text;
    REQUIRE(read_log(log(name), {}, [&](std::string_view piece) { return text += piece, true; }));
    return text;
  }

  std::string log(const std::string& name) const { return folder_.path() + "/" + name + ".log"; }
  std::string monitor_folder() const { return folder_.path() + "/monitor"; }
  std::string cgroup() const { return "/slipway-test-" + uid_; }
  const CgroupTree& cgroups() const { return cgroups_; }
  const Runtime& runtime() const { return runtime_; }

 private:
  TempFolder folder_;
  std::string uid_;
  CgroupTree cgroups_;
  Runtime runtime_;
  NamespaceFiles namespaces_;
  UniqueFd connection_;
  std::string received_;
  MonitorState state_;
  std::vector<std::string> ids_;
};

pid_t monitor_of(const ContainerRecord& record) {  // the parent of a container's process
  const std::string status = read_file("/proc/" + std::to_string(record.pid) + "/status").value();
  for (const auto line : split_lines(status))
    if (line.starts_with("PPid:")) return static_cast<pid_t>(parse_int(trim(line.substr(5))).value());
  return -1;
}

TEST_CASE("a command counts although who sent it is gone at once") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  for (int i = 0; i < 20; ++i) {
    pod.leave_command({.signal = SignalContainer{"nobody", SIGTERM}});
    pod.disconnect();
  }
  pod.leave_command({.quit = QuitMonitor{}});
  CHECK(pod.monitor_ends());
}

TEST_CASE("a container runs, its output is logged and its exit code recorded") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  const std::string id = pod.start("hello", "echo out; echo err >&2; exit 7");
  const ContainerRecord record = pod.await_exit(id);
  CHECK_MESSAGE(record.exit_code == 7, record.message);
  CHECK(record.reason.empty());
  CHECK(pod.output("hello").find("out\n") != std::string::npos);
  CHECK(pod.output("hello").find("err\n") != std::string::npos);
  CHECK(read_monitor_state(pod.monitor_folder()).value().find(id)->exit_code == 7);
}

TEST_CASE("a container sees a contained machine: no new privileges to gain, masked kernel files, its pod's host name") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  pod.await_exit(pod.start("look", "/bin/busybox hostname; /bin/busybox wc -c < /proc/keys; /bin/busybox mount -t tmpfs x /etc && echo mounted; "
                                   "/bin/busybox grep Seccomp: /proc/self/status"));
  const std::string output = pod.output("look");
  CHECK(output.find("pod\n0\n") != std::string::npos);
  CHECK(output.find("mounted") == std::string::npos);
  CHECK(output.find("Seccomp:\t2") != std::string::npos);
}

TEST_CASE("a program that does not exist is a start error with the runtime's words") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  const std::string id = pod.start("absent", "exit 0");
  pod.await_exit(id);
  const ContainerRecord again = pod.await_exit(pod.start("absent2", "exec /no/such"));
  CHECK(again.exit_code == 127);  // the shell's answer: the runtime itself could start
}

TEST_CASE("a container beyond its memory limit ends as OOMKilled with 137") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  const std::string id = pod.start("fat", "exec /bin/busybox tail -c 900m /dev/zero", {.memory_limit_bytes = 16 * 1024 * 1024});
  const ContainerRecord record = pod.await_exit(id);
  CHECK(record.exit_code == 137);
  CHECK(record.reason == "OOMKilled");
}

TEST_CASE("an agent that comes back finds the container running and its log complete") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  const std::string id = pod.start("long", "echo one; read line < /etc/go; echo two; exit 3");
  (void)id;
  const std::string trapped = pod.start("trap", "trap 'echo bye; exit 5' TERM; echo ready; while :; do /bin/busybox sleep 0.05; done");
  const auto before = pod.await_running(trapped);
  pod.disconnect();
  pod.connect();
  const auto after = pod.await_running(trapped);
  CHECK(after.pid == before.pid);
  while (pod.output("trap").find("ready") == std::string::npos) std::this_thread::yield();
  pod.signal(trapped, SIGTERM);
  CHECK(pod.await_exit(trapped).exit_code == 5);
  CHECK(pod.output("trap") == "ready\nbye\n");
}

TEST_CASE("when a monitor is killed the next one ends its containers and says MonitorLost") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  const std::string id = pod.start("victim", "exec /bin/busybox sleep 1000");
  const ContainerRecord running = pod.await_running(id);
  REQUIRE_MESSAGE(running.phase == Phase::running, running.message);
  const pid_t monitor = monitor_of(running);
  REQUIRE(monitor > 1);
  ::kill(monitor, SIGKILL);
  while (connect_monitor(pod.monitor_folder())) std::this_thread::yield();
  pod.monitor();
  const ContainerRecord lost = pod.await_exit(id);
  CHECK(lost.reason == "MonitorLost");
  CHECK(lost.exit_code == 137);
  // Dead, or dead and not yet collected by its new parent.
  const std::string left = read_file("/proc/" + std::to_string(running.pid) + "/cmdline").value_or("");
  CHECK(left.empty());
}

TEST_CASE("a command in a running container answers its exit code and output") {
  if (!can_run()) return;
  Pod pod;
  pod.monitor();
  const std::string id = pod.start("target", "exec /bin/busybox sleep 1000");
  REQUIRE(pod.await_running(id).phase == Phase::running);
  const auto done = exec_in_container(pod.runtime(), id, {"/bin/busybox", "sh", "-c", "echo hi; exit 4"}, std::chrono::seconds(20));
  REQUIRE(done);
  CHECK(done->exit_code == 4);
  CHECK(done->output == "hi\n");
  pod.signal(id, SIGKILL);
  CHECK(pod.await_exit(id).exit_code == 137);
}

}  // namespace
}  // namespace slipway::sandbox
