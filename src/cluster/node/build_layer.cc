// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_layer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"
#include "oci/compress.h"
#include "sandbox/user.h"

namespace slipway::cluster {
namespace {

using store::TarType;

constexpr std::size_t write_buffer = 1 << 20;
constexpr std::size_t max_files = 1'000'000;

Result<> walk(const Tree& tree, const std::string& path, const std::string& relative, std::vector<CopiedFile>& out) {
  TreeEntry entry = TRY(tree.look(path));
  if (entry.type == TarType::character_device || entry.type == TarType::block_device) return {};
  const bool folder = entry.type == TarType::folder;
  if (out.size() >= max_files) return fail(ErrorCode::too_large, fmt::format("more than {} files are copied", max_files));
  out.push_back({relative, path, std::move(entry)});
  if (!folder) return {};
  for (const std::string& name : TRY(tree.children(path))) TRY(walk(tree, join_in_tree(path, name), join_in_tree(relative, name), out));
  return {};
}

void put(Sha256& hash, std::string_view text) { hash.update(fmt::format("{}:{},", text.size(), text)); }

// One parent image, one set of sources, one destination.
class Placer final {
 public:
  Placer(const Tree& root, const dockerfile::Copy& copy, const std::optional<Owner>& owner) : root_(root), copy_(copy), owner_(owner) {}

  Result<LayerEntries> run(const std::vector<CopySource>& sources) {
    target_ = resolve_new(root_, copy_.destination.substr(1, copy_.destination.size() - 1 - (copy_.destination.size() > 1 && copy_.destination.ends_with('/'))));
    for (const CopySource& source : sources) TRY(add(source));
    TRY(add_parents());
    return std::move(out_);
  }

 private:
  const TreeEntry* existing(const std::string& path) {
    auto [found, is_new] = seen_.try_emplace(path);
    if (is_new) {
      // What has no folder above it is not there: no look at every file of a new tree.
      const TreeEntry* parent = path.empty() ? nullptr : existing(parent_in_tree(path));
      if (path.empty() || (parent && parent->type == TarType::folder))
        if (auto entry = root_.look(path)) seen_[path] = std::move(*entry);
    }
    const auto& entry = seen_[path];
    return entry ? &*entry : nullptr;
  }

  Result<> add(const CopySource& source) {
    const TreeEntry* there = existing(target_);
    const bool is_folder = there && there->type == TarType::folder;
    if (source.files.empty()) return {};
    if (source.files[0].entry.type == TarType::folder) {
      if (there && !is_folder) return fail(ErrorCode::invalid, fmt::format("cannot copy to non-directory: /{}", target_));
      for (const CopiedFile& file : source.files) {
        // The folder that is there keeps its owner and mode, those below it take the source's.
        if (file.path.empty() && is_folder) continue;
        TRY(add_file(source, file, file.path.empty() ? target_ : join_in_tree(target_, file.path)));
      }
      return {};
    }
    const bool into = is_folder || copy_.destination.ends_with('/');
    if (there && !is_folder && copy_.destination.ends_with('/')) return fail(ErrorCode::invalid, fmt::format("/{} is not a directory", target_));
    return add_file(source, source.files[0], into ? join_in_tree(target_, source.name) : target_);
  }

  Result<> add_file(const CopySource& source, const CopiedFile& file, const std::string& path) {
    if (path.empty()) return {};
    const bool folder = file.entry.type == TarType::folder;
    const TreeEntry* there = existing(path);
    if (there && folder && there->type != TarType::folder) return fail(ErrorCode::invalid, fmt::format("cannot copy to non-directory: /{}", path));
    if (there && !folder && there->type == TarType::folder) return fail(ErrorCode::invalid, fmt::format("cannot replace the directory /{} with a file", path));
    LayerEntry entry{file.entry, source.tree, file.from, source.text};
    if (owner_) entry.entry.user = owner_->user, entry.entry.group = owner_->group;
    if (copy_.mode && file.entry.type != TarType::symlink) entry.entry.mode = *copy_.mode;
    newest_ = std::max(newest_, file.entry.seconds);
    out_[path] = std::move(entry);
    return {};
  }

  // A layer says of every folder on the way what the image below says, else it would hide that.
  Result<> add_parents() {
    std::vector<std::string> paths;
    for (const auto& [path, entry] : out_) paths.push_back(path);
    for (std::string path : paths)
      for (path = parent_in_tree(path); !path.empty() && !out_.contains(path); path = parent_in_tree(path)) {
        const TreeEntry* there = existing(path);
        if (there && there->type != TarType::folder) return fail(ErrorCode::invalid, fmt::format("/{} is not a directory", path));
        LayerEntry entry;
        if (there) {
          entry.entry = *there;
        } else {
          entry.entry.seconds = newest_;
          if (owner_) entry.entry.user = owner_->user, entry.entry.group = owner_->group;
        }
        out_[path] = std::move(entry);
      }
    return {};
  }

  const Tree& root_;
  const dockerfile::Copy& copy_;
  const std::optional<Owner>& owner_;
  std::string target_;
  std::map<std::string, std::optional<TreeEntry>> seen_;
  std::int64_t newest_ = 0;
  LayerEntries out_;
};

}  // namespace

Result<std::vector<CopySource>> find_sources(const dockerfile::Copy& copy, const Tree& tree) {
  std::vector<CopySource> out;
  for (const std::string& text : copy.sources)
    for (const Match& match : TRY(matches_of(tree, text))) {
      CopySource source{match.name, &tree, {}, {}};
      TRY(walk(tree, match.path, "", source.files));
      out.push_back(std::move(source));
    }
  for (const auto& [name, content] : copy.inline_files) {
    TreeEntry entry{TarType::file, 0644, 0, 0, 0, content.size(), {}, {}};
    out.push_back({name, nullptr, content, {{"", "", entry}}});
  }
  if (out.size() > 1 && !copy.destination.ends_with('/'))
    return fail(ErrorCode::invalid, "with more than one source file, the destination must be a directory and end with a /");
  return out;
}

Result<std::string> digest_of(const std::vector<CopySource>& sources) {
  Sha256 hash;
  for (const CopySource& source : sources) {
    put(hash, source.name);
    for (const CopiedFile& file : source.files) {
      const TreeEntry& entry = file.entry;
      put(hash, file.path);
      hash.update(fmt::format("{},{:o},{},{},", static_cast<int>(entry.type), entry.mode, entry.user, entry.group));
      put(hash, entry.link);
      for (const auto& [name, value] : entry.attributes) put(hash, name + "=" + value);
      if (entry.type == TarType::file) put(hash, source.tree ? TRY(source.tree->digest(file.from)) : sha256_hex(source.text));
    }
    hash.update(";");
  }
  return to_hex(hash.finish());
}

Result<LayerEntries> place_files(const dockerfile::Copy& copy, const std::vector<CopySource>& sources, const Tree& root, const std::optional<Owner>& owner) {
  return Placer(root, copy, owner).run(sources);
}

Result<LayerEntries> place_folder(const std::string& path, const Tree& root, const std::optional<Owner>& owner) {
  const std::string target = resolve_new(root, path.substr(1));
  if (target.empty()) return LayerEntries{};
  if (const auto there = root.look(target)) return there->type == TarType::folder ? Result<LayerEntries>(LayerEntries{}) : fail(ErrorCode::invalid, fmt::format("/{} is not a directory", target));
  const dockerfile::Copy into{.destination = "/" + target};
  CopySource folder{"", &root, {}, {{"", "", TreeEntry{}}}};
  return place_files(into, {folder}, root, owner);
}

Result<oci::Descriptor> write_layer(store::BlobStore& blobs, const LayerEntries& entries) {
  const auto blob = TRY(blobs.create());
  std::string buffer;
  buffer.reserve(2 * write_buffer);
  store::TarWriter tar([&](std::string_view bytes) -> Result<> {
    if (bytes.size() >= write_buffer && buffer.empty()) return blob->write(bytes);
    buffer += bytes;
    if (buffer.size() < write_buffer) return {};
    TRY(blob->write(buffer));
    buffer.clear();
    return {};
  });
  for (const auto& [path, one] : entries) {
    const TreeEntry& e = one.entry;
    const bool file = e.type == TarType::file;
    TRY(tar.add({.path = e.type == TarType::folder ? path + "/" : path, .type = e.type, .link = e.link, .mode = e.mode, .user = e.user, .group = e.group,
                 .size = file ? e.size : 0, .seconds = e.seconds, .attributes = e.attributes}));
    if (!file) continue;
    if (!one.tree) {
      TRY(tar.write(one.text));
      continue;
    }
    std::uint64_t size = 0;
    TRY(one.tree->read(one.from, [&](std::string_view bytes) {
      size += bytes.size();
      return tar.write(bytes);
    }));
    if (size != e.size) return fail(ErrorCode::conflict, fmt::format("{} changed while it was copied", one.from));
  }
  TRY(tar.finish());
  TRY(blob->write(buffer));
  const std::uint64_t size = blob->size();
  return oci::Descriptor{oci::media::layer_tar, TRY(blob->commit()), size};
}

Result<Owner> parse_owner(const std::string& text, const std::string& root_folder) {
  const auto resolved = TRY(sandbox::resolve_user_in(root_folder, text));
  Owner out{resolved.user, resolved.group};
  if (text.find(':') == text.npos && parse_int(text)) out.group = out.user;
  return out;
}

Result<bool> is_archive(const Tree& tree, const std::string& file, const TreeEntry& entry) {
  if (entry.type != TarType::file || entry.size == 0) return false;
  std::string head;
  constexpr std::size_t enough = 1 << 20;
  (void)tree.read(file, [&](std::string_view bytes) -> Result<> {
    head += bytes.substr(0, enough - head.size());
    return head.size() < enough ? Result<>{} : fail(ErrorCode::internal, "enough");
  });
  if (head.starts_with("BZh") || head.starts_with(std::string_view("\xfd" "7zXZ\0", 6)))
    return fail(ErrorCode::invalid, fmt::format("ADD unpacks tar, gzip and zstd; {} is compressed with {}", file, head.starts_with("BZh") ? "bzip2" : "xz"));
  std::size_t at = 0;
  const auto source = oci::decompressed([&](std::size_t at_most) -> Result<std::string> {
    const std::string piece = head.substr(std::min(at, head.size()), at_most);
    at += piece.size();
    return piece;
  });
  store::TarReader reader(source);
  const auto first = reader.next();
  return first && *first;
}

Result<> materialise(const Tree& tree, const std::string& path, const std::string& target) {
  const TreeEntry entry = TRY(tree.look(path));
  switch (entry.type) {
    case TarType::folder:
      if (::mkdir(target.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("cannot make folder", target);
      for (const std::string& name : TRY(tree.children(path))) TRY(materialise(tree, join_in_tree(path, name), target + "/" + name));
      break;
    case TarType::file: {
      const UniqueFd out(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
      if (!out) return fail_errno("cannot create", target);
      TRY(tree.read(path, [&](std::string_view bytes) { return write_all(out.get(), bytes); }));
      break;
    }
    case TarType::symlink: return ::symlink(entry.link.c_str(), target.c_str()) == 0 ? Result<>{} : fail_errno("cannot link", target);
    default: return {};
  }
  if (::chown(target.c_str(), entry.user, entry.group) != 0 || ::chmod(target.c_str(), entry.mode) != 0) return fail_errno("cannot set the mode of", target);
  return {};
}

}  // namespace slipway::cluster
