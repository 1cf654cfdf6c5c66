// SPDX-License-Identifier: Apache-2.0
#include "main/data_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"

namespace slipway::app {
namespace {

Result<> own(const std::string& path, uid_t user) {
  if (!has_own_serve_user()) return {};
  if (::chown(path.c_str(), user, user) != 0) return fail_errno("cannot change the owner of", path);
  return {};
}

Result<> folder_for_serve(const std::string& path) {
  TRY(make_folders(path, 0700));
  return own(path, serve_user);
}

// Root writes blobs below folders that are serve's, so every folder is made here, before anyone writes.
Result<> prepare_blobs(const std::string& path) {
  TRY(folder_for_serve(path));
  for (const char* name : {"/sha256", "/tmp", "/leases", "/names"}) TRY(folder_for_serve(path + name));
  for (int i = 0; i < 256; ++i) TRY(folder_for_serve(fmt::format("{}/sha256/{:02x}", path, i)));
  const std::string lock = path + "/lock";
  const UniqueFd fd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail_errno("cannot create", lock);
  return own(lock, serve_user);
}

// serve runs as a user of its own and must be able to walk down to its folder.
Result<> check_reachable(const std::string& path) {
  if (!has_own_serve_user()) return {};
  for (std::string at = parent_path(path); !at.empty() && at != "/" && at != "."; at = parent_path(at)) {
    struct stat info{};
    if (::stat(at.c_str(), &info) != 0) return fail_errno("cannot read", at);
    if ((info.st_mode & S_IXOTH) == 0)
      return fail(ErrorCode::invalid, fmt::format("{} lets nobody else pass (mode {:04o}), and the server runs as the user {}; run `chmod o+x {}` or choose another --data", at,
                                                  info.st_mode & 07777, serve_user, at));
  }
  return {};
}

}  // namespace

bool has_own_serve_user() { return ::geteuid() == 0; }

Result<> prepare(const DataFolder& data) {
  TRY(check_reachable(data.path));
  TRY(make_folders(data.path, 0700));
  if (::chmod(data.path.c_str(), 0711) != 0) return fail_errno("cannot set the mode of", data.path);
  for (const auto& path : {data.serve(), data.api(), data.hub(), data.git(), data.pushes()}) TRY(folder_for_serve(path));
  TRY(prepare_blobs(data.blobs()));
  for (const auto& path : {data.node(), data.credentials(), data.logs()}) TRY(make_folders(path, 0700));
  return {};
}

Result<UniqueFd> lock(const DataFolder& data) {
  const std::string path = data.supervisor_pid();
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail_errno("cannot open", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = read_file(path, 64).value_or("unknown");
    return fail(ErrorCode::conflict, fmt::format("slipway already runs on {} (process {}); `slipway down` stops it", data.path, trim(holder)));
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) return fail_errno("cannot write", path);
  return fd;
}

}  // namespace slipway::app
