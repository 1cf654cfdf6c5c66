// SPDX-License-Identifier: Apache-2.0
#include "sandbox/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::sandbox {
namespace {

// The mount calls of Linux 5.2; the C library of Debian 12 has no wrappers that are free of conflicts with <linux/mount.h>.
constexpr unsigned fsconfig_set_string = 1, fsconfig_create = 6;
constexpr unsigned fsopen_cloexec = 1, fsmount_cloexec = 1, move_mount_empty_path = 4;

class FsContext {
 public:
  static Result<FsContext> open(const char* type) {
    FsContext context;
    context.fd_ = UniqueFd(static_cast<int>(::syscall(SYS_fsopen, type, fsopen_cloexec)));
    if (!context.fd_) return fail_errno("cannot open file system", type);
    return context;
  }

  bool set(const char* key, const std::string& value) {
    return ::syscall(SYS_fsconfig, fd_.get(), fsconfig_set_string, key, value.c_str(), 0) == 0;
  }

  Result<> mount_at(const std::string& target) {
    if (::syscall(SYS_fsconfig, fd_.get(), fsconfig_create, nullptr, nullptr, 0) != 0)
      return fail_errno(why("cannot create file system for"), target);
    const UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, fd_.get(), fsmount_cloexec, 0)));
    if (!mount) return fail_errno(why("cannot make mount for"), target);
    if (::syscall(SYS_move_mount, mount.get(), "", AT_FDCWD, target.c_str(), move_mount_empty_path) != 0)
      return fail_errno("cannot mount", target);
    return {};
  }

 private:
  std::string why(std::string_view what) {  // the kernel queues its reasons in the context
    const int saved = errno;
    char line[256];
    const ssize_t size = ::read(fd_.get(), line, sizeof line);
    errno = saved;
    return size > 2 ? fmt::format("{} ({}) for", std::string_view(line + 2, std::size_t(size - 2)), what) : std::string(what);
  }
  UniqueFd fd_;
};

Result<> mount_long_overlay(const Overlay& overlay) {
  FsContext context = TRY(FsContext::open("overlay"));
  for (const std::string& layer : overlay.layers)
    if (!context.set("lowerdir+", layer)) return fail_errno("cannot add overlay layer", layer);
  if (!overlay.upper.empty() && (!context.set("upperdir", overlay.upper) || !context.set("workdir", overlay.work)))
    return fail_errno("cannot set overlay folders", overlay.upper);
  return context.mount_at(overlay.target);
}

// Kernels before 6.5 take the layers in one option of at most a page.
Result<> mount_classic_overlay(const Overlay& overlay) {
  std::string options = "lowerdir=" + join(overlay.layers, ":");
  if (!overlay.upper.empty()) options += ",upperdir=" + overlay.upper + ",workdir=" + overlay.work;
  if (options.size() >= 4096) return fail(ErrorCode::too_large, "overlay options are longer than a page");
  if (::mount("overlay", overlay.target.c_str(), "overlay", 0, options.c_str()) != 0)
    return fail_errno("cannot mount overlay", overlay.target);
  return {};
}

Result<> check(const Overlay& overlay) {
  if (overlay.layers.empty()) return fail(ErrorCode::invalid, "an overlay needs a layer");
  if (overlay.layers.size() > max_layers) return fail(ErrorCode::too_large, fmt::format("more than {} layers", max_layers));
  for (const std::string& layer : overlay.layers)
    if (layer.empty() || layer.find_first_of(":,\\") != std::string::npos)
      return fail(ErrorCode::invalid, "an overlay layer's path holds a separator: " + layer);
  return {};
}

bool is_mount_point(const std::string& path) {
  struct stat self{}, parent{};
  if (::lstat(path.c_str(), &self) != 0 || ::lstat((path + "/..").c_str(), &parent) != 0) return false;
  return self.st_dev != parent.st_dev;
}

std::string unescape(std::string_view field) {  // "\040" is a blank
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      text += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0'));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

}  // namespace

Result<> mount_overlay(const Overlay& overlay) {
  TRY(check(overlay));
  if (!overlay.upper.empty()) {
    TRY(make_folders(overlay.upper));
    TRY(make_folders(overlay.work, 0700));
  }
  TRY(make_folders(overlay.target));
  if (is_mount_point(overlay.target)) return {};
  const auto mounted = mount_long_overlay(overlay);
  return mounted ? mounted : mount_classic_overlay(overlay);
}

Result<> mount_tmpfs(const std::string& target, std::int64_t size_bytes, unsigned mode) {
  TRY(make_folders(target));
  if (is_mount_point(target)) return {};
  std::string options = fmt::format("mode={:o}", mode);
  if (size_bytes > 0) options += fmt::format(",size={}", size_bytes);
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return fail_errno("cannot mount tmpfs", target);
  return {};
}

Result<> bind_read_only(const std::string& source, const std::string& target) {
  TRY(make_folders(target));
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno("cannot bind", source);
  if (::mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) != 0)
    return fail_errno("cannot make read-only", target);
  return {};
}

Result<> unmount(const std::string& target) {
  if (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) return {};
  return fail_errno("cannot unmount", target);
}

std::vector<std::string> mounts_below(std::string_view mountinfo, std::string_view folder) {
  std::vector<std::string> found;
  for (const std::string_view line : split_lines(mountinfo)) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5) continue;
    const std::string point = unescape(fields[4]);
    if (point == folder || point.starts_with(std::string(folder) + "/")) found.push_back(point);
  }
  std::ranges::reverse(found);  // the kernel lists in the order of mounting
  std::ranges::stable_sort(found, std::greater<>(), [](const std::string& p) { return std::ranges::count(p, '/'); });
  return found;
}

Result<std::vector<std::string>> mounts_below(const std::string& folder) {
  return mounts_below(TRY(read_file("/proc/self/mountinfo")), folder);
}

Result<> unmount_below(const std::string& folder) {
  for (const std::string& point : TRY(mounts_below(folder))) TRY(unmount(point));
  return {};
}

}  // namespace slipway::sandbox
