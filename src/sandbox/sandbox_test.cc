// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "sandbox/cgroup.h"
#include "sandbox/cri_log.h"
#include "sandbox/monitor_state.h"
#include "sandbox/mounts.h"
#include "sandbox/netlink.h"
#include "sandbox/oci_spec.h"
#include "sandbox/runtime.h"
#include "sandbox/user.h"

namespace slipway::sandbox {
namespace {

// Recorded trees: Debian 12 with systemd (v2), an older one (v1), and both side by side.
constexpr std::string_view v2_mounts = "27 22 0:24 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
constexpr std::string_view v1_mounts =
    "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "31 29 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory\n"
    "32 29 0:28 / /sys/fs/cgroup/pids rw,nosuid shared:12 - cgroup cgroup rw,pids\n"
    "33 29 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:13 - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n";
const std::string hybrid_mounts = std::string(v1_mounts) + "34 29 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
const ContainerResources limits{.cpu_request_milli = 500, .cpu_limit_milli = 1500, .memory_limit_bytes = 1048576, .pids_limit = 100};

TEST_CASE("on a v2 tree every group above hands its controllers down, then the limits are written") {
  const CgroupTree tree = parse_cgroup_tree(v2_mounts, "cpuset cpu io memory pids\n").value();
  CHECK(tree.layout == CgroupLayout::v2);
  const CgroupPlan plan = plan_cgroup(tree, "/slipway/pod1", limits);
  CHECK(plan.folders == std::vector<std::string>{"/sys/fs/cgroup/slipway/pod1"});
  const auto has = [&](const char* file, const char* content) { return std::ranges::find(plan.writes, CgroupWrite{file, content}) != plan.writes.end(); };
  CHECK(has("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids"));
  CHECK(has("/sys/fs/cgroup/slipway/cgroup.subtree_control", "+cpu +memory +pids"));
  CHECK(has("/sys/fs/cgroup/slipway/pod1/cgroup.subtree_control", "+cpu +memory +pids"));
  CHECK(has("/sys/fs/cgroup/slipway/pod1/cpu.max", "150000 100000"));
  CHECK(has("/sys/fs/cgroup/slipway/pod1/memory.max", "1048576"));
  CHECK(has("/sys/fs/cgroup/slipway/pod1/pids.max", "100"));
  CHECK(*oom_file(tree, "/p") == "/sys/fs/cgroup/p/memory.events");
}

TEST_CASE("on v1 and hybrid trees each controller has its own folder") {
  for (const std::string& mounts : {std::string(v1_mounts), hybrid_mounts}) {
    const CgroupTree tree = parse_cgroup_tree(mounts, "").value();
    CHECK(tree.layout == (mounts == hybrid_mounts ? CgroupLayout::hybrid : CgroupLayout::v1));
    const CgroupPlan plan = plan_cgroup(tree, "/slipway/pod1", limits);
    CHECK(plan.folders == std::vector<std::string>{"/sys/fs/cgroup/cpu,cpuacct/slipway/pod1", "/sys/fs/cgroup/memory/slipway/pod1", "/sys/fs/cgroup/pids/slipway/pod1"});
    CHECK(plan.writes.front() == CgroupWrite{"/sys/fs/cgroup/cpu,cpuacct/slipway/pod1/cpu.shares", "512"});
    CHECK(plan.writes.back() == CgroupWrite{"/sys/fs/cgroup/pids/slipway/pod1/pids.max", "100"});
    CHECK(*oom_file(tree, "/p") == "/sys/fs/cgroup/memory/p/memory.oom_control");
  }
}

TEST_CASE("a machine without control groups is an error; a controller that is not mounted is left out") {
  CHECK(!parse_cgroup_tree("1 0 0:1 / / rw - ext4 /dev/vda rw\n", ""));
  const CgroupTree tree = parse_cgroup_tree(v2_mounts, "cpu").value();
  for (const CgroupWrite& write : plan_cgroup(tree, "/p", limits).writes) CHECK(write.file.find("memory") == std::string::npos);
}

TEST_CASE("OOM kills are counted from either kernel's file") {
  CHECK(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n") == 2);
  CHECK(oom_kills("low 0\nhigh 0\nmax 8\noom 1\noom_kill 1\noom_group_kill 0\n") == 1);
  CHECK(oom_kills("") == 0);
}

ContainerConfig plain() {
  ContainerConfig config;
  config.root_folder = "/r";
  config.arguments = {"/bin/true"};
  config.cgroup_path = "/slipway/p/c";
  return config;
}

TEST_CASE("a plain container has Kubernetes' default capabilities, masked paths and a seccomp filter") {
  const auto spec = make_runtime_spec(plain()).value();
  CHECK(spec["process"]["capabilities"]["bounding"].size() == 14);
  CHECK(spec["linux"]["seccomp"]["defaultAction"].as_string() == "SCMP_ACT_ERRNO");
  CHECK(!spec["linux"]["maskedPaths"].empty());
  CHECK(!spec["process"].contains("oomScoreAdj"));
}

TEST_CASE("drop ALL leaves what is added; a user who is not root starts without effective capabilities") {
  ContainerConfig config = plain();
  config.drop_capabilities = {"ALL"};
  config.add_capabilities = {"NET_BIND_SERVICE"};
  config.user = 1000;
  config.privilege_gain = PrivilegeGain::forbidden;
  const auto spec = make_runtime_spec(config).value();
  CHECK(spec["process"]["capabilities"]["bounding"] == text::Json::array({text::Json("CAP_NET_BIND_SERVICE")}));
  CHECK(spec["process"]["capabilities"]["effective"].empty());
  CHECK(spec["process"]["noNewPrivileges"].as_bool());
}

TEST_CASE("the pod's namespaces are joined by path, its limits are in the spec") {
  ContainerConfig config = plain();
  config.namespaces = {"/n/net", "/n/ipc", "/n/uts"};
  config.resources = limits;
  const auto spec = make_runtime_spec(config).value();
  bool joined = false;
  for (const auto& ns : spec["linux"]["namespaces"].items()) joined |= ns["type"].as_string() == "network" && ns["path"].as_string() == "/n/net";
  CHECK(joined);
  CHECK(spec["linux"]["resources"]["memory"]["limit"].as_int() == 1048576);
  CHECK(spec["linux"]["resources"]["cpu"]["quota"].as_int() == 150'000);
}

TEST_CASE("dangerous or impossible wishes are refused") {
  const auto refused = [](auto change) {
    ContainerConfig config = plain();
    change(config);
    return !make_runtime_spec(config);
  };
  CHECK(refused([](auto& c) { c.working_folder = "/proc/self/fd/7"; }));
  CHECK(refused([](auto& c) { c.working_folder = "/a/../../b"; }));
  CHECK(refused([](auto& c) { c.user = 2'147'483'648u; }));
  CHECK(refused([](auto& c) { c.mounts = {{"/x", "/proc/sys"}}; }));
  CHECK(refused([](auto& c) { c.mounts = {{"/x", "relative"}}; }));
  CHECK(refused([](auto& c) { c.mounts.resize(max_mounts + 1, {"/x", "/y"}); }));
  CHECK(refused([](auto& c) { c.arguments.clear(); }));
  CHECK(refused([](auto& c) { c.arguments = {std::string(max_arguments_bytes + 1, 'x')}; }));
  CHECK(refused([](auto& c) { c.oom_score_adj = -999; }));
  CHECK(refused([](auto& c) { c.add_capabilities = {"FLY"}; }));
}

constexpr std::string_view passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:\n";
constexpr std::string_view group = "root:x:0:\nstaff:x:50:app,other\n";

TEST_CASE("an image's USER is looked up in its own files") {
  CHECK(resolve_user("", passwd, group).value() == ResolvedUser{});
  CHECK(resolve_user("app", passwd, group).value() == ResolvedUser{1000, 1001, {50}});
  CHECK(resolve_user("1000", passwd, group).value() == ResolvedUser{1000, 1001, {50}});
  CHECK(resolve_user("app:staff", passwd, group).value() == ResolvedUser{1000, 50, {}});
  CHECK(resolve_user("7:8", "", "").value() == ResolvedUser{7, 8, {}});
}

TEST_CASE("a USER that is unknown or overflows is refused") {
  for (const char* user : {"nobody", "2147483648", "-1", "app:nogroup", "1:4294967296"}) CHECK(!resolve_user(user, passwd, group));
  CHECK(!resolve_user("evil", "evil:x:4294967296:0::/:\n", ""));
}

TEST_CASE("an image's link to the host's passwd is followed inside the image") {
  const TempFolder folder;
  REQUIRE(make_folders(folder.path() + "/etc"));
  REQUIRE(::symlink("/../../../../../../etc/passwd", (folder.path() + "/etc/passwd").c_str()) == 0);
  CHECK(!resolve_user_in(folder.path(), "root"));
}

TEST_CASE("lines are cut at 16 KB into partial records, whatever pieces they come in") {
  const Wall time{};
  const std::string line(max_log_line + 5, 'x');
  std::string whole, pieces;
  LineCutter a(LogStream::out), b(LogStream::out);
  a.add(line + "\nrest", time, whole);
  for (const char c : line + "\nrest") b.add(std::string_view(&c, 1), time, pieces);
  a.end(time, whole);
  b.end(time, pieces);
  CHECK(whole == pieces);
  const auto records = split_lines(whole);
  REQUIRE(records.size() == 3);
  CHECK(!parse_log_record(records[0])->whole);
  CHECK(parse_log_record(records[0])->text.size() == max_log_line);
  CHECK(parse_log_record(records[1])->text == "xxxxx");
  CHECK(parse_log_record(records[2])->text == "rest");
}

std::string read(const std::string& path, LogOptions options) {
  std::string text;
  REQUIRE(read_log(path, options, [&](std::string_view piece) { return text += piece, true; }));
  return text;
}

TEST_CASE("a log is read across its rotated files, from a time, by its tail and up to a size") {
  const TempFolder folder;
  const std::string path = folder.path() + "/0.log";
  LogFile log = LogFile::open(path, {.file_bytes = 150, .files = 5}).value();
  for (int i = 0; i < 8; ++i) {
    std::string record;
    LineCutter(LogStream::out).add("line " + std::to_string(i) + "\n", Wall(std::chrono::seconds(i)), record);
    REQUIRE(log.append(record));
  }
  CHECK(exists(path + ".1"));
  CHECK(read(path, {}) == "line 0\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\n");
  CHECK(read(path, {.tail_lines = 3}) == "line 5\nline 6\nline 7\n");
  CHECK(read(path, {.tail_lines = 0}).empty());
  CHECK(read(path, {.since = "1970-01-01T00:00:06Z"}) == "line 6\nline 7\n");
  CHECK(read(path, {.limit_bytes = 9}) == "line 0\nli");
  CHECK(read(path, {.tail_lines = 1, .timestamps = true}) == "1970-01-01T00:00:07.000000000Z line 7\n");
}

TEST_CASE("the oldest rotated file goes") {
  const TempFolder folder;
  LogFile log = LogFile::open(folder.path() + "/l", {.file_bytes = 10, .files = 2}).value();
  for (int i = 0; i < 6; ++i) REQUIRE(log.append("123456789\n"));
  CHECK(list_folder(folder.path()).value() == std::vector<std::string>{"l", "l.1"});
}

TEST_CASE("a monitor's state comes back as it was, and keeps the newest attempts") {
  MonitorState state;
  for (int i = 0; i < 4; ++i)
    state.containers.push_back({.id = "c" + std::to_string(i), .name = "c", .attempt = i, .phase = Phase::exited, .cgroup = "/p", .started = Wall(std::chrono::seconds(i)), .exit_code = i, .reason = "Error"});
  CHECK(parse_monitor_state(text::to_json(to_json(state))).value() == state);
  forget_old_attempts(state);
  CHECK(state.containers.size() == kept_attempts);
  CHECK(state.newest("c")->attempt == 3);
  CHECK(state.before_newest("c")->attempt == 2);
  CHECK(!parse_monitor_state(R"({"version":2})"));
  CHECK(!parse_command(R"({"op":"dance"})"));
}

TEST_CASE("mounts below a folder are found deepest first, and none beside it") {
  const std::string_view mounts = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /d/p rw - tmpfs a rw\n3 2 0:3 / /d/p/x\\040y rw - overlay a rw\n4 1 0:4 / /d/pq rw - tmpfs a rw\n";
  CHECK(mounts_below(mounts, "/d/p") == std::vector<std::string>{"/d/p/x y", "/d/p"});
}

TEST_CASE("an overlay without a layer, with too many or with a separator in a path is refused") {
  const TempFolder folder;
  const auto with = [&](std::vector<std::string> layers) { return mount_overlay({std::move(layers), "", "", folder.path() + "/t"}); };
  CHECK(!with({}));
  CHECK(!with({"/a:/b"}));
  CHECK(!with(std::vector<std::string>(max_layers + 1, "/a")));
}

TEST_CASE("address ranges are read strictly") {
  CHECK(Ipv4Range::parse("10.244.0.0/24")->at(5).to_string() == "10.244.0.5");
  for (const char* bad : {"10.244.0.1/24", "10.244.0.0", "10.244.0.0/33", "::/0", "10.0.0.0/0"}) CHECK(!Ipv4Range::parse(bad));
}

TEST_CASE("the runtime's last error is told, without control characters") {
  CHECK(runtime_error("{\"level\":\"error\",\"msg\":\"no such\\u001b[1m file\"}\n", "x") == "no such\\x1b[1m file");
  CHECK(runtime_error("", "the runtime ended with 1") == "the runtime ended with 1");
}

}  // namespace
}  // namespace slipway::sandbox
