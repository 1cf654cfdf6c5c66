// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/random.h"

namespace slipway {

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

namespace {

ErrorCode code_of_errno(int number) {
  switch (number) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::not_found;
    case EEXIST: return ErrorCode::already_exists;
    case EACCES:
    case EPERM: return ErrorCode::forbidden;
    case ENOSPC:
    case EDQUOT: return ErrorCode::no_space;
    case EXDEV:
    case ELOOP:
    case EINVAL:
    case ENAMETOOLONG: return ErrorCode::invalid;
    case ETIMEDOUT: return ErrorCode::timeout;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH: return ErrorCode::unavailable;
    default: return ErrorCode::internal;
  }
}

}  // namespace

Error errno_error(std::string_view what, std::string_view path) {
  const int number = errno;
  const char* reason = strerrordesc_np(number);
  return Error{code_of_errno(number), fmt::format("{} {}: {}", what, path, reason ? reason : "unknown error"), {}};
}

std::unexpected<Error> fail_errno(std::string_view what, std::string_view path) {
  return std::unexpected(errno_error(what, path));
}

Result<std::string> read_all(int fd, std::size_t limit) {
  std::string out;
  for (;;) {
    const std::size_t have = out.size();
    const std::size_t want = std::min<std::size_t>(std::max<std::size_t>(4096, have), 1 << 20);
    out.resize(have + want);
    const auto got = ::read(fd, out.data() + have, want);
    if (got < 0 && errno == EINTR) {
      out.resize(have);
      continue;
    }
    if (got < 0) return fail_errno("cannot read", "file");
    out.resize(have + static_cast<std::size_t>(got));
    if (out.size() > limit) return fail(ErrorCode::too_large, fmt::format("larger than {} bytes", limit));
    if (got == 0) return out;
  }
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open", path);
  return at(read_all(fd.get(), limit), path);
}

Result<> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto done = ::write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno("cannot write", "file");
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

namespace {

Result<> sync_folder(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open", path);
  if (::fsync(fd.get()) != 0) return fail_errno("cannot sync", path);
  return {};
}

Result<> write_and_sync(const std::string& path, std::string_view content, unsigned mode) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return fail_errno("cannot create", path);
  TRY(at(write_all(fd.get(), content), path));
  if (::fchmod(fd.get(), mode) != 0) return fail_errno("cannot set the mode of", path);
  if (::fsync(fd.get()) != 0) return fail_errno("cannot sync", path);
  return {};
}

}  // namespace

Result<> write_file_atomically(const std::string& path, std::string_view content, unsigned mode) {
  SystemRandom random;
  const std::string temporary = path + ".tmp-" + random.name_suffix(8);
  if (auto written = write_and_sync(temporary, content, mode); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto error = errno_error("cannot replace", path);
    ::unlink(temporary.c_str());
    return std::unexpected(std::move(error));
  }
  return sync_folder(parent_path(path));
}

Result<> make_folders(const std::string& path, unsigned mode) {
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string prefix = path.substr(0, at);
    if (::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) return fail_errno("cannot make folder", prefix);
  }
  return is_folder(path) ? Result<>{} : fail(ErrorCode::invalid, path + " is not a folder");
}

namespace {

constexpr int max_tree_depth = 512;

Result<> remove_entries(int folder, const std::string& path, dev_t device, int depth);

Result<> remove_entry(int parent, const char* name, const std::string& path, dev_t device, int depth) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno("cannot remove", path);
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno("cannot open", path);
  TRY(remove_entries(fd, path, device, depth + 1));
  if (::unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) return fail_errno("cannot remove", path);
  return {};
}

// Takes ownership of `folder`.
Result<> remove_entries(int folder, const std::string& path, dev_t device, int depth) {
  DIR* dir = ::fdopendir(folder);
  if (!dir) return fail_errno("cannot read", path);
  struct Close {
    DIR* dir;
    ~Close() { ::closedir(dir); }
  } close{dir};
  struct stat info{};
  if (::fstat(folder, &info) != 0) return fail_errno("cannot read", path);
  if (info.st_dev != device) return fail(ErrorCode::conflict, path + " is a mount: not removed");
  if (depth > max_tree_depth) return fail(ErrorCode::too_large, path + " is nested too deeply");
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    TRY(remove_entry(folder, entry->d_name, path + "/" + entry->d_name, device, depth));
  }
  return {};
}

}  // namespace

Result<> remove_tree(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return errno == ENOENT ? Result<>{} : fail_errno("cannot read", path);
  return remove_entry(AT_FDCWD, path.c_str(), path, info.st_dev, 0);
}

bool exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

bool is_folder(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<std::vector<std::string>> list_folder(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return fail_errno("cannot read folder", path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(dir);
  std::ranges::sort(names);
  return names;
}

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const auto slash = path.rfind('/');
  return std::string(slash == path.npos ? path : path.substr(slash + 1));
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

Result<Root> Root::open(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open", folder);
  return Root(std::move(fd), folder);
}

Result<UniqueFd> Root::open_file(std::string_view path, int flags, unsigned mode, Links links) const {
  if (path.find('\0') != path.npos) return fail(ErrorCode::invalid, "the path has a NUL byte");
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_NO_MAGICLINKS | (links == Links::in_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  const std::string name = path.empty() ? "." : std::string(path);
  const long fd = ::syscall(SYS_openat2, fd_.get(), name.c_str(), &how, sizeof how);
  if (fd < 0) return fail_errno("cannot open", name);
  return UniqueFd(static_cast<int>(fd));
}

Result<std::string> Root::read(std::string_view path, std::size_t limit, Links links) const {
  const UniqueFd fd = TRY(open_file(path, O_RDONLY | O_NONBLOCK, 0, links));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail_errno("cannot read", path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid, fmt::format("{} is not a regular file", path));
  return at(read_all(fd.get(), limit), path);
}

TempFolder::TempFolder() {
  const char* base = ::getenv("TMPDIR");
  path_ = fmt::format("{}/slipway-XXXXXX", base ? base : "/tmp");
  if (!::mkdtemp(path_.data())) std::abort();
}

TempFolder::~TempFolder() { (void)remove_tree(path_); }

}  // namespace slipway
