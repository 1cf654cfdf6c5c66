// SPDX-License-Identifier: Apache-2.0
#include "store/unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/strings.h"

namespace slipway::store {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr const char* opaque_attribute = "trusted.overlay.opaque";
constexpr int max_depth = 512;

// "./a//b/" -> {"a", "b"}; ".." is refused rather than resolved: no honest archive has it.
Result<std::vector<std::string>> parts_of(std::string_view path) {
  std::vector<std::string> out;
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorCode::invalid, fmt::format("the archive names a path outside: {}", printable(path)));
    out.emplace_back(part);
  }
  return out;
}

struct FolderTime {
  std::string path;
  timespec time;
};

class Unpacker final {
 public:
  Unpacker(const Root& root, const UnpackOptions& options) : root_(root), options_(options) {}

  Result<> run(ByteSource archive) {
    TarReader reader(std::move(archive), options_.limits);
    while (auto entry = TRY(reader.next())) TRY(at(place(*entry, reader), printable(entry->path)));
    // Folders last: what was put into them changed their time.
    for (auto it = folders_.rbegin(); it != folders_.rend(); ++it) {
      const timespec times[2] = {it->time, it->time};
      if (auto fd = root_.open_file(it->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) ::futimens(fd->get(), times);
    }
    return {};
  }

 private:
  Result<> place(const TarEntry& entry, TarReader& reader) {
    const auto parts = TRY(parts_of(entry.path));
    if (parts.empty()) return {};
    const UniqueFd parent = TRY(parent_of(parts));
    const std::string& name = parts.back();
    if (name.starts_with(whiteout_prefix)) return white_out(parent.get(), name);
    if (entry.type != TarType::folder) TRY(clear(parent.get(), name));
    switch (entry.type) {
      case TarType::folder: TRY(make_folder(parent.get(), name)); break;
      case TarType::file: return make_file(parent.get(), name, entry, reader);
      case TarType::symlink:
        if (::symlinkat(entry.link.c_str(), parent.get(), name.c_str()) != 0) return fail_errno("cannot link", name);
        break;
      case TarType::hard_link: return link(parent.get(), name, entry.link);
      case TarType::fifo:
        if (::mkfifoat(parent.get(), name.c_str(), entry.mode) != 0) return fail_errno("cannot make pipe", name);
        break;
      case TarType::character_device:
      case TarType::block_device: return {};  // images carry /dev entries; a container gets its own
    }
    TRY(set_owner(parent.get(), name, entry));
    if (entry.type == TarType::folder) {
      if (::fchmodat(parent.get(), name.c_str(), entry.mode, 0) != 0) return fail_errno("cannot set the mode of", name);
      folders_.push_back({join(parts, "/"), {entry.seconds, static_cast<long>(entry.nanoseconds)}});
    }
    return {};
  }

  // The folder above, made where it is missing. A link on the way is replaced by what the root makes of it, never followed outside.
  Result<UniqueFd> parent_of(const std::vector<std::string>& parts) {
    std::string path = ".";
    UniqueFd fd = TRY(root_.open_file(path, O_PATH | O_DIRECTORY));
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      path += "/" + parts[i];
      auto next = root_.open_file(path, O_PATH | O_DIRECTORY);
      if (!next && next.error().code == ErrorCode::not_found) {
        if (::mkdirat(fd.get(), parts[i].c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("cannot make folder", path);
        next = root_.open_file(path, O_PATH | O_DIRECTORY);
      }
      fd = TRY(std::move(next));
    }
    return fd;
  }

  Result<> make_folder(int parent, const std::string& name) {
    if (::mkdirat(parent, name.c_str(), 0755) == 0) return {};
    struct stat info{};
    if (errno == EEXIST && ::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) return {};
    TRY(clear(parent, name));
    return ::mkdirat(parent, name.c_str(), 0755) == 0 ? Result<>{} : fail_errno("cannot make folder", name);
  }

  Result<> clear(int parent, const std::string& name) {
    if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail_errno("cannot replace", name);
    return remove_tree(fmt::format("/proc/self/fd/{}/{}", parent, name));
  }

  Result<> make_file(int parent, const std::string& name, const TarEntry& entry, TarReader& reader) {
    const UniqueFd fd(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("cannot create", name);
    for (;;) {
      const std::string piece = TRY(reader.read(1 << 20));
      if (piece.empty()) break;
      TRY(write_all(fd.get(), piece));
    }
    if (options_.owners == Owners::keep && ::fchown(fd.get(), entry.user, entry.group) != 0) return fail_errno("cannot change the owner of", name);
    if (::fchmod(fd.get(), entry.mode) != 0) return fail_errno("cannot set the mode of", name);
    for (const auto& [key, value] : entry.attributes)
      if (key == "security.capability" && options_.owners == Owners::keep && ::fsetxattr(fd.get(), key.c_str(), value.data(), value.size(), 0) != 0)
        return fail_errno("cannot set the capabilities of", name);
    const timespec time{entry.seconds, static_cast<long>(entry.nanoseconds)};
    const timespec times[2] = {time, time};
    ::futimens(fd.get(), times);
    return {};
  }

  Result<> link(int parent, const std::string& name, const std::string& target) {
    const auto parts = TRY(parts_of(target));
    if (parts.empty()) return fail(ErrorCode::invalid, "a hard link to nothing");
    const UniqueFd from = TRY(parent_of(parts));
    if (::linkat(from.get(), parts.back().c_str(), parent, name.c_str(), 0) != 0) return fail_errno("cannot link to", printable(target));
    return {};
  }

  Result<> set_owner(int parent, const std::string& name, const TarEntry& entry) {
    if (options_.owners == Owners::ignore) return {};
    if (::fchownat(parent, name.c_str(), entry.user, entry.group, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("cannot change the owner of", name);
    return {};
  }

  Result<> white_out(int parent, const std::string& name) {
    if (name == opaque_name) {
      if (options_.whiteouts == Whiteouts::apply) return empty_folder(parent);
      const std::string here = fmt::format("/proc/self/fd/{}", parent);
      return ::setxattr(here.c_str(), opaque_attribute, "y", 1, 0) == 0 ? Result<>{} : fail_errno("cannot mark as opaque", name);
    }
    const std::string hidden = name.substr(whiteout_prefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") return fail(ErrorCode::invalid, "a whiteout of no file");
    TRY(clear(parent, hidden));
    if (options_.whiteouts == Whiteouts::apply) return {};
    return ::mknodat(parent, hidden.c_str(), S_IFCHR, makedev(0, 0)) == 0 ? Result<>{} : fail_errno("cannot make the whiteout of", hidden);
  }

  Result<> empty_folder(int folder) {
    const std::string here = fmt::format("/proc/self/fd/{}", folder);
    for (const std::string& name : TRY(list_folder(here))) TRY(clear(folder, name));
    return {};
  }

  const Root& root_;
  const UnpackOptions& options_;
  std::vector<FolderTime> folders_;
};

class Packer final {
 public:
  Packer(const ByteSink& sink, const PackOptions& options) : writer_(sink), options_(options) {}

  Result<> run(const std::string& folder) {
    const UniqueFd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("cannot open", folder);
    TRY(add_children(root.get(), "", 0));
    for (const std::string& path : options_.deleted) {
      const std::string parent = path.find('/') == path.npos ? "" : parent_path(path) + "/";
      TRY(writer_.add({.path = parent + std::string(whiteout_prefix) + base_name(path), .mode = 0600}));
    }
    return writer_.finish();
  }

 private:
  Result<> add_children(int folder, const std::string& prefix, int depth) {
    if (depth > max_depth) return fail(ErrorCode::too_large, prefix + " is nested too deeply");
    for (const std::string& name : TRY(list_folder(fmt::format("/proc/self/fd/{}", folder)))) TRY(add(folder, name, prefix + name, prefix, depth));
    return {};
  }

  Result<> add(int folder, const std::string& name, const std::string& path, const std::string& prefix, int depth) {
    struct stat info{};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("cannot read", path);
    TarEntry entry{.path = path, .mode = static_cast<std::uint32_t>(info.st_mode) & 07777, .user = info.st_uid, .group = info.st_gid,
                   .seconds = info.st_mtim.tv_sec};
    if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) {
      return writer_.add({.path = prefix + std::string(whiteout_prefix) + name, .mode = 0600, .seconds = info.st_mtim.tv_sec});
    }
    if (S_ISDIR(info.st_mode)) return add_folder(folder, name, entry, info, depth);
    if (options_.chosen && !options_.chosen(path, info)) return {};
    if (S_ISLNK(info.st_mode)) {
      entry.type = TarType::symlink;
      entry.link.resize(4096);
      const auto size = ::readlinkat(folder, name.c_str(), entry.link.data(), entry.link.size());
      if (size < 0) return fail_errno("cannot read link", path);
      entry.link.resize(static_cast<std::size_t>(size));
      return writer_.add(entry);
    }
    return S_ISREG(info.st_mode) ? add_file(folder, name, entry, info) : Result<>{};
  }

  Result<> add_folder(int folder, const std::string& name, TarEntry& entry, const struct stat& info, int depth) {
    const UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("cannot open", entry.path);
    entry.type = TarType::folder;
    entry.path += "/";
    if (!options_.chosen || options_.chosen(entry.path, info)) TRY(writer_.add(entry));
    char opaque = 0;
    if (::fgetxattr(fd.get(), opaque_attribute, &opaque, 1) == 1 && opaque == 'y') TRY(writer_.add({.path = entry.path + std::string(opaque_name), .mode = 0600}));
    return add_children(fd.get(), entry.path, depth + 1);
  }

  Result<> add_file(int folder, const std::string& name, TarEntry& entry, const struct stat& info) {
    if (info.st_nlink > 1) {
      const auto [known, is_new] = links_.try_emplace({info.st_dev, info.st_ino}, entry.path);
      if (!is_new) {
        entry.type = TarType::hard_link;
        entry.link = known->second;
        return writer_.add(entry);
      }
    }
    const UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("cannot open", entry.path);
    char capabilities[64];
    if (const auto size = ::fgetxattr(fd.get(), "security.capability", capabilities, sizeof capabilities); size > 0)
      entry.attributes["security.capability"] = std::string(capabilities, static_cast<std::size_t>(size));
    entry.size = static_cast<std::uint64_t>(info.st_size);
    TRY(writer_.add(entry));
    const ByteSource source = source_of(fd.get());
    std::uint64_t left = entry.size;
    while (left > 0) {
      const std::string piece = TRY(source(static_cast<std::size_t>(std::min<std::uint64_t>(left, 1 << 20))));
      if (piece.empty()) return fail(ErrorCode::conflict, entry.path + " became shorter while it was read");
      TRY(writer_.write(piece));
      left -= piece.size();
    }
    return {};
  }

  TarWriter writer_;
  const PackOptions& options_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

ByteSource source_of(int descriptor) {
  return [descriptor](std::size_t at_most) -> Result<std::string> {
    std::string out(std::min<std::size_t>(at_most, 1 << 20), '\0');
    for (;;) {
      const auto got = ::read(descriptor, out.data(), out.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("cannot read", "the archive");
      out.resize(static_cast<std::size_t>(got));
      return out;
    }
  };
}

Result<> unpack(ByteSource archive, const std::string& folder, const UnpackOptions& options) {
  TRY(make_folders(folder));
  const Root root = TRY(Root::open(folder));
  return Unpacker(root, options).run(std::move(archive));
}

Result<> pack(const std::string& folder, const ByteSink& sink, const PackOptions& options) { return Packer(sink, options).run(folder); }

}  // namespace slipway::store
