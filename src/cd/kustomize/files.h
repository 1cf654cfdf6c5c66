// SPDX-License-Identifier: Apache-2.0
// Where a build reads from: a folder tree, on disk or in memory, and what of it a kustomization may reach.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slipway::cd::kustomize {

inline constexpr std::size_t max_file_size = 64 * 1024 * 1024;  // as an object store's upload; a file of a build

class FileTree {
 public:
  virtual ~FileTree() = default;
  // The path without links, "." and ".."; an error where nothing is there.
  virtual Result<std::string> resolve(const std::string& path) const = 0;
  virtual bool is_folder(const std::string& path) const = 0;
  virtual Result<std::string> read(const std::string& resolved) const = 0;  // follows no links
};

// Nothing outside of `boundary` is read, whatever links and ".." say; "/" is no boundary.
class DiskTree final : public FileTree {
 public:
  explicit DiskTree(std::string boundary = "/") : boundary_(std::move(boundary)) {}
  Result<std::string> resolve(const std::string& path) const override;
  bool is_folder(const std::string& path) const override;
  Result<std::string> read(const std::string& resolved) const override;

 private:
  const std::string boundary_;
};

class MemoryTree final : public FileTree {
 public:
  explicit MemoryTree(std::map<std::string, std::string> files) : files_(std::move(files)) {}  // "/app/kustomization.yaml"
  Result<std::string> resolve(const std::string& path) const override;
  bool is_folder(const std::string& path) const override;
  Result<std::string> read(const std::string& resolved) const override;

 private:
  const std::map<std::string, std::string> files_;
};

std::string clean_path(std::string_view path);  // "a//b/../c" is "a/c"
bool is_in_or_below(std::string_view path, std::string_view folder);

enum class Restriction { root_only, none };

// What one kustomization sees: files in or below its folder, and folders anywhere that are not its own ancestors.
class Loader final {
 public:
  Loader(const FileTree& tree, std::string root, Restriction restriction, const Loader* referrer)
      : tree_(tree), root_(std::move(root)), restriction_(restriction), referrer_(referrer) {}
  static Result<Loader> open(const FileTree& tree, const std::string& folder, Restriction restriction);
  const std::string& root() const { return root_; }
  Result<std::string> load(const std::string& path) const;
  Result<Loader> enter(const std::string& path) const;  // refuses cycles; a remote base is an error that names it
  std::size_t depth() const { return referrer_ == nullptr ? 0 : referrer_->depth() + 1; }

 private:
  const FileTree& tree_;
  std::string root_;
  Restriction restriction_;
  const Loader* referrer_;
};

bool is_remote(std::string_view path);  // a Git repository or an HTTP address, by kustomize's conventions

}  // namespace slipway::cd::kustomize
