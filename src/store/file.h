// SPDX-License-Identifier: Apache-2.0
// The file operations that the log and the snapshots make, behind an interface, so that a test can stop the world after
// any of them (recording_file.h). Any thread may use a FileSystem; a File belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::store {

class File {
 public:
  virtual ~File() = default;
  virtual Result<> write_at(std::uint64_t offset, std::string_view bytes) = 0;
  virtual Result<std::string> read_at(std::uint64_t offset, std::size_t at_most) = 0;  // shorter only at the end
  virtual Result<std::uint64_t> size() = 0;
  virtual Result<> sync() = 0;                            // fdatasync; after an error the file must not be used again
  virtual Result<> truncate(std::uint64_t size) = 0;
  virtual Result<> allocate(std::uint64_t size) = 0;      // reserves blocks; no_space when there are none
};

enum class OpenMode { read, create };  // create: read and write, and it must not exist yet

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<> remove(const std::string& path) = 0;
  virtual Result<> sync_folder(const std::string& folder) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;  // sorted names
  virtual Result<> make_folder(const std::string& folder) = 0;                   // with parents, 0700
};

std::unique_ptr<FileSystem> make_system_files();

}  // namespace slipway::store
