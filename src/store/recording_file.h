// SPDX-License-Identifier: Apache-2.0
// A file system in memory that remembers every operation, and can say what a disk may hold after a power cut.
//
// Faults F1 to F5: image(n, …) is a fresh file system as it may be found when the power fails after the first n
// operations: what was synced is there; of what was not, nothing, all, or a seeded choice of sectors (512 bytes, each
// old or new as a whole, in any order) is. Folder changes are durable after sync_folder; before that a prefix of them may be.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "store/file.h"

namespace slipway::store {

class RecordingFiles final : public FileSystem {
 public:
  enum class Unsynced { lost, kept, torn };

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<> remove(const std::string& path) override;
  Result<> sync_folder(const std::string& folder) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<> make_folder(const std::string&) override { return {}; }

  std::size_t operations() const;
  std::unique_ptr<RecordingFiles> image(std::size_t operations, Unsynced unsynced, std::uint64_t seed) const;

  std::map<std::string, std::string> contents() const;
  void flip(const std::string& path, std::size_t offset);  // one bit (F5)
  // Consulted before each operation ("write", "sync", "allocate", "rename", …): an error is returned in its place.
  std::function<Result<>(std::string_view operation, const std::string& path)> fault;

 private:
  friend class RecordingFile;
  enum class Kind { create, write, truncate, sync, rename, remove, sync_folder };
  struct Operation {
    Kind kind;
    std::uint64_t file = 0;
    std::uint64_t offset = 0;
    std::string bytes, path, target;
  };
  Result<> check(std::string_view operation, const std::string& path);
  void apply(Operation operation);

  mutable std::mutex mutex_;
  std::vector<Operation> operations_;
  std::map<std::string, std::uint64_t> first_names_;  // durable before the first operation
  std::map<std::uint64_t, std::string> first_files_;
  std::map<std::string, std::uint64_t> names_;
  std::map<std::uint64_t, std::string> files_;
  std::uint64_t next_file_ = 1;
};

}  // namespace slipway::store
