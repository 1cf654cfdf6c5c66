// SPDX-License-Identifier: Apache-2.0
#include "sandbox/oci_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "sandbox/seccomp_profile.h"

namespace slipway::sandbox {
namespace {

template <class Range, class Value>
bool contains(const Range& range, const Value& value) {
  return std::ranges::find(range, value) != std::ranges::end(range);
}

using text::Json;

constexpr const char* default_capabilities[] = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",  "CAP_DAC_OVERRIDE",     "CAP_FOWNER",  "CAP_FSETID",  "CAP_KILL",      "CAP_MKNOD",
    "CAP_NET_RAW",     "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_SYS_CHROOT", "CAP_SETUID"};

constexpr const char* all_capabilities[] = {
    "CAP_AUDIT_CONTROL",   "CAP_AUDIT_READ",   "CAP_AUDIT_WRITE",     "CAP_BLOCK_SUSPEND",      "CAP_BPF",
    "CAP_CHOWN",           "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE", "CAP_FOWNER",
    "CAP_FSETID",          "CAP_IPC_LOCK",     "CAP_IPC_OWNER",       "CAP_KILL",               "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN",    "CAP_MAC_OVERRIDE",    "CAP_MKNOD",              "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW",       "CAP_PERFMON",            "CAP_SETFCAP",
    "CAP_SETGID",          "CAP_SETPCAP",      "CAP_SETUID",          "CAP_SYSLOG",             "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",        "CAP_SYS_CHROOT",   "CAP_SYS_MODULE",      "CAP_SYS_NICE",           "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",      "CAP_SYS_RAWIO",    "CAP_SYS_RESOURCE",    "CAP_SYS_TIME",           "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM"};

constexpr const char* masked_paths[] = {"/proc/acpi",          "/proc/asound",     "/proc/kcore",
                                        "/proc/keys",          "/proc/latency_stats", "/proc/timer_list",
                                        "/proc/timer_stats",   "/proc/sched_debug", "/proc/scsi",
                                        "/sys/firmware",       "/sys/devices/virtual/powercap"};
constexpr const char* read_only_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

template <class Strings>
Json strings(const Strings& values) {
  std::vector<Json> items;
  for (const auto& value : values) items.emplace_back(std::string_view(value));
  return Json::array(std::move(items));
}

bool is_below(std::string_view path, std::string_view folder) {
  return path == folder || (path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/');
}

bool is_clean_absolute(std::string_view path) {
  if (!path.starts_with('/') || path.find('\0') != std::string_view::npos) return false;
  return !(path.find("/../") != std::string_view::npos || path.ends_with("/.."));
}

std::string capability_name(std::string_view name) {
  return name.starts_with("CAP_") ? std::string(name) : "CAP_" + std::string(name);
}

Result<> check_ids(const ContainerConfig& config) {
  if (config.user > max_id || config.group > max_id) return fail(ErrorCode::invalid, "user or group id is too large");
  for (const std::uint32_t group : config.extra_groups)
    if (group > max_id) return fail(ErrorCode::invalid, "supplemental group id is too large");
  return {};
}

Result<> check(const ContainerConfig& config) {
  TRY(check_ids(config));
  if (config.arguments.empty()) return fail(ErrorCode::invalid, "no command specified");
  std::size_t bytes = 0;
  for (const std::string& argument : config.arguments) bytes += argument.size() + 1;
  for (const std::string& variable : config.environment) bytes += variable.size() + 1;
  if (bytes > max_arguments_bytes)
    return fail(ErrorCode::too_large, fmt::format("arguments and environment take {} bytes, limit {}", bytes, max_arguments_bytes));
  if (!is_clean_absolute(config.working_folder) || is_below(config.working_folder, "/proc"))
    return fail(ErrorCode::invalid, fmt::format("working directory is refused: {}", config.working_folder));
  if (config.mounts.size() > max_mounts) return fail(ErrorCode::too_large, "too many mounts");
  for (const MountSpec& mount : config.mounts)
    if (!is_clean_absolute(mount.destination) || mount.destination == "/" || is_below(mount.destination, "/proc") ||
        is_below(mount.destination, "/sys"))
      return fail(ErrorCode::invalid, fmt::format("mount path is refused: {}", mount.destination));
  if (config.oom_score_adj < 0) return fail(ErrorCode::invalid, "a negative oom_score_adj is not supported");
  return {};
}

Json mount_json(const MountSpec& mount) {
  return Json::object({{"destination", mount.destination},
                       {"type", mount.type},
                       {"source", mount.source},
                       {"options", strings(mount.options)}});
}

Json mounts_json(const ContainerConfig& config) {
  const bool privileged = config.privilege == Privilege::privileged;
  std::vector<MountSpec> mounts{
      {"proc", "/proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"tmpfs", "/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"devpts", "/dev/pts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"mqueue", "/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"sysfs", "/sys", "sysfs", {"nosuid", "noexec", "nodev", privileged ? "rw" : "ro"}},
      {"cgroup", "/sys/fs/cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", privileged ? "rw" : "ro"}}};
  // A mount of a pod may stand on top of another ("/data", "/data/cache"): parents first.
  std::vector<MountSpec> own = config.mounts;
  std::ranges::stable_sort(own, {}, [](const MountSpec& m) { return std::ranges::count(m.destination, '/'); });
  std::vector<Json> items;
  for (const MountSpec& mount : mounts) items.push_back(mount_json(mount));
  for (const MountSpec& mount : own) items.push_back(mount_json(mount));
  return Json::array(std::move(items));
}

Json namespace_json(const char* type, const std::string& path = {}) {
  const Json entry = Json::object({{"type", type}});
  return path.empty() ? entry : entry.with("path", path);
}

Json namespaces_json(const ContainerConfig& config) {
  std::vector<Json> items{namespace_json("mount"), namespace_json("cgroup")};
  if (!config.namespaces.host_pid) items.push_back(namespace_json("pid"));
  if (!config.namespaces.network.empty()) items.push_back(namespace_json("network", config.namespaces.network));
  if (!config.namespaces.ipc.empty()) items.push_back(namespace_json("ipc", config.namespaces.ipc));
  if (!config.namespaces.uts.empty()) items.push_back(namespace_json("uts", config.namespaces.uts));
  if (!config.user_mappings.empty()) items.push_back(namespace_json("user"));
  return Json::array(std::move(items));
}

Json device_rules(const ContainerConfig& config) {
  if (config.privilege == Privilege::privileged) return Json::array({Json::object({{"allow", true}, {"access", "rwm"}})});
  const auto device = [](const char* type, std::optional<int> major, std::optional<int> minor, const char* access) {
    Json rule = Json::object({{"allow", true}, {"type", type}});
    if (major) rule = rule.with("major", *major);
    if (minor) rule = rule.with("minor", *minor);
    return rule.with("access", access);
  };
  return Json::array({Json::object({{"allow", false}, {"access", "rwm"}}),
                      device("c", {}, {}, "m"), device("b", {}, {}, "m"),
                      device("c", 1, 3, "rwm"), device("c", 1, 5, "rwm"), device("c", 1, 7, "rwm"),
                      device("c", 1, 8, "rwm"), device("c", 1, 9, "rwm"), device("c", 5, 0, "rwm"),
                      device("c", 5, 2, "rwm"), device("c", 136, {}, "rwm")});
}

Json resources_json(const ContainerConfig& config) {
  const ContainerResources& wanted = config.resources;
  Json cpu = Json::object({{"shares", cpu_shares(wanted.cpu_request_milli)}});
  if (wanted.cpu_limit_milli > 0)
    cpu = cpu.with("quota", cpu_quota(wanted.cpu_limit_milli)).with("period", cpu_period);
  Json resources = Json::object({{"devices", device_rules(config)}, {"cpu", cpu}});
  if (wanted.memory_limit_bytes > 0)
    resources = resources.with("memory", Json::object({{"limit", wanted.memory_limit_bytes}}));
  if (wanted.pids_limit > 0) resources = resources.with("pids", Json::object({{"limit", wanted.pids_limit}}));
  return resources;
}

Json mappings_json(const std::vector<IdMapping>& mappings) {
  std::vector<Json> items;
  for (const IdMapping& m : mappings)
    items.push_back(Json::object({{"containerID", std::int64_t{m.inside}},
                                  {"hostID", std::int64_t{m.outside}},
                                  {"size", std::int64_t{m.count}}}));
  return Json::array(std::move(items));
}

Json linux_json(const ContainerConfig& config, const std::set<std::string>& capabilities) {
  Json linux_part = Json::object({{"cgroupsPath", config.cgroup_path},
                                  {"namespaces", namespaces_json(config)},
                                  {"resources", resources_json(config)},
                                  {"rootfsPropagation", "rprivate"}});
  if (!config.user_mappings.empty())
    linux_part = linux_part.with("uidMappings", mappings_json(config.user_mappings))
                     .with("gidMappings", mappings_json(config.user_mappings));
  if (config.privilege == Privilege::privileged) return linux_part;
  linux_part = linux_part.with("maskedPaths", strings(masked_paths)).with("readonlyPaths", strings(read_only_paths));
  if (config.seccomp == Seccomp::runtime_default)
    linux_part = linux_part.with("seccomp", default_seccomp_profile(capabilities));
  return linux_part;
}

Json user_json(const ContainerConfig& config) {
  std::vector<Json> groups;
  for (const std::uint32_t group : config.extra_groups) groups.emplace_back(std::int64_t{group});
  return Json::object({{"uid", std::int64_t{config.user}},
                       {"gid", std::int64_t{config.group}},
                       {"additionalGids", Json::array(std::move(groups))}});
}

// A process that is not root starts without effective capabilities, as with execve; the bounding set stays.
Json capabilities_json(const ContainerConfig& config, const std::set<std::string>& capabilities) {
  const Json all = strings(capabilities);
  const Json now = config.user == 0 ? all : Json::array();
  return Json::object({{"bounding", all}, {"effective", now}, {"permitted", now}});
}

Json process_json(const ContainerConfig& config, const std::set<std::string>& capabilities) {
  std::vector<Json> limits;
  for (const Rlimit& limit : config.rlimits)
    limits.push_back(Json::object({{"type", limit.type}, {"soft", limit.soft}, {"hard", limit.hard}}));
  Json process = Json::object({{"terminal", false},
                               {"user", user_json(config)},
                               {"args", strings(config.arguments)},
                               {"env", strings(config.environment)},
                               {"cwd", config.working_folder},
                               {"capabilities", capabilities_json(config, capabilities)},
                               {"rlimits", Json::array(std::move(limits))},
                               {"noNewPrivileges", config.privilege_gain == PrivilegeGain::forbidden}});
  if (config.oom_score_adj > 0) process = process.with("oomScoreAdj", config.oom_score_adj);
  return process;
}

}  // namespace

std::int64_t cpu_shares(std::int64_t milli) { return std::clamp<std::int64_t>(milli * 1024 / 1000, 2, 262'144); }
std::int64_t cpu_quota(std::int64_t milli) { return std::max<std::int64_t>(milli * cpu_period / 1000, 1000); }

Result<std::set<std::string>> effective_capabilities(const ContainerConfig& config) {
  const std::set<std::string> known(std::begin(all_capabilities), std::end(all_capabilities));
  if (config.privilege == Privilege::privileged) return known;
  std::set<std::string> result(std::begin(default_capabilities), std::end(default_capabilities));
  if (contains(config.drop_capabilities, "ALL")) result.clear();
  if (contains(config.add_capabilities, "ALL")) result = known;
  for (const std::string& name : config.drop_capabilities)
    if (name != "ALL") result.erase(capability_name(name));
  for (const std::string& name : config.add_capabilities) {
    if (name == "ALL") continue;
    if (!known.contains(capability_name(name))) return fail(ErrorCode::invalid, "unknown capability to add: " + name);
    result.insert(capability_name(name));
  }
  return result;
}

Result<Json> make_runtime_spec(const ContainerConfig& config) {
  TRY(check(config));
  const std::set<std::string> capabilities = TRY(effective_capabilities(config));
  return Json::object({{"ociVersion", "1.0.2"},
                       {"process", process_json(config, capabilities)},
                       {"root", Json::object({{"path", config.root_folder},
                                              {"readonly", config.root_access == RootAccess::read_only}})},
                       {"mounts", mounts_json(config)},
                       {"linux", linux_json(config, capabilities)}});
}

}  // namespace slipway::sandbox
