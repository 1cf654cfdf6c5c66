// SPDX-License-Identifier: Apache-2.0
#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::sandbox {
namespace {

constexpr int kill_rounds = 200;
constexpr std::chrono::milliseconds kill_pause{5};
constexpr std::size_t max_control_file = 1024 * 1024;
constexpr const char* pod_controllers_v1[] = {"cpu", "memory", "pids"};

bool has(const std::vector<std::string>& list, std::string_view value) {
  return std::ranges::find(list, value) != list.end();
}

struct MountLine {
  std::string_view point, type, super_options;
};

// "29 22 0:25 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory"
std::optional<MountLine> parse_mount_line(std::string_view line) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return std::nullopt;
  const auto before = split(line.substr(0, dash), ' ');
  const auto after = split(line.substr(dash + 3), ' ');
  if (before.size() < 5 || after.size() < 3) return std::nullopt;
  return MountLine{before[4], after[0], after[2]};
}

bool is_option(std::string_view word) {
  return word == "rw" || word == "ro" || word == "xattr" || word == "clone_children" || word.starts_with("release_agent=");
}

std::string weight_of(std::int64_t shares) {  // the map of runtimes: 2..262144 -> 1..10000
  return std::to_string(1 + ((shares - 2) * 9999) / 262'142);
}

void plan_v1(const CgroupTree& tree, std::string_view path, const ContainerResources& limits, CgroupPlan& plan) {
  const auto folder = [&](const char* controller) -> std::optional<std::string> {
    const auto found = tree.v1.find(controller);
    if (found == tree.v1.end()) return std::nullopt;
    return found->second + std::string(path);
  };
  for (const char* controller : pod_controllers_v1)
    if (const auto at = folder(controller); at && !has(plan.folders, *at)) plan.folders.push_back(*at);
  if (const auto cpu = folder("cpu")) {
    plan.writes.push_back({*cpu + "/cpu.shares", std::to_string(cpu_shares(limits.cpu_request_milli))});
    if (limits.cpu_limit_milli > 0) {
      plan.writes.push_back({*cpu + "/cpu.cfs_period_us", std::to_string(cpu_period)});
      plan.writes.push_back({*cpu + "/cpu.cfs_quota_us", std::to_string(cpu_quota(limits.cpu_limit_milli))});
    }
  }
  if (const auto memory = folder("memory"); memory && limits.memory_limit_bytes > 0)
    plan.writes.push_back({*memory + "/memory.limit_in_bytes", std::to_string(limits.memory_limit_bytes)});
  if (const auto pids = folder("pids"); pids && limits.pids_limit > 0)
    plan.writes.push_back({*pids + "/pids.max", std::to_string(limits.pids_limit)});
}

// In the unified tree a controller works in a group only when every group above hands it down.
void hand_down(const CgroupTree& tree, std::string_view path, CgroupPlan& plan) {
  std::string enabled;
  for (const char* controller : pod_controllers_v1)
    if (has(tree.v2_controllers, controller)) enabled += (enabled.empty() ? "+" : " +") + std::string(controller);
  if (enabled.empty()) return;
  std::string at = tree.v2;
  for (const std::string_view part : split(path, '/')) {
    plan.writes.push_back({at + "/cgroup.subtree_control", enabled});
    if (!part.empty()) at += "/" + std::string(part);
  }
  std::ranges::stable_sort(plan.writes, {}, [](const CgroupWrite& w) { return w.file.size(); });
  const auto repeated = std::ranges::unique(plan.writes);
  plan.writes.erase(repeated.begin(), repeated.end());
  plan.writes.push_back({at + "/cgroup.subtree_control", enabled});
}

void plan_v2(const CgroupTree& tree, std::string_view path, const ContainerResources& limits, CgroupPlan& plan) {
  const std::string at = tree.v2 + std::string(path);
  plan.folders.push_back(at);
  hand_down(tree, path, plan);
  if (has(tree.v2_controllers, "cpu")) {
    plan.writes.push_back({at + "/cpu.weight", weight_of(cpu_shares(limits.cpu_request_milli))});
    if (limits.cpu_limit_milli > 0)
      plan.writes.push_back({at + "/cpu.max", fmt::format("{} {}", cpu_quota(limits.cpu_limit_milli), cpu_period)});
  }
  if (has(tree.v2_controllers, "memory") && limits.memory_limit_bytes > 0)
    plan.writes.push_back({at + "/memory.max", std::to_string(limits.memory_limit_bytes)});
  if (has(tree.v2_controllers, "pids") && limits.pids_limit > 0)
    plan.writes.push_back({at + "/pids.max", std::to_string(limits.pids_limit)});
}

Result<> write_control(const CgroupWrite& write) {
  const UniqueFd file(::open(write.file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return fail_errno("cannot open", write.file);
  if (::write(file.get(), write.content.data(), write.content.size()) < 0) return fail_errno("cannot write", write.file);
  return {};
}

// Kills what is in the folder and below; the count of processes seen.
std::size_t kill_below(const std::string& folder) {
  std::size_t seen = 0;
  for (const std::string& name : list_folder(folder).value_or(std::vector<std::string>()))
    if (is_folder(folder + "/" + name)) seen += kill_below(folder + "/" + name);
  const std::string processes = read_file(folder + "/cgroup.procs", max_control_file).value_or("");
  for (const std::string_view line : split_lines(processes))
    if (const auto pid = parse_int(line); pid && *pid > 1) {
      ::kill(static_cast<pid_t>(*pid), SIGKILL);
      ++seen;
    }
  return seen;
}

Result<> remove_below(const std::string& folder) {
  if (!is_folder(folder)) return {};
  for (const std::string& name : TRY(list_folder(folder)))
    if (is_folder(folder + "/" + name)) TRY(remove_below(folder + "/" + name));
  if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) return fail_errno("cannot remove", folder);
  return {};
}

}  // namespace

Result<CgroupTree> parse_cgroup_tree(std::string_view mountinfo, std::string_view v2_controllers) {
  CgroupTree tree;
  for (const std::string_view line : split_lines(mountinfo)) {
    const auto mount = parse_mount_line(line);
    if (!mount) continue;
    if (mount->type == "cgroup2" && tree.v2.empty()) tree.v2 = std::string(mount->point);
    if (mount->type != "cgroup") continue;
    for (const std::string_view option : split(mount->super_options, ','))
      if (!is_option(option)) tree.v1.emplace(option, mount->point);
  }
  if (tree.v1.empty() && tree.v2.empty()) return fail(ErrorCode::unavailable, "no cgroup file system is mounted");
  tree.layout = tree.v1.empty() ? CgroupLayout::v2 : tree.v2.empty() ? CgroupLayout::v1 : CgroupLayout::hybrid;
  for (const std::string_view name : split(trim(v2_controllers), ' '))
    if (!name.empty()) tree.v2_controllers.emplace_back(name);
  return tree;
}

Result<CgroupTree> read_cgroup_tree() {
  CgroupTree tree = TRY(parse_cgroup_tree(TRY(read_file("/proc/self/mountinfo")), ""));
  if (tree.v2.empty()) return tree;
  const std::string controllers = read_file(tree.v2 + "/cgroup.controllers", max_control_file).value_or("");
  for (const std::string_view name : split(trim(controllers), ' '))
    if (!name.empty()) tree.v2_controllers.emplace_back(name);
  return tree;
}

CgroupPlan plan_cgroup(const CgroupTree& tree, std::string_view path, const ContainerResources& limits) {
  CgroupPlan plan;
  if (tree.layout == CgroupLayout::v2)
    plan_v2(tree, path, limits, plan);
  else
    plan_v1(tree, path, limits, plan);
  return plan;
}

Result<> apply(const CgroupPlan& plan) {
  for (const std::string& folder : plan.folders) TRY(make_folders(folder));
  for (const CgroupWrite& write : plan.writes) TRY(write_control(write));
  return {};
}

std::optional<std::string> oom_file(const CgroupTree& tree, std::string_view path) {
  if (tree.layout == CgroupLayout::v2) return tree.v2 + std::string(path) + "/memory.events";
  const auto memory = tree.v1.find("memory");
  if (memory == tree.v1.end()) return std::nullopt;
  return memory->second + std::string(path) + "/memory.oom_control";
}

std::int64_t oom_kills(std::string_view content) {
  for (const std::string_view line : split_lines(content))
    if (line.starts_with("oom_kill ")) return parse_int(trim(line.substr(9))).value_or(0);
  return 0;
}

std::vector<std::string> cgroup_folders(const CgroupTree& tree, std::string_view path) {
  std::vector<std::string> folders;
  for (const auto& [controller, point] : tree.v1)
    if (std::string at = point + std::string(path); !has(folders, at)) folders.push_back(std::move(at));
  if (!tree.v2.empty()) folders.push_back(tree.v2 + std::string(path));
  return folders;
}

Result<> kill_cgroup(const CgroupTree& tree, std::string_view path) {
  for (int round = 0; round < kill_rounds; ++round) {
    std::size_t seen = 0;
    for (const std::string& folder : cgroup_folders(tree, path))
      if (is_folder(folder)) seen += kill_below(folder);
    if (seen == 0) return {};
    std::this_thread::sleep_for(kill_pause);
  }
  return fail(ErrorCode::timeout, fmt::format("processes of control group {} do not end", path));
}

Result<> remove_cgroup(const CgroupTree& tree, std::string_view path) {
  for (const std::string& folder : cgroup_folders(tree, path)) TRY(remove_below(folder));
  return {};
}

}  // namespace slipway::sandbox
