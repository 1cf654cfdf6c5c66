// SPDX-License-Identifier: Apache-2.0
#include "store/recording_file.h"

#include <algorithm>
#include <set>

#include "base/files.h"
#include "base/random.h"

namespace slipway::store {
namespace {

constexpr std::size_t sector = 512;

void write_into(std::string& content, std::uint64_t offset, std::string_view bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  content.replace(offset, bytes.size(), bytes);
}

}  // namespace

class RecordingFile final : public File {
 public:
  RecordingFile(RecordingFiles& files, std::uint64_t id, std::string path)
      : files_(files), id_(id), path_(std::move(path)) {}
  Result<> write_at(std::uint64_t offset, std::string_view bytes) override {
    TRY(files_.check("write", path_));
    files_.apply({RecordingFiles::Kind::write, id_, offset, std::string(bytes), path_, {}});
    return {};
  }
  Result<std::string> read_at(std::uint64_t offset, std::size_t at_most) override {
    TRY(files_.check("read", path_));
    std::lock_guard lock(files_.mutex_);
    const std::string& content = files_.files_[id_];
    return offset >= content.size() ? std::string() : content.substr(offset, at_most);
  }
  Result<std::uint64_t> size() override {
    std::lock_guard lock(files_.mutex_);
    return files_.files_[id_].size();
  }
  Result<> sync() override {
    TRY(files_.check("sync", path_));
    files_.apply({RecordingFiles::Kind::sync, id_, 0, {}, path_, {}});
    return {};
  }
  Result<> truncate(std::uint64_t size) override {
    TRY(files_.check("truncate", path_));
    files_.apply({RecordingFiles::Kind::truncate, id_, size, {}, path_, {}});
    return {};
  }
  Result<> allocate(std::uint64_t size) override {
    TRY(files_.check("allocate", path_));
    if (TRY(this->size()) < size) files_.apply({RecordingFiles::Kind::truncate, id_, size, {}, path_, {}});
    return {};
  }

 private:
  RecordingFiles& files_;
  std::uint64_t id_;
  std::string path_;
};

Result<> RecordingFiles::check(std::string_view operation, const std::string& path) {
  return fault ? fault(operation, path) : Result<>{};
}

void RecordingFiles::apply(Operation operation) {
  std::lock_guard lock(mutex_);
  std::string& content = files_[operation.file];
  switch (operation.kind) {
    case Kind::create: names_[operation.path] = operation.file; break;
    case Kind::write: write_into(content, operation.offset, operation.bytes); break;
    case Kind::truncate: content.resize(operation.offset); break;
    case Kind::rename:
      names_[operation.target] = names_[operation.path];
      names_.erase(operation.path);
      break;
    case Kind::remove: names_.erase(operation.path); break;
    case Kind::sync:
    case Kind::sync_folder: break;
  }
  operations_.push_back(std::move(operation));
}

Result<std::unique_ptr<File>> RecordingFiles::open(const std::string& path, OpenMode mode) {
  TRY(check("open", path));
  std::uint64_t id = 0;
  {
    std::lock_guard lock(mutex_);
    const auto found = names_.find(path);
    if (mode == OpenMode::read && found == names_.end()) return fail(ErrorCode::not_found, "cannot open " + path);
    if (mode == OpenMode::create && found != names_.end()) return fail(ErrorCode::already_exists, path + " exists");
    id = mode == OpenMode::read ? found->second : next_file_++;
  }
  if (mode == OpenMode::create) apply({Kind::create, id, 0, {}, path, {}});
  return std::make_unique<RecordingFile>(*this, id, path);
}

Result<> RecordingFiles::rename(const std::string& from, const std::string& to) {
  TRY(check("rename", from));
  apply({Kind::rename, 0, 0, {}, from, to});
  return {};
}

Result<> RecordingFiles::remove(const std::string& path) {
  TRY(check("remove", path));
  apply({Kind::remove, 0, 0, {}, path, {}});
  return {};
}

Result<> RecordingFiles::sync_folder(const std::string& folder) {
  TRY(check("sync_folder", folder));
  apply({Kind::sync_folder, 0, 0, {}, folder, {}});
  return {};
}

Result<std::vector<std::string>> RecordingFiles::list(const std::string& folder) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [path, id] : names_)
    if (parent_path(path) == folder) out.push_back(base_name(path));
  return out;
}

std::size_t RecordingFiles::operations() const {
  std::lock_guard lock(mutex_);
  return operations_.size();
}

std::map<std::string, std::string> RecordingFiles::contents() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, std::string> out;
  for (const auto& [path, id] : names_) out[path] = files_.at(id);
  return out;
}

void RecordingFiles::flip(const std::string& path, std::size_t offset) {
  std::lock_guard lock(mutex_);
  char& byte = files_.at(names_.at(path)).at(offset);
  byte = static_cast<char>(byte ^ 0x10);
}

std::unique_ptr<RecordingFiles> RecordingFiles::image(std::size_t operations, Unsynced unsynced,
                                                      std::uint64_t seed) const {
  std::lock_guard lock(mutex_);
  SeededRandom random(seed);
  auto out = std::make_unique<RecordingFiles>();
  out->next_file_ = next_file_;
  out->names_ = first_names_;
  out->files_ = first_files_;
  std::map<std::uint64_t, std::vector<const Operation*>> pending;
  std::vector<const Operation*> folder;

  const auto apply_names = [&](const Operation& operation) {
    if (operation.kind == Kind::create) out->names_[operation.path] = operation.file;
    if (operation.kind == Kind::remove) out->names_.erase(operation.path);
    if (operation.kind == Kind::rename) {
      out->names_[operation.target] = out->names_[operation.path];
      out->names_.erase(operation.path);
    }
  };
  const auto apply_whole = [&](const Operation& operation) {
    std::string& content = out->files_[operation.file];
    if (operation.kind == Kind::write) write_into(content, operation.offset, operation.bytes);
    else content.resize(operation.offset);
  };
  const auto apply_torn = [&](const Operation& operation) {
    if (operation.kind == Kind::truncate) {
      if (random.below(2) == 0) apply_whole(operation);
      return;
    }
    for (std::size_t at = 0; at < operation.bytes.size();) {
      const std::size_t piece = std::min(sector - (operation.offset + at) % sector, operation.bytes.size() - at);
      if (random.below(2) == 0)
        write_into(out->files_[operation.file], operation.offset + at, operation.bytes.substr(at, piece));
      at += piece;
    }
  };

  for (std::size_t i = 0; i < std::min(operations, operations_.size()); ++i) {
    const Operation& operation = operations_[i];
    switch (operation.kind) {
      case Kind::write:
      case Kind::truncate: pending[operation.file].push_back(&operation); break;
      case Kind::sync:
        for (const Operation* one : pending[operation.file]) apply_whole(*one);
        pending[operation.file].clear();
        break;
      case Kind::sync_folder:
        for (const Operation* one : folder) apply_names(*one);
        folder.clear();
        break;
      case Kind::create:
      case Kind::rename:
      case Kind::remove: folder.push_back(&operation); break;
    }
  }
  if (unsynced != Unsynced::lost) {
    const std::size_t kept = unsynced == Unsynced::kept ? folder.size() : random.below(folder.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) apply_names(*folder[i]);
    for (const auto& [file, writes] : pending)
      for (const Operation* one : writes) unsynced == Unsynced::kept ? apply_whole(*one) : apply_torn(*one);
  }
  out->first_names_ = out->names_;
  out->first_files_ = out->files_;
  return out;
}

}  // namespace slipway::store
