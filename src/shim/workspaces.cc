// SPDX-License-Identifier: Apache-2.0
#include "shim/workspaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/files.h"
#include "base/strings.h"
#include "store/unpack.h"

namespace slipway::shim {
namespace {

using text::Json;

constexpr std::size_t max_entries = 1'000'000;
constexpr std::size_t max_depth = 200;

// Tells two states of a file apart: any write, chmod or replacement changes the inode's change time or the inode.
std::string stamp_of(const struct stat& info) { return fmt::format("{}.{}.{}.{}", info.st_ctim.tv_sec, info.st_ctim.tv_nsec, info.st_size, info.st_ino); }

using Listing = std::map<std::string, std::string>;  // path -> stamp; a folder's ends with '/' and has no stamp

Result<> list_tree(const std::string& folder, const std::string& prefix, std::size_t depth, Listing& out) {
  if (depth > max_depth) return fail(ErrorCode::too_large, prefix + " is nested too deeply");
  for (const std::string& name : TRY(list_folder(folder))) {
    struct stat info{};
    const std::string path = folder + "/" + name;
    if (::lstat(path.c_str(), &info) != 0) continue;
    if (out.size() >= max_entries) return fail(ErrorCode::too_large, fmt::format("a workspace of more than {} files", max_entries));
    if (S_ISDIR(info.st_mode)) {
      out[prefix + name + "/"] = "";
      TRY(list_tree(path, prefix + name + "/", depth + 1, out));
    } else {
      out[prefix + name] = stamp_of(info);
    }
  }
  return {};
}

// One line a path: "stamp path", the path with its control characters escaped by JSON.
std::string to_text(const Listing& listing) {
  std::string out;
  for (const auto& [path, stamp] : listing) out += fmt::format("{} {}\n", stamp.empty() ? "-" : stamp, text::to_json(Json(path)));
  return out;
}

Result<Listing> from_text(std::string_view text) {
  Listing out;
  for (const auto line : split_lines(text)) {
    const auto space = line.find(' ');
    if (space == line.npos) continue;
    const auto path = TRY(text::parse_json(line.substr(space + 1)));
    const auto stamp = line.substr(0, space);
    out[path.str()] = stamp == "-" ? "" : std::string(stamp);
  }
  return out;
}

// Of what was deleted, the uppermost is enough.
std::vector<std::string> deletions(const Listing& before, const Listing& now) {
  std::vector<std::string> out;
  std::string gone_folder;
  for (const auto& [path, stamp] : before) {
    if (now.contains(path)) continue;
    if (!gone_folder.empty() && path.starts_with(gone_folder)) continue;
    const bool folder = path.ends_with('/');
    const std::string plain = folder ? path.substr(0, path.size() - 1) : path;
    if (folder) gone_folder = path;
    // A file that became a folder, or the other way round, is replaced by the new one.
    if (!now.contains(plain) && !now.contains(plain + "/")) out.push_back(plain);
  }
  return out;
}

}  // namespace

Result<> fill_workspace(const wire::Workspace& workspace, const std::string& record, HubClient& hub, const std::stop_token& stop) {
  TRY(make_folders(workspace.path));
  for (const std::string& blob : workspace.blobs) {
    const std::string archive = record + ".tar";
    TRY(hub.download(blob, archive, stop));
    const UniqueFd file(::open(archive.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno("cannot open", archive);
    TRY(at(store::unpack(store::source_of(file.get()), workspace.path, {store::Whiteouts::apply, store::Owners::ignore, {}}), "workspace " + workspace.name));
    ::unlink(archive.c_str());
  }
  Listing listing;
  TRY(list_tree(workspace.path, "", 0, listing));
  return write_file_atomically(record, to_text(listing));
}

Result<Changes> find_changes(const wire::Workspace& workspace, const std::string& record) {
  const Listing before = TRY(from_text(TRY(read_file(record, 1ULL << 30))));
  Listing now;
  TRY(list_tree(workspace.path, "", 0, now));
  Changes out;
  const auto is_new = [&](const std::string& path) {
    const auto was = before.find(path);
    const auto is = now.find(path);
    return is != now.end() && (was == before.end() || was->second != is->second);
  };
  bool any = false;
  for (const auto& [path, stamp] : now) {
    if (!is_new(path)) continue;
    any = true;
    if (!path.ends_with('/')) out.changed.push_back(path);
  }
  const auto deleted = deletions(before, now);
  if (!any && deleted.empty()) return out;
  out.archive = record + ".changes.tar";
  const UniqueFd file(::open(out.archive.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return fail_errno("cannot make", out.archive);
  std::string buffer;
  const auto sink = [&](std::string_view bytes) -> Result<> {
    buffer += bytes;
    if (buffer.size() < 256 * 1024) return {};
    auto written = write_all(file.get(), buffer);
    buffer.clear();
    return written;
  };
  TRY(at(store::pack(workspace.path, sink, {[&](const std::string& path, const struct stat&) { return is_new(path); }, deleted}), "workspace " + workspace.name));
  TRY(write_all(file.get(), buffer));
  return out;
}

bool is_report(const std::string& folder, const std::string& path, const std::vector<std::string>& globs) {
  for (const std::string& glob : globs)
    if (::fnmatch(glob.c_str(), path.c_str(), 0) == 0) return true;
  if (!globs.empty() || !path.ends_with(".xml")) return false;
  const UniqueFd file(::open((folder + "/" + path).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  char head[2048];
  const ssize_t got = file ? ::read(file.get(), head, sizeof head) : -1;
  return got > 0 && std::string_view(head, static_cast<std::size_t>(got)).find("<testsuite") != std::string_view::npos;
}

}  // namespace slipway::shim
