// SPDX-License-Identifier: Apache-2.0
// Files that COPY takes from: a build context (a tar that stays packed) or the root folder of a stage or image.
//
// Paths are relative and clean ("usr/bin/x"); "" is the root. A tree does not change while it is read.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "ci/dockerfile/ignore.h"
#include "store/blobs.h"
#include "store/tar.h"

namespace slipway::cluster {

struct TreeEntry {
  store::TarType type = store::TarType::folder;
  std::uint32_t mode = 0755, user = 0, group = 0;
  std::int64_t seconds = 0;
  std::uint64_t size = 0;
  std::string link;
  std::map<std::string, std::string> attributes;
};

class Tree {
 public:
  virtual ~Tree() = default;
  // The entry itself, links not followed; not_found.
  virtual Result<TreeEntry> look(const std::string& path) const = 0;
  // Where the path leads when every link is followed inside the tree; not_found.
  virtual Result<std::string> resolve(const std::string& path) const = 0;
  virtual Result<std::vector<std::string>> children(const std::string& folder) const = 0;  // names, sorted
  virtual Result<std::string> digest(const std::string& file) const = 0;                  // of the content, 64 hex digits
  virtual Result<> read(const std::string& file, const store::ByteSink& sink) const = 0;
};

// The context: read in place from its blob, without what .dockerignore leaves out. Everything belongs to root, as
// `docker build` sends it.
class ContextTree final : public Tree {
 public:
  static Result<std::unique_ptr<ContextTree>> open(const store::BlobStore& blobs, const store::Digest& digest);
  // A part of it as a tree of its own.
  Result<std::unique_ptr<ContextTree>> below(const std::string& folder) const;
  void leave_out(const dockerfile::IgnoreRules& rules);

  Result<TreeEntry> look(const std::string& path) const override;
  Result<std::string> resolve(const std::string& path) const override;
  Result<std::vector<std::string>> children(const std::string& folder) const override;
  Result<std::string> digest(const std::string& file) const override;
  Result<> read(const std::string& file, const store::ByteSink& sink) const override;
  Result<std::string> text(const std::string& file, std::size_t limit) const;  // links are followed
  // Two trees of the same identity hold the same files.
  const std::string& identity() const { return identity_; }

 private:
  struct Node {
    TreeEntry entry;
    std::uint64_t offset = 0;
    std::set<std::string> children;
    mutable std::string digest;
  };
  Result<> index();
  Result<> add(const store::TarEntry& entry, std::uint64_t offset);
  Node& folder_at(const std::string& path);
  Result<const Node*> find(const std::string& path) const;

  std::string identity_;
  std::shared_ptr<store::BlobReader> blob_;
  std::map<std::string, Node> nodes_;
  mutable std::mutex mutex_;  // of the digests
};

// A folder of this machine, for instance a mounted root.
class FolderTree final : public Tree {
 public:
  static Result<std::unique_ptr<FolderTree>> open(const std::string& folder);
  Result<TreeEntry> look(const std::string& path) const override;
  Result<std::string> resolve(const std::string& path) const override;
  Result<std::vector<std::string>> children(const std::string& folder) const override;
  Result<std::string> digest(const std::string& file) const override;
  Result<> read(const std::string& file, const store::ByteSink& sink) const override;

 private:
  explicit FolderTree(Root root) : root_(std::move(root)) {}
  Root root_;
};

struct Match {
  std::string name;  // what it is called, also where that is a link
  std::string path;  // where it is, links followed
};
// What a source of COPY means: itself, or what its globs fit. not_found.
Result<std::vector<Match>> matches_of(const Tree& tree, const std::string& source);

// Where a path of a new file stands: links of its existing part are followed, the rest is taken as it is.
std::string resolve_new(const Tree& tree, const std::string& path);
std::string parent_in_tree(const std::string& path);
std::string join_in_tree(const std::string& folder, std::string_view name);

}  // namespace slipway::cluster
