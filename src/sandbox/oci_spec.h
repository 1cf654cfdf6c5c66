// SPDX-License-Identifier: Apache-2.0
// From what a container is to be to the OCI runtime spec (config.json) that a runtime carries out.
//
// Pure: no look at the machine. Everything that has to be resolved (the image's user, folders of volumes, namespaces
// of the pod) is resolved before and stands in ContainerConfig.
// Source: OCI runtime specification 1.0.2.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::sandbox {

struct MountSpec {
  std::string source;       // a path of the host, or the name of the file system
  std::string destination;  // inside the container, absolute
  std::string type = "bind";
  std::vector<std::string> options;
  bool operator==(const MountSpec&) const = default;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t soft = 0, hard = 0;
};

struct ContainerResources {
  std::int64_t cpu_request_milli = 0;  // 0: none; becomes shares
  std::int64_t cpu_limit_milli = 0;    // 0: none; becomes a quota
  std::int64_t memory_limit_bytes = 0;
  std::int64_t pids_limit = 0;
  bool operator==(const ContainerResources&) const = default;
};

enum class Seccomp { runtime_default, unconfined };
enum class Privilege { contained, privileged };
enum class RootAccess { writable, read_only };
enum class PrivilegeGain { allowed, forbidden };  // allowPrivilegeEscalation

// A namespace that the container joins: the path of a bind-mounted namespace file. Empty: the host's own.
struct PodNamespaces {
  std::string network, ipc, uts;
  bool host_pid = false;
};

struct IdMapping {
  std::uint32_t inside = 0, outside = 0, count = 0;
  bool operator==(const IdMapping&) const = default;
};

struct ContainerConfig {
  std::string root_folder;  // mounted already
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // "NAME=value"
  std::string working_folder = "/";
  std::uint32_t user = 0, group = 0;
  std::vector<std::uint32_t> extra_groups;
  std::string hostname;  // set in the pod's UTS namespace; only HOSTNAME reads it here
  std::vector<std::string> add_capabilities, drop_capabilities;  // as Kubernetes writes them: "NET_ADMIN", "ALL"
  Privilege privilege = Privilege::contained;
  PrivilegeGain privilege_gain = PrivilegeGain::allowed;
  RootAccess root_access = RootAccess::writable;
  Seccomp seccomp = Seccomp::runtime_default;
  std::vector<MountSpec> mounts;
  std::vector<Rlimit> rlimits;
  ContainerResources resources;
  PodNamespaces namespaces;
  std::vector<IdMapping> user_mappings;  // a user namespace where not empty
  std::string cgroup_path;               // "/slipway/pod…/name"
  std::int64_t oom_score_adj = 0;        // 0 to 1000; below 0 needs CAP_SYS_RESOURCE and is refused
};

constexpr std::size_t max_arguments_bytes = 1024 * 1024;  // of arguments and environment (the kernel takes 2 MiB)
constexpr std::size_t max_mounts = 256;
constexpr std::uint32_t max_id = 2'147'483'647;  // a larger one overflows in runtimes (T14)

// The capabilities of the container as a set of "CAP_…": Kubernetes' default set, with add and drop applied.
Result<std::set<std::string>> effective_capabilities(const ContainerConfig& config);

// The runtime spec. Refused: an id above max_id, a relative destination or working folder, a working folder or mount
// below /proc (T12), an unknown capability, too many mounts or arguments.
Result<text::Json> make_runtime_spec(const ContainerConfig& config);

std::int64_t cpu_shares(std::int64_t milli);  // cgroup v1; 1024 a core, at least 2
std::int64_t cpu_quota(std::int64_t milli);   // microseconds in a period of cpu_period
constexpr std::int64_t cpu_period = 100'000;

}  // namespace slipway::sandbox
