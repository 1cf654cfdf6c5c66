// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::cd::kustomize {
namespace {

constexpr std::size_t max_depth = 100;  // of kustomizations that include one another

// A segment such as "..base": more likely a slip than a name.
bool has_ambiguous_segment(std::string_view path) {
  for (const auto part : split(path, '/'))
    if (part != "." && part != ".." && part.find("..") != part.npos) return true;
  return false;
}

}  // namespace

std::string clean_path(std::string_view path) {
  const bool absolute = path.starts_with('/');
  std::vector<std::string_view> out;
  for (const auto part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." && !out.empty() && out.back() != "..") out.pop_back();
    else if (part != ".." || !absolute) out.push_back(part);
  }
  std::string text = absolute ? "/" : "";
  for (std::size_t i = 0; i < out.size(); ++i) (text += i > 0 ? "/" : "") += out[i];
  return text.empty() ? "." : text;
}

bool is_in_or_below(std::string_view path, std::string_view folder) {
  return folder == "/" || path == folder || (path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/');
}

Result<std::string> DiskTree::resolve(const std::string& path) const {
  if (path.find('\0') != path.npos) return fail(ErrorCode::invalid, "a path with a NUL");
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) return fail(ErrorCode::not_found, fmt::format("lstat {}: {}", path, errno == ENOENT ? "no such file or directory" : std::strerror(errno)));
  std::string out = real.get();
  if (!is_in_or_below(out, boundary_)) return fail(ErrorCode::forbidden, fmt::format("security; '{}' is not in or below '{}'", path, boundary_));
  return out;
}

bool DiskTree::is_folder(const std::string& path) const { return slipway::is_folder(path); }

Result<std::string> DiskTree::read(const std::string& resolved) const {
  struct stat status {};
  if (::lstat(resolved.c_str(), &status) != 0) return fail(ErrorCode::not_found, fmt::format("open {}: no such file or directory", resolved));
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::invalid, fmt::format("'{}' is not a file", resolved));
  const Root root = TRY(Root::open(boundary_));
  const std::string below = resolved.substr(boundary_ == "/" ? 1 : boundary_.size() + 1);
  return root.read(below, max_file_size, Root::Links::refuse);
}

Result<std::string> MemoryTree::resolve(const std::string& path) const {
  std::string clean = clean_path(path);
  if (files_.contains(clean) || is_folder(clean)) return clean;
  return fail(ErrorCode::not_found, fmt::format("lstat {}: no such file or directory", clean));
}

bool MemoryTree::is_folder(const std::string& path) const {
  const std::string prefix = path == "/" ? "/" : path + "/";
  const auto found = files_.lower_bound(prefix);
  return found != files_.end() && found->first.starts_with(prefix);
}

Result<std::string> MemoryTree::read(const std::string& resolved) const {
  const auto found = files_.find(resolved);
  if (found == files_.end()) return fail(ErrorCode::not_found, fmt::format("open {}: no such file or directory", resolved));
  return found->second;
}

bool is_remote(std::string_view path) {
  for (const std::string_view mark : {"://", "git::", "git@", "_git/"})
    if (path.find(mark) != path.npos) return true;
  const std::string_view host = path.substr(0, path.find('/'));
  return host == "github.com" || host == "gitlab.com" || host == "bitbucket.org" || path.find(".git?") != path.npos || path.ends_with(".git") ||
         path.find(".git/") != path.npos || path.find(".git//") != path.npos;
}

Result<Loader> Loader::open(const FileTree& tree, const std::string& folder, Restriction restriction) {
  auto root = tree.resolve(folder);
  if (!root) return fail(root.error().code, fmt::format("must build at directory: not a valid directory: evalsymlink failure on '{}' : {}", folder, root.error().message));
  if (!tree.is_folder(*root)) return fail(ErrorCode::invalid, fmt::format("must build at directory: not a valid directory: '{}' must be a directory so that it can used as a build root", folder));
  return Loader(tree, *root, restriction, nullptr);
}

Result<std::string> Loader::load(const std::string& path) const {
  if (path.starts_with("http://") || path.starts_with("https://"))
    return fail(ErrorCode::unavailable, fmt::format("Needs{{ref}}: '{}' is remote; a build reads local files only", path));
  const std::string full = path.starts_with('/') ? clean_path(path) : clean_path(root_ + "/" + path);
  auto resolved = tree_.resolve(full);
  if (!resolved) return fail(resolved.error().code, restriction_ == Restriction::root_only && resolved.error().code != ErrorCode::not_found ? resolved.error().message
                                                     : restriction_ == Restriction::root_only ? fmt::format("evalsymlink failure on '{}' : {}", full, resolved.error().message)
                                                                                              : fmt::format("open {}: no such file or directory", full));
  if (tree_.is_folder(*resolved))
    return fail(ErrorCode::invalid, restriction_ == Restriction::root_only ? fmt::format("'{}' must resolve to a file", full) : fmt::format("read {}: is a directory", full));
  const std::string folder = resolved->substr(0, std::max<std::size_t>(resolved->rfind('/'), 1));
  if (restriction_ == Restriction::root_only && !is_in_or_below(folder, root_))
    return fail(ErrorCode::forbidden, fmt::format("security; file '{}' is not in or below '{}'", full, root_));
  return tree_.read(*resolved);
}

Result<Loader> Loader::enter(const std::string& path) const {
  if (path.empty()) return fail(ErrorCode::invalid, "new root cannot be empty");
  if (is_remote(path)) return fail(ErrorCode::unavailable, fmt::format("Needs{{ref}}: remote base '{}' has to be fetched first; a build reads local folders only", path));
  if (path.starts_with('/')) return fail(ErrorCode::invalid, fmt::format("new root '{}' cannot be absolute", path));
  if (has_ambiguous_segment(path))
    return fail(ErrorCode::invalid, fmt::format("path \"{}\" is ambiguous: resolves to \"{}\" after normalization, which is likely not the intended target; check for YAML "
                                                "indentation errors in your kustomization file", path, clean_path(path)));
  const std::string full = clean_path(root_ + "/" + path);
  auto resolved = tree_.resolve(full);
  if (!resolved) return fail(resolved.error().code, fmt::format("must build at directory: not a valid directory: evalsymlink failure on '{}' : {}", full, resolved.error().message));
  if (!tree_.is_folder(*resolved)) return fail(ErrorCode::invalid, fmt::format("must build at directory: '{}': file is not directory", full));
  for (const Loader* one = this; one != nullptr; one = one->referrer_)
    if (is_in_or_below(one->root_, *resolved))
      return fail(ErrorCode::invalid, fmt::format("cycle detected: candidate root '{}' contains visited root '{}'", *resolved, one->root_));
  if (depth() + 1 > max_depth) return fail(ErrorCode::too_large, fmt::format("kustomizations that include one another more than {} levels deep", max_depth));
  return Loader(tree_, *resolved, restriction_, this);
}

}  // namespace slipway::cd::kustomize
