// SPDX-License-Identifier: Apache-2.0
// Snapshots: the whole state at one log position, in one file that is visible only when it is whole and durable.
//
// Each block has a checksum and the end tells the number of entries, so that damage is an error with file and offset (F5).
#pragma once

#include <functional>
#include <optional>

#include "store/file.h"
#include "store/log.h"

namespace slipway::store {

struct SnapshotHead {
  LogPosition position;
  std::uint64_t revision = 0;
};

struct SnapshotEntry {
  std::string_view key, value;
  std::uint64_t revision = 0;
};

using SnapshotSink = std::function<Result<>(const SnapshotEntry&)>;

// `produce` calls its argument once an entry. Older snapshots are removed at the end.
Result<> write_snapshot(FileSystem& files, const std::string& folder, const SnapshotHead& head,
                        const std::function<Result<>(const SnapshotSink&)>& produce);
// The newest; nothing where there is none.
Result<std::optional<SnapshotHead>> read_snapshot(FileSystem& files, const std::string& folder, const SnapshotSink& visit);

}  // namespace slipway::store
