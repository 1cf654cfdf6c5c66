// SPDX-License-Identifier: Apache-2.0
// Files and folders. Errors carry the path and the kernel's reason; a full disk is code no_space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace slipway {

// Owns a descriptor.
class UniqueFd final {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// The current errno as an Error: "cannot open /x: Permission denied".
Error errno_error(std::string_view what, std::string_view path);
std::unexpected<Error> fail_errno(std::string_view what, std::string_view path);

Result<std::string> read_file(const std::string& path, std::size_t limit = 64 * 1024 * 1024);
Result<std::string> read_all(int fd, std::size_t limit);
Result<> write_all(int fd, std::string_view bytes);
// Readers see the old or the new content, also after a crash: temporary file, fsync, rename, fsync of the folder.
Result<> write_file_atomically(const std::string& path, std::string_view content, unsigned mode = 0600);
Result<> make_folders(const std::string& path, unsigned mode = 0755);  // with parents; fine where it exists
Result<> remove_tree(const std::string& path);   // follows no link, crosses no mount; fine where nothing is
bool exists(const std::string& path);
bool is_folder(const std::string& path);
Result<std::vector<std::string>> list_folder(const std::string& path);  // names, sorted, without . and ..
std::string base_name(std::string_view path);
std::string parent_path(std::string_view path);

// A folder below which paths from outside are opened: "..", absolute paths and links cannot leave it (openat2
// RESOLVE_IN_ROOT or RESOLVE_BENEATH; T1).
class Root final {
 public:
  static Result<Root> open(const std::string& folder);
  enum class Links { in_root, refuse };  // a link is followed inside the root, or is an error
  Result<UniqueFd> open_file(std::string_view path, int flags, unsigned mode = 0, Links links = Links::in_root) const;
  Result<std::string> read(std::string_view path, std::size_t limit, Links links = Links::in_root) const;
  int descriptor() const { return fd_.get(); }
  const std::string& folder() const { return folder_; }

 private:
  Root(UniqueFd fd, std::string folder) : fd_(std::move(fd)), folder_(std::move(folder)) {}
  UniqueFd fd_;
  std::string folder_;
};

// A fresh folder, removed with all that is in it when this ends.
class TempFolder final {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace slipway
