// SPDX-License-Identifier: Apache-2.0
// Mounts that the agent makes itself: overlay root folders of containers, tmpfs volumes, read-only binds; and finding
// those that a killed agent left behind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::sandbox {

struct Overlay {
  std::vector<std::string> layers;  // read-only folders, the uppermost first; at least one
  std::string upper, work;          // on one file system; both empty: a read-only overlay of two layers or more
  std::string target;
};
constexpr std::size_t max_layers = 500;  // the kernel's own limit

// Makes upper, work and target where they are missing. A target that is an overlay already is left as it is.
Result<> mount_overlay(const Overlay& overlay);
Result<> mount_tmpfs(const std::string& target, std::int64_t size_bytes, unsigned mode);  // size 0: half the memory
Result<> bind_read_only(const std::string& source, const std::string& target);
Result<> unmount(const std::string& target);  // lazily; fine where nothing is mounted

// Mount points at or below `folder`, the deepest first. Pure part and the machine's.
std::vector<std::string> mounts_below(std::string_view mountinfo, std::string_view folder);
Result<std::vector<std::string>> mounts_below(const std::string& folder);
Result<> unmount_below(const std::string& folder);

}  // namespace slipway::sandbox
