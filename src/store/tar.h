// SPDX-License-Identifier: Apache-2.0
// Tar archives, streamed: ustar with PAX extended headers (POSIX.1-2001 pax) and GNU's long names.
//
// Paths come out as they stand in the archive: who unpacks resolves them beneath a root. Limits: B5.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slipway::store {

enum class TarType { file, hard_link, symlink, character_device, block_device, folder, fifo };

struct TarEntry {
  std::string path;
  TarType type = TarType::file;
  std::string link;  // target of a link
  std::uint32_t mode = 0644;
  std::uint32_t user = 0, group = 0;
  std::uint64_t size = 0;   // of a file's content
  std::int64_t seconds = 0; // modification time
  std::uint32_t nanoseconds = 0;
  std::uint32_t device_major = 0, device_minor = 0;
  std::map<std::string, std::string> attributes;  // extended: SCHILY.xattr.*
};

struct TarLimits {
  std::uint64_t entries = 1'000'000;
  std::uint64_t bytes = 10ULL << 30;
  std::size_t path = 4096;
  std::size_t extended_header = 1 << 20;
};

// Answers up to `at_most` bytes; empty at the end.
using ByteSource = std::function<Result<std::string>(std::size_t at_most)>;
using ByteSink = std::function<Result<>(std::string_view)>;

class TarReader final {
 public:
  explicit TarReader(ByteSource source, TarLimits limits = {}) : source_(std::move(source)), limits_(limits) {}
  // The next entry, nothing at the end. What was not read of the content before it is passed over.
  Result<std::optional<TarEntry>> next();
  Result<std::string> read(std::size_t at_most);  // of the content; empty at its end

 private:
  Result<std::string> exactly(std::size_t size);  // shorter only at the end of the source
  Result<> skip_content();
  Result<TarEntry> decode(std::string_view header);
  Result<> extend(std::string_view records);
  Result<> apply_extensions(TarEntry& entry);

  ByteSource source_;
  const TarLimits limits_;
  std::string buffer_;
  std::uint64_t left_ = 0, padding_ = 0, entries_ = 0, bytes_ = 0;
  std::map<std::string, std::string> extensions_;
  std::string long_name_, long_link_;
};

// Writes what a reader gives back; the same entries give the same bytes.
class TarWriter final {
 public:
  explicit TarWriter(ByteSink sink) : sink_(std::move(sink)) {}
  Result<> add(const TarEntry& entry);                 // then exactly entry.size bytes by write()
  Result<> write(std::string_view content);
  Result<> finish();                                   // two empty blocks

 private:
  Result<> header(const TarEntry& entry, char type, std::string_view name, std::uint64_t size);
  Result<> pad();
  ByteSink sink_;
  std::uint64_t written_ = 0;
};

}  // namespace slipway::store
