// SPDX-License-Identifier: Apache-2.0
#include "main/context_memory.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <fts.h>
#include <time.h>

#include <cstring>
#include <memory>

#include "base/digest.h"
#include "base/files.h"
#include "base/strings.h"

namespace slipway::app {
namespace {

constexpr std::int64_t grain = 20'000'000;  // nanoseconds: two ticks of the slowest kernel clock
constexpr std::size_t max_entries = 1'000'000;
constexpr std::size_t max_memory = 4096;

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

int by_name(const FTSENT** a, const FTSENT** b) { return std::strcmp((*a)->fts_name, (*b)->fts_name); }

struct FtsCloser {
  void operator()(FTS* walk) const { ::fts_close(walk); }
};

}  // namespace

ContextMemory::ContextMemory(std::string home, const std::string& folder) : home_(std::move(home)), file_(home_ + "/" + sha256_hex(folder)) {}

Result<ContextMemory::State> ContextMemory::look(const std::string& folder, const std::function<bool(const std::string& path)>& goes_along) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  std::string root = folder;
  char* roots[] = {root.data(), nullptr};
  const std::unique_ptr<FTS, FtsCloser> walk(::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name));
  if (!walk) return fail_errno("cannot walk", folder);
  Sha256 hash;
  std::int64_t newest = 0;
  std::size_t count = 0;
  while (const FTSENT* entry = ::fts_read(walk.get())) {
    if (entry->fts_info == FTS_DP || entry->fts_level == 0) continue;
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) return State{};  // packing says what is wrong
    if (++count > max_entries) return State{};
    const std::string path(entry->fts_path + folder.size() + 1);
    if (!goes_along(path)) continue;
    const struct stat& info = *entry->fts_statp;
    const std::int64_t changed = nanoseconds(info.st_ctim);
    newest = std::max({newest, changed, nanoseconds(info.st_mtim)});
    hash.update(fmt::format("{}:{} {} {} {} {} {} {} {} {} {}\n", path.size(), path, info.st_dev, info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_size, info.st_nlink,
                            nanoseconds(info.st_mtim), changed));
  }
  return State{to_hex(hash.finish()), newest + grain < nanoseconds(now)};
}

std::optional<store::Digest> ContextMemory::recall(const State& state) const {
  const auto text = read_file(file_, max_memory);
  if (!text || state.fingerprint.empty()) return std::nullopt;
  const auto parts = split(*text, ' ');
  if (parts.size() != 2 || parts[0] != state.fingerprint) return std::nullopt;
  const auto digest = store::Digest::parse(parts[1]);
  return digest ? std::optional(*digest) : std::nullopt;
}

void ContextMemory::keep(const State& state, const store::Digest& digest) const {
  if (!state.is_settled || state.fingerprint.empty()) return;
  if (make_folders(home_, 0700)) (void)write_file_atomically(file_, state.fingerprint + " " + digest.value, 0600);
}

}  // namespace slipway::app
