// SPDX-License-Identifier: Apache-2.0
#include "hub/logs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace slipway::hub {
namespace {

constexpr std::uint64_t lines_per_entry = 1000;
constexpr std::size_t piece_size = 256 * 1024;

Result<std::uint64_t> size_of(int file, std::string_view path) {
  struct stat info{};
  if (::fstat(file, &info) != 0) return fail_errno("cannot read", path);
  return static_cast<std::uint64_t>(info.st_size);
}

Result<std::string> read_at(int file, std::uint64_t offset, std::size_t at_most, std::string_view path) {
  std::string out(at_most, '\0');
  const ssize_t got = ::pread(file, out.data(), out.size(), static_cast<off_t>(offset));
  if (got < 0) return fail_errno("cannot read", path);
  out.resize(static_cast<std::size_t>(got));
  return out;
}

Result<UniqueFd> open_file(const std::string& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!file) return fail_errno("cannot open", path);
  return file;
}

}  // namespace

bool Logs::is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

Result<Logs::Open*> Logs::open(const LogName& log) {
  if (!is_plain_name(log.owner) || !is_plain_name(log.name)) return fail(ErrorCode::invalid, "a log's name is not a plain name");
  if (const auto found = open_.find(log); found != open_.end()) return found->second.used = ++clock_, &found->second;
  TRY(make_folders(folder_ + "/" + log.owner, 0700));
  Open fresh;
  fresh.file = TRY(open_file(path_of(log), O_RDWR | O_CREAT | O_APPEND));
  fresh.index = TRY(open_file(path_of(log, ".lines"), O_RDWR | O_CREAT | O_APPEND));
  fresh.end = TRY(size_of(fresh.file.get(), path_of(log)));
  TRY(rebuild_index(log, fresh));
  if (open_.size() >= max_open) open_.erase(std::ranges::min_element(open_, {}, [](const auto& entry) { return entry.second.used; }));
  fresh.used = ++clock_;
  return &open_.emplace(log, std::move(fresh)).first->second;
}

// The index is written after the log and not synced: what is missing is found by reading from its last entry on.
Result<> Logs::rebuild_index(const LogName& log, Open& open) {
  const std::uint64_t size = TRY(size_of(open.index.get(), path_of(log, ".lines")));
  std::uint64_t entries = size / 8, offset = 0;
  if (entries > 0) {
    const std::string last = TRY(read_at(open.index.get(), (entries - 1) * 8, 8, path_of(log, ".lines")));
    std::memcpy(&offset, last.data(), std::min<std::size_t>(last.size(), 8));
  }
  if (size % 8 != 0 || offset > open.end) {
    entries = offset = 0;
    if (::ftruncate(open.index.get(), 0) != 0) return fail_errno("cannot shorten", path_of(log, ".lines"));
  }
  open.lines = entries * lines_per_entry;
  while (offset < open.end) {
    const std::string piece = TRY(read_at(open.file.get(), offset, piece_size, path_of(log)));
    if (piece.empty()) break;
    TRY(add_to_index(open, offset, piece));
    offset += piece.size();
  }
  return {};
}

Result<> Logs::add_to_index(Open& open, std::uint64_t offset, std::string_view bytes) {
  for (std::size_t at = bytes.find('\n'); at != bytes.npos; at = bytes.find('\n', at + 1)) {
    if (++open.lines % lines_per_entry != 0) continue;
    const std::uint64_t next = offset + at + 1;
    char entry[8];
    std::memcpy(entry, &next, sizeof entry);
    TRY(write_all(open.index.get(), {entry, sizeof entry}));
  }
  return {};
}

Result<std::uint64_t> Logs::append(const LogName& log, std::uint64_t offset, std::string_view bytes, std::uint64_t& end) {
  Guard guard(*monitor_);
  Open& open = *TRY(this->open(log));
  end = open.end;
  if (offset > open.end) return fail(ErrorCode::conflict, fmt::format("the log ends at {}", open.end));
  const std::uint64_t known = open.end - offset;
  if (known >= bytes.size()) return open.end;
  bytes.remove_prefix(known);
  if (open.end + bytes.size() > max_log) return fail(ErrorCode::too_large, fmt::format("a log of more than {} bytes", max_log));
  const std::uint64_t before = open.end;
  if (auto written = write_all(open.file.get(), bytes); !written || ::fdatasync(open.file.get()) != 0) {
    // What was written of it may not be whole: the next one begins where the acknowledged part ends.
    if (::ftruncate(open.file.get(), static_cast<off_t>(before)) != 0) open_.erase(log);  // measured anew at the next piece
    return written ? Result<std::uint64_t>(fail_errno("cannot sync", path_of(log))) : std::unexpected(std::move(written.error()));
  }
  open.end += bytes.size();
  end = open.end;
  TRY(add_to_index(open, before, bytes));
  monitor_->notify_all();
  return open.end;
}

Result<std::uint64_t> Logs::size(const LogName& log) const {
  struct stat info{};
  if (::stat(path_of(log).c_str(), &info) != 0) return errno == ENOENT ? Result<std::uint64_t>(0) : fail_errno("cannot read", path_of(log));
  return static_cast<std::uint64_t>(info.st_size);
}

Result<std::string> Logs::read(const LogName& log, std::uint64_t offset, std::size_t at_most) const {
  if (!exists(path_of(log))) return std::string();
  const UniqueFd file = TRY(open_file(path_of(log), O_RDONLY));
  return read_at(file.get(), offset, std::min(at_most, piece_size), path_of(log));
}

Result<std::uint64_t> Logs::line_offset(const LogName& log, std::uint64_t line) {
  if (line == 0) return 0;
  std::uint64_t offset = 0, at_line = 0;
  {
    Guard guard(*monitor_);
    const Open& open = *TRY(this->open(log));
    if (const std::uint64_t entry = line / lines_per_entry; entry > 0) {
      const std::string bytes = TRY(read_at(open.index.get(), (entry - 1) * 8, 8, path_of(log, ".lines")));
      if (bytes.size() != 8) return open.end;
      std::memcpy(&offset, bytes.data(), 8);
      at_line = entry * lines_per_entry;
    }
  }
  while (at_line < line) {
    const std::string piece = TRY(read(log, offset, piece_size));
    if (piece.empty()) return offset;
    std::size_t used = 0;
    for (std::size_t at = piece.find('\n'); at != piece.npos && at_line < line; at = piece.find('\n', at + 1)) ++at_line, used = at + 1;
    offset += at_line < line ? piece.size() : used;
  }
  return offset;
}

Result<std::uint64_t> Logs::tail_offset(const LogName& log, std::uint64_t lines) const {
  std::uint64_t end = TRY(size(log)), found = 0;
  if (lines == 0) return end;
  bool last = true;
  while (end > 0) {
    const std::uint64_t begin = end > piece_size ? end - piece_size : 0;
    const std::string piece = TRY(read(log, begin, static_cast<std::size_t>(end - begin)));
    for (std::size_t i = piece.size(); i-- > 0;) {
      if (piece[i] != '\n') continue;
      if (std::exchange(last, false) && begin + i + 1 == TRY(size(log))) continue;  // the end of the last line
      if (++found == lines) return begin + i + 1;
    }
    end = begin;
  }
  return 0;
}

Result<> Logs::finish(const LogName& log) {
  Guard guard(*monitor_);
  TRY(open(log));
  TRY(open_file(path_of(log, ".end"), O_WRONLY | O_CREAT));
  open_.erase(log);
  monitor_->notify_all();
  return {};
}

bool Logs::is_finished(const LogName& log) const { return exists(path_of(log, ".end")); }

bool Logs::wait(const LogName& log, std::uint64_t offset, std::chrono::milliseconds limit, const std::stop_token& stop) {
  Guard guard(*monitor_);
  return guard.wait_until([&] { return size(log).value_or(0) > offset || is_finished(log); }, stop, executor_.clock().steady() + limit, executor_.clock());
}

Result<std::vector<std::string>> Logs::names(const std::string& owner) const {
  std::vector<std::string> out;
  if (!is_plain_name(owner) || !is_folder(folder_ + "/" + owner)) return out;
  for (const std::string& file : TRY(list_folder(folder_ + "/" + owner)))
    if (file.ends_with(".log")) out.push_back(file.substr(0, file.size() - 4));
  return out;
}

Result<> Logs::remove(const std::string& owner) {
  if (!is_plain_name(owner)) return fail(ErrorCode::invalid, "a log's name is not a plain name");
  Guard guard(*monitor_);
  std::erase_if(open_, [&](const auto& entry) { return entry.first.owner == owner; });
  return remove_tree(folder_ + "/" + owner);
}

}  // namespace slipway::hub
