// SPDX-License-Identifier: Apache-2.0
// Which ids a container runs under: USER of its image ("app", "1000:1000", "app:staff") against the image's own
// /etc/passwd and /etc/group, which are read through openat2 inside the root folder (T12) and under a limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::sandbox {

struct ResolvedUser {
  std::uint32_t user = 0, group = 0;
  std::vector<std::uint32_t> extra_groups;  // of /etc/group, where the user has a name
  bool operator==(const ResolvedUser&) const = default;
};

constexpr std::size_t max_passwd_bytes = 1024 * 1024;

// Pure. Refused: a number above max_id (T14), a name that is not in the file.
Result<ResolvedUser> resolve_user(std::string_view image_user, std::string_view passwd, std::string_view group);
// As above with the files below `root_folder`; absent files are empty.
Result<ResolvedUser> resolve_user_in(const std::string& root_folder, std::string_view image_user);

}  // namespace slipway::sandbox
