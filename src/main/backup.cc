// SPDX-License-Identifier: Apache-2.0
#include "main/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "base/digest.h"
#include "base/strings.h"
#include "main/processes.h"
#include "store/unpack.h"
#include "text/json.h"

namespace slipway::app {
namespace {

using text::Json;

constexpr const char* index_name = "backup.json";
constexpr int snapshot_tries = 10;
constexpr std::size_t max_index = 512 * 1024 * 1024;
constexpr std::size_t max_depth = 64;

using Checksums = std::map<std::string, std::string>;  // path -> SHA-256

bool is_temporary(const std::string& name) { return name.find(".tmp-") != name.npos || name.ends_with(".tmp") || name == "tmp" || name == "leases" || name == "supervisor.pid"; }

class Writer final {
 public:
  Writer(std::string root, int out) : root_(std::move(root)), tar_([out](std::string_view bytes) { return write_all(out, bytes); }) {}

  // A file or all that is in a folder. What vanishes meanwhile was on its way out.
  Result<> add(const std::string& path, std::size_t depth = 0) {
    struct stat info{};
    const std::string full = root_ + "/" + path;
    if (::lstat(full.c_str(), &info) != 0) return {};
    if (depth > max_depth) return fail(ErrorCode::too_large, full + " is nested too deeply");
    if (S_ISDIR(info.st_mode)) return add_folder(path, info, depth);
    return S_ISREG(info.st_mode) ? add_file(path, info) : Result<>{};
  }

  Result<> finish(BackupSummary& summary) {
    Json sums = Json::object();
    std::vector<text::JsonMember> members;
    for (const auto& [path, sum] : sums_) members.emplace_back(path, Json(sum));
    sums = Json::object(std::move(members));
    const std::string index = text::to_json(Json::object({{"format", backup_format}, {"version", version}, {"created", format_rfc3339(SystemClock().now())}, {"files", sums}}));
    TRY(tar_.add({.path = index_name, .mode = 0600, .size = index.size()}));
    TRY(tar_.write(index));
    summary = {sums_.size(), bytes_};
    return tar_.finish();
  }

  // Forgets the checksums below a path that is read once more: the later entry wins.
  void forget(const std::string& path) {
    std::erase_if(sums_, [&](const auto& entry) { return entry.first.starts_with(path + "/"); });
  }

 private:
  Result<> add_folder(const std::string& path, const struct stat& info, std::size_t depth) {
    TRY(tar_.add({.path = path + "/", .type = store::TarType::folder, .mode = info.st_mode & 07777u, .user = info.st_uid, .group = info.st_gid}));
    for (const std::string& name : TRY(list_folder(root_ + "/" + path)))
      if (!is_temporary(name)) TRY(add(path + "/" + name, depth + 1));
    return {};
  }

  // As much as the file has now: it may grow while it is read.
  Result<> add_file(const std::string& path, const struct stat& info) {
    const UniqueFd file(::open((root_ + "/" + path).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return errno == ENOENT ? Result<>{} : fail_errno("cannot open", path);
    const auto size = static_cast<std::uint64_t>(info.st_size);
    TRY(tar_.add({.path = path, .mode = info.st_mode & 07777u, .user = info.st_uid, .group = info.st_gid, .size = size, .seconds = info.st_mtim.tv_sec}));
    const auto source = store::source_of(file.get());
    Sha256 sum;
    for (std::uint64_t left = size; left > 0;) {
      const std::string piece = TRY(source(static_cast<std::size_t>(std::min<std::uint64_t>(left, 1 << 20))));
      if (piece.empty()) return fail(ErrorCode::conflict, path + " became shorter while it was read; take the backup once more");
      sum.update(piece);
      TRY(tar_.write(piece));
      left -= piece.size();
    }
    sums_[path] = to_hex(sum.finish());
    bytes_ += size;
    return {};
  }

  const std::string root_;
  store::TarWriter tar_;
  Checksums sums_;
  std::uint64_t bytes_ = 0;
};

// The snapshots that are there: they change when one takes the place of log segments.
Result<std::string> snapshots_of(const DataFolder& data) {
  std::string out;
  for (const std::string& name : TRY(list_folder(data.api())))
    if (name.find("snapshot") != name.npos && !is_temporary(name)) out += name + "\n";
  return out;
}

Result<> add_api(Writer& writer, const DataFolder& data) {
  for (int i = 0; i < snapshot_tries; ++i) {
    const std::string before = TRY(snapshots_of(data));
    writer.forget("serve/api");
    TRY(writer.add("serve/api"));
    if (TRY(snapshots_of(data)) == before) return {};
  }
  return fail(ErrorCode::conflict, "snapshots of the API follow each other too fast; take the backup at a quieter time");
}

Result<> add_repositories(Writer& writer, const DataFolder& data) {
  if (!is_folder(data.git())) return {};
  for (const std::string& ns : TRY(list_folder(data.git())))
    for (const std::string& name : TRY(list_folder(data.git() + "/" + ns))) {
      const std::string repository = fmt::format("serve/git/{}/{}", ns, name);
      // Refs first: whatever they name is among the objects that are read later.
      for (const char* part : {"HEAD", "packed-refs", "refs"}) TRY(writer.add(repository + "/" + part));
      TRY(writer.add(repository));
    }
  return {};
}

Result<> write_backup(const DataFolder& data, int out, BackupSummary& summary) {
  Writer writer(data.path, out);
  for (const char* part : {"settings.json", "kubeconfig", "credentials", "serve/tokens", "serve/keys", "serve/pushes", "serve/hooks"}) TRY(writer.add(part));
  TRY(add_api(writer, data));
  TRY(add_repositories(writer, data));
  TRY(writer.add("serve/hub"));
  TRY(writer.add("blobs/names"));
  TRY(writer.add("blobs/sha256"));
  return writer.finish(summary);
}

Result<Json> read_index(const std::string& file) {
  const UniqueFd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in) return fail_errno("cannot open", file);
  store::TarReader tar(store::source_of(in.get()), {.entries = 50'000'000, .bytes = 1ULL << 50});
  std::string last;
  while (const auto entry = TRY(at(tar.next(), file))) {
    if (entry->path != index_name) continue;
    if (entry->size > max_index) return fail(ErrorCode::too_large, "backup.json is too large");
    for (std::string piece = TRY(tar.read(1 << 20)); !piece.empty(); piece = TRY(tar.read(1 << 20))) last += piece;
  }
  if (last.empty()) return fail(ErrorCode::invalid, file + " is not a whole backup: backup.json is missing");
  Json index = TRY(at(text::parse_json(last, {.values = 100'000'000}), index_name));
  if (index["format"].as_int() != backup_format) return fail(ErrorCode::invalid, fmt::format("{} has the format {}; this program reads {}", file, index["format"].as_int(), backup_format));
  return index;
}

Result<std::string> sum_of(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return fail_errno("cannot open", path);
  Sha256 sum;
  const auto source = store::source_of(file.get());
  for (std::string piece = TRY(source(1 << 20)); !piece.empty(); piece = TRY(source(1 << 20))) sum.update(piece);
  return to_hex(sum.finish());
}

}  // namespace

Result<BackupSummary> create_backup(const DataFolder& data, const std::string& file) {
  if (!is_folder(data.serve())) return fail(ErrorCode::not_found, data.path + " holds no installation; name it with --data");
  if (exists(file)) return fail(ErrorCode::already_exists, file + " exists; name a new file");
  const std::string part = file + ".part";
  const UniqueFd out(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return fail_errno("cannot make", part);
  BackupSummary summary;
  auto written = write_backup(data, out.get(), summary);
  if (written && ::fsync(out.get()) != 0) written = fail_errno("cannot sync", part);
  if (written && ::rename(part.c_str(), file.c_str()) != 0) written = fail_errno("cannot make", file);
  if (!written) ::unlink(part.c_str());
  TRY(std::move(written));
  return summary;
}

Result<BackupSummary> restore_backup(const std::string& file, const DataFolder& data) {
  if (is_folder(data.path) && !TRY(list_folder(data.path)).empty()) return fail(ErrorCode::conflict, data.path + " is not empty; restore into a new folder, or move the old one away");
  const Json index = TRY(read_index(file));
  const std::string fresh = data.path + ".restoring";
  TRY(remove_tree(fresh));
  const auto laid_out = [&]() -> Result<BackupSummary> {
    const UniqueFd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!in) return fail_errno("cannot open", file);
    TRY(make_folders(fresh, 0711));
    TRY(store::unpack(store::source_of(in.get()), fresh, {store::Whiteouts::apply, store::Owners::keep, {.entries = 50'000'000, .bytes = 1ULL << 50}}));
    BackupSummary summary;
    for (const auto& member : index["files"].members()) {
      const std::string path = fresh + "/" + std::string(member.key());
      if (TRY(sum_of(path)) != member.value.as_string()) return fail(ErrorCode::invalid, fmt::format("{}: the checksum of {} is wrong: the backup is damaged", file, member.key()));
      struct stat info{};
      if (::stat(path.c_str(), &info) == 0) summary.bytes += static_cast<std::uint64_t>(info.st_size);
      ++summary.files;
    }
    TRY(remove_tree(fresh + "/" + index_name));
    return summary;
  }();
  if (!laid_out) return (void)remove_tree(fresh), laid_out;
  ::rmdir(data.path.c_str());
  if (::rename(fresh.c_str(), data.path.c_str()) != 0) return fail_errno("cannot put in place", data.path);
  TRY(prepare(data));
  return laid_out;
}

}  // namespace slipway::app
