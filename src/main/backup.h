// SPDX-License-Identifier: Apache-2.0
// Backups: everything that cannot be made again, in one tar: objects, repositories, pushes, logs, keys and blobs.
//
// A backup is taken while the system runs. It holds a state that a killed machine could have had: what is appended to is
// read up to where it stood, what replaces another is read before what it refers to (refs before git objects, objects
// of the API before blobs), and the API's log is read anew where a snapshot took its place meanwhile. Every file's
// checksum stands in the last entry, backup.json, without which a backup is not whole.
#pragma once

#include "main/data_folder.h"

namespace slipway::app {

inline constexpr int backup_format = 1;

struct BackupSummary {
  std::uint64_t files = 0, bytes = 0;
};

// Writes to FILE.part and renames it when it is whole and durable; an existing FILE is refused.
Result<BackupSummary> create_backup(const DataFolder& data, const std::string& file);

// Into a data folder that is empty or not there. Every checksum is verified before anything is put in place.
Result<BackupSummary> restore_backup(const std::string& file, const DataFolder& data);

}  // namespace slipway::app
