// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"

namespace slipway::cluster {
namespace {

constexpr std::size_t header_piece = 512;
constexpr std::size_t content_piece = 1 << 20;
constexpr int max_links = 40;
constexpr const char* capability_attribute = "security.capability";

// "./a//b/" -> "a/b"; ".." is refused.
Result<std::string> clean(std::string_view path) {
  std::vector<std::string> parts;
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorCode::invalid, fmt::format("the context names a path outside: {}", printable(path)));
    parts.emplace_back(part);
  }
  return join(parts, "/");
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, slash);
}

std::string joined(const std::string& folder, std::string_view name) { return folder.empty() ? std::string(name) : folder + "/" + std::string(name); }

std::unexpected<Error> missing(std::string_view path) { return fail(ErrorCode::not_found, fmt::format("\"/{}\": not found", printable(path))); }

}  // namespace

// ---- the context

Result<std::unique_ptr<ContextTree>> ContextTree::open(const store::BlobStore& blobs, const store::Digest& digest) {
  std::unique_ptr<ContextTree> out(new ContextTree());
  out->blob_ = TRY(blobs.open(digest));
  out->identity_ = digest.value;
  TRY(at(out->index(), "the context " + digest.value));
  return out;
}

// The reader is given one header's block at a time, so that its place in the blob is known; contents are passed over
// without a look.
Result<> ContextTree::index() {
  nodes_[""] = Node{};
  std::uint64_t place = 0, content_end = 0;
  const store::ByteSource source = [&](std::size_t at_most) -> Result<std::string> {
    if (place >= blob_->size()) return std::string();
    if (place < content_end) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>({content_end - place, at_most, blob_->size() - place}));
      place += size;
      return std::string(size, '\0');
    }
    std::string piece = TRY(blob_->read_at(place, header_piece));
    place += piece.size();
    return piece;
  };
  store::TarReader reader(source);
  while (const auto entry = TRY(reader.next())) {
    content_end = place + (entry->size + header_piece - 1) / header_piece * header_piece;  // with its padding
    TRY(add(*entry, place));
  }
  return {};
}

Result<> ContextTree::add(const store::TarEntry& entry, std::uint64_t offset) {
  const std::string path = TRY(clean(entry.path));
  if (path.empty()) return {};
  if (entry.type == store::TarType::character_device || entry.type == store::TarType::block_device) return {};
  Node node{{entry.type, entry.mode, 0, 0, entry.seconds, entry.size, entry.link, {}}, offset, {}, {}};
  if (entry.type == store::TarType::hard_link) {
    const auto other = nodes_.find(TRY(clean(entry.link)));
    if (other == nodes_.end()) return fail(ErrorCode::invalid, fmt::format("{} is a hard link to what is not there", printable(path)));
    node.entry = other->second.entry;
    node.offset = other->second.offset;
  }
  folder_at(parent_of(path)).children.insert(base_name(path));
  Node& here = nodes_[path];
  if (node.entry.type == store::TarType::folder && here.entry.type == store::TarType::folder) node.children = std::move(here.children);
  here = std::move(node);
  return {};
}

// With the folders above it, where the archive did not name them.
ContextTree::Node& ContextTree::folder_at(const std::string& path) {
  if (const auto found = nodes_.find(path); found != nodes_.end() && found->second.entry.type == store::TarType::folder) return found->second;
  folder_at(parent_of(path)).children.insert(base_name(path));
  return nodes_[path] = Node{};
}

Result<std::unique_ptr<ContextTree>> ContextTree::below(const std::string& folder) const {
  const std::string top = TRY(resolve(folder));
  if (TRY(find(top))->entry.type != store::TarType::folder) return fail(ErrorCode::invalid, fmt::format("{} is not a folder", printable(folder)));
  std::unique_ptr<ContextTree> out(new ContextTree());
  out->blob_ = blob_;
  out->identity_ = fmt::format("{} below {}:{}", identity_, top.size(), top);
  const std::string prefix = top.empty() ? "" : top + "/";
  out->nodes_[""] = nodes_.at(top);
  for (auto it = nodes_.lower_bound(prefix); it != nodes_.end() && it->first.starts_with(prefix); ++it)
    if (it->first.size() > prefix.size()) out->nodes_[it->first.substr(prefix.size())] = it->second;
  return out;
}

void ContextTree::leave_out(const dockerfile::IgnoreRules& rules) {
  if (rules.empty()) return;
  identity_ += " without " + sha256_hex(rules.text());
  std::set<std::string> kept{""};
  for (const auto& [path, node] : nodes_) {
    if (path.empty() || rules.ignores(path)) continue;
    for (std::string up = path; kept.insert(up).second;) up = parent_of(up);
  }
  std::erase_if(nodes_, [&](const auto& item) { return !kept.contains(item.first); });
  for (auto& [path, node] : nodes_) std::erase_if(node.children, [&](const std::string& name) { return !kept.contains(joined(path, name)); });
}

Result<const ContextTree::Node*> ContextTree::find(const std::string& path) const {
  const auto found = nodes_.find(path);
  if (found == nodes_.end()) return missing(path);
  return &found->second;
}

Result<TreeEntry> ContextTree::look(const std::string& path) const { return TRY(find(path))->entry; }

Result<std::string> ContextTree::resolve(const std::string& path) const {
  std::vector<std::string> todo;
  const auto push = [&](std::string_view text) {
    const auto parts = split(text, '/');
    for (auto it = parts.rbegin(); it != parts.rend(); ++it) todo.emplace_back(*it);
  };
  push(path);
  std::string here;
  for (int links = 0; !todo.empty();) {
    const std::string part = std::move(todo.back());
    todo.pop_back();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      here = parent_of(here);
      continue;
    }
    const std::string next = joined(here, part);
    const auto found = nodes_.find(next);
    if (found == nodes_.end()) return missing(path);
    const TreeEntry& entry = found->second.entry;
    if (entry.type != store::TarType::symlink) {
      here = next;
      continue;
    }
    if (++links > max_links) return fail(ErrorCode::invalid, fmt::format("too many links on the way to {}", printable(path)));
    if (entry.link.starts_with('/')) here.clear();
    push(entry.link);
  }
  return here;
}

Result<std::vector<std::string>> ContextTree::children(const std::string& folder) const {
  const auto& names = TRY(find(folder))->children;
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::string> ContextTree::digest(const std::string& file) const {
  const Node* node = TRY(find(file));
  {
    const std::lock_guard lock(mutex_);
    if (!node->digest.empty()) return node->digest;
  }
  Sha256 hash;
  TRY(read(file, [&](std::string_view bytes) -> Result<> { return hash.update(bytes), Result<>{}; }));
  std::string hex = to_hex(hash.finish());
  const std::lock_guard lock(mutex_);
  return node->digest = std::move(hex);
}

Result<> ContextTree::read(const std::string& file, const store::ByteSink& sink) const {
  const Node* node = TRY(find(file));
  std::string buffer(static_cast<std::size_t>(std::min<std::uint64_t>(node->entry.size, content_piece)), '\0');
  for (std::uint64_t done = 0; done < node->entry.size;) {
    const auto want = std::min<std::uint64_t>(node->entry.size - done, buffer.size());
    const auto got = ::pread(blob_->descriptor(), buffer.data(), want, static_cast<off_t>(node->offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail_errno("cannot read the context's", file);
    TRY(sink({buffer.data(), static_cast<std::size_t>(got)}));
    done += static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<std::string> ContextTree::text(const std::string& file, std::size_t limit) const {
  const std::string path = TRY(resolve(file));
  const Node* node = TRY(find(path));
  if (node->entry.type != store::TarType::file) return fail(ErrorCode::invalid, fmt::format("{} is not a file", printable(file)));
  if (node->entry.size > limit) return fail(ErrorCode::too_large, fmt::format("{} has more than {} bytes", printable(file), limit));
  std::string out;
  TRY(read(path, [&](std::string_view bytes) -> Result<> { return out += bytes, Result<>{}; }));
  return out;
}

// ---- a folder

Result<std::unique_ptr<FolderTree>> FolderTree::open(const std::string& folder) { return std::unique_ptr<FolderTree>(new FolderTree(TRY(Root::open(folder)))); }

Result<TreeEntry> FolderTree::look(const std::string& path) const {
  const std::string parent = parent_of(path);
  const UniqueFd folder = TRY(root_.open_file(parent.empty() ? "." : parent, O_PATH | O_DIRECTORY));
  const std::string name = path.empty() ? "." : base_name(path);
  struct stat info{};
  if (::fstatat(folder.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? Result<TreeEntry>(missing(path)) : fail_errno("cannot read", path);
  TreeEntry out{store::TarType::folder, static_cast<std::uint32_t>(info.st_mode) & 07777, info.st_uid, info.st_gid, info.st_mtim.tv_sec, 0, {}, {}};
  if (S_ISLNK(info.st_mode)) {
    char target[PATH_MAX];
    const auto size = ::readlinkat(folder.get(), name.c_str(), target, sizeof target);
    if (size < 0) return fail_errno("cannot read link", path);
    out.type = store::TarType::symlink;
    out.link.assign(target, static_cast<std::size_t>(size));
  } else if (S_ISREG(info.st_mode)) {
    out.type = store::TarType::file;
    out.size = static_cast<std::uint64_t>(info.st_size);
    char value[64];
    const std::string file = fmt::format("/proc/self/fd/{}/{}", folder.get(), name);
    if (const auto size = ::lgetxattr(file.c_str(), capability_attribute, value, sizeof value); size > 0)
      out.attributes[capability_attribute] = std::string(value, static_cast<std::size_t>(size));
  } else if (S_ISFIFO(info.st_mode)) {
    out.type = store::TarType::fifo;
  } else if (!S_ISDIR(info.st_mode)) {
    out.type = S_ISBLK(info.st_mode) ? store::TarType::block_device : store::TarType::character_device;  // sockets too: left out
  }
  return out;
}

Result<std::string> FolderTree::resolve(const std::string& path) const {
  auto fd = root_.open_file(path.empty() ? "." : path, O_PATH);
  if (!fd) return fd.error().code == ErrorCode::not_found ? Result<std::string>(missing(path)) : std::unexpected(fd.error());
  const auto name_of = [](int descriptor) {
    char target[PATH_MAX];
    const auto size = ::readlink(fmt::format("/proc/self/fd/{}", descriptor).c_str(), target, sizeof target);
    return std::string(target, size > 0 ? static_cast<std::size_t>(size) : 0);
  };
  const std::string root = name_of(root_.descriptor()), found = name_of(fd->get());
  if (found == root) return std::string();
  if (!found.starts_with(root + "/")) return fail(ErrorCode::internal, fmt::format("{} leads to {}", printable(path), printable(found)));
  return found.substr(root.size() + 1);
}

Result<std::vector<std::string>> FolderTree::children(const std::string& folder) const {
  const UniqueFd fd = TRY(root_.open_file(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return list_folder(fmt::format("/proc/self/fd/{}", fd.get()));
}

Result<std::string> FolderTree::digest(const std::string& file) const {
  Sha256 hash;
  TRY(read(file, [&](std::string_view bytes) -> Result<> { return hash.update(bytes), Result<>{}; }));
  return to_hex(hash.finish());
}

Result<> FolderTree::read(const std::string& file, const store::ByteSink& sink) const {
  const UniqueFd fd = TRY(root_.open_file(file, O_RDONLY | O_NOFOLLOW));
  std::string buffer(content_piece, '\0');
  for (;;) {
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("cannot read", file);
    if (got == 0) return {};
    TRY(sink({buffer.data(), static_cast<std::size_t>(got)}));
  }
}

// ---- sources

std::string parent_in_tree(const std::string& path) { return parent_of(path); }
std::string join_in_tree(const std::string& folder, std::string_view name) { return joined(folder, name); }

std::string resolve_new(const Tree& tree, const std::string& path) {
  if (path.empty()) return path;
  if (const auto found = tree.resolve(path)) return *found;
  return joined(resolve_new(tree, parent_of(path)), base_name(path));
}

Result<std::vector<Match>> matches_of(const Tree& tree, const std::string& source) {
  // ".." cannot lead out: it is taken away at the top.
  const std::string path = dockerfile::clean_path("/" + source).substr(1);
  if (!dockerfile::is_glob(path)) return std::vector<Match>{{base_name(path), TRY(tree.resolve(path))}};
  std::vector<std::string> found{""};
  for (const auto part : split(path, '/')) {
    std::vector<std::string> next;
    for (const std::string& folder : found) {
      const auto real = tree.resolve(folder);
      if (!real || TRY(tree.look(*real)).type != store::TarType::folder) continue;
      for (const std::string& name : TRY(tree.children(*real)))
        if (TRY(dockerfile::glob_matches(part, name))) next.push_back(joined(*real, name));
    }
    found = std::move(next);
  }
  if (found.empty()) return fail(ErrorCode::not_found, fmt::format("no source files were found for {}", printable(source)));
  std::vector<Match> out;
  for (const std::string& one : found) out.push_back({base_name(one), TRY(tree.resolve(one))});
  return out;
}

}  // namespace slipway::cluster
