// SPDX-License-Identifier: Apache-2.0
// Control groups of pods over cgroup v1, v2 and hybrid trees.
//
// The plan is pure: from what the machine mounts (CgroupTree) to the folders to make and the files to write. A
// container's own group below its pod's is the runtime's work; here stand the pod's group, the count of OOM kills, and
// the end of every process in a group.
// Sources: Linux Documentation/admin-guide/cgroup-v1 and cgroup-v2.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandbox/oci_spec.h"

namespace slipway::sandbox {

enum class CgroupLayout { v1, v2, hybrid };

struct CgroupTree {
  CgroupLayout layout = CgroupLayout::v2;
  std::map<std::string, std::string> v1;  // controller ("memory", "name=systemd") -> mount point
  std::string v2;                         // mount point of the unified tree; empty where there is none
  std::vector<std::string> v2_controllers;
  bool operator==(const CgroupTree&) const = default;
};

// From /proc/self/mountinfo and the unified tree's cgroup.controllers (empty where there is none).
Result<CgroupTree> parse_cgroup_tree(std::string_view mountinfo, std::string_view v2_controllers);
Result<CgroupTree> read_cgroup_tree();

struct CgroupWrite {
  std::string file, content;
  bool operator==(const CgroupWrite&) const = default;
};

struct CgroupPlan {
  std::vector<std::string> folders;  // parents first
  std::vector<CgroupWrite> writes;   // in this order, after the folders
  bool operator==(const CgroupPlan&) const = default;
};

// The group at `path` ("/slipway/pod1") with limits for all that is below it. A limit whose controller is not mounted
// is left out.
CgroupPlan plan_cgroup(const CgroupTree& tree, std::string_view path, const ContainerResources& limits);
Result<> apply(const CgroupPlan& plan);

// Where the kernel counts OOM kills of a group, and the count in that file's text.
std::optional<std::string> oom_file(const CgroupTree& tree, std::string_view path);
std::int64_t oom_kills(std::string_view content);

std::vector<std::string> cgroup_folders(const CgroupTree& tree, std::string_view path);  // one for each mounted tree
// SIGKILL to every process in the group and below; repeated until none is left or `rounds` are over.
Result<> kill_cgroup(const CgroupTree& tree, std::string_view path);
// Removes the group and those below it; processes must be gone.
Result<> remove_cgroup(const CgroupTree& tree, std::string_view path);

}  // namespace slipway::sandbox
