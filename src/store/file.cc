// SPDX-License-Identifier: Apache-2.0
#include "store/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/files.h"

namespace slipway::store {
namespace {

class SystemFile final : public File {
 public:
  SystemFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<> write_at(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("write", path_);
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Result<std::string> read_at(std::uint64_t offset, std::size_t at_most) override {
    std::string out(at_most, '\0');
    std::size_t have = 0;
    while (have < at_most) {
      const ssize_t n = ::pread(fd_.get(), out.data() + have, at_most - have, static_cast<off_t>(offset + have));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read", path_);
      if (n == 0) break;
      have += static_cast<std::size_t>(n);
    }
    out.resize(have);
    return out;
  }

  Result<std::uint64_t> size() override {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) return fail_errno("stat", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<> sync() override {
    if (::fdatasync(fd_.get()) != 0) return fail_errno("sync", path_);
    return {};
  }

  Result<> truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return fail_errno("truncate", path_);
    return {};
  }

  Result<> allocate(std::uint64_t size) override {
    const int error = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(size));
    if (error == 0) return {};
    errno = error;
    return fail_errno("allocate space for", path_);
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

class SystemFiles final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    const int flags = mode == OpenMode::read ? O_RDONLY : O_RDWR | O_CREAT | O_EXCL;
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("open", path);
    return std::make_unique<SystemFile>(std::move(fd), path);
  }
  Result<> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno("rename", from);
    return {};
  }
  Result<> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return fail_errno("remove", path);
    return {};
  }
  Result<> sync_folder(const std::string& folder) override {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return fail_errno("sync folder", folder);
    return {};
  }
  Result<std::vector<std::string>> list(const std::string& folder) override { return list_folder(folder); }
  Result<> make_folder(const std::string& folder) override { return make_folders(folder, 0700); }
};

}  // namespace

std::unique_ptr<FileSystem> make_system_files() { return std::make_unique<SystemFiles>(); }

}  // namespace slipway::store
