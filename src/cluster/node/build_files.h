// SPDX-License-Identifier: Apache-2.0
// What a build keeps on disk below the node's folder: its log, its place of work, and the cache of finished steps.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/files.h"
#include "oci/image.h"

namespace slipway::cluster {

inline constexpr std::uint64_t max_build_log = 100ULL << 20;
inline constexpr std::size_t max_build_line = 16 * 1024;  // longer ones are cut into several

// `data` is the node's folder.
std::string build_log_path(const std::string& data, const std::string& ns, const std::string& name);
std::string build_work_path(const std::string& data, const std::string& uid);  // empty uid: the folder of all
std::string build_cache_path(const std::string& data);

// The output of one build, line by line. Any thread.
class BuildLog final {
 public:
  enum class Begin { anew, behind };
  static Result<std::unique_ptr<BuildLog>> open(const std::string& path, Begin begin);
  void line(std::string_view text);

 private:
  explicit BuildLog(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
  mutable std::mutex mutex_;
  std::uint64_t size_ = 0;
};

// What a step came to: a layer, or nothing changed.
struct StepOutcome {
  std::optional<oci::Descriptor> layer;
  std::string created;  // RFC 3339, of the first time
};

// Finished steps by the key of all that they depend on. Small durable files; any thread.
class BuildCache final {
 public:
  BuildCache(std::string folder, const store::BlobStore& blobs) : folder_(std::move(folder)), blobs_(blobs) {}
  // Nothing where it is not known or its layer is not in the store any more.
  std::optional<StepOutcome> find(const std::string& key) const;
  Result<> keep(const std::string& key, const StepOutcome& outcome);
  // A short text under a key of its own.
  std::optional<std::string> find_text(const std::string& key) const;
  Result<> keep_text(const std::string& key, const std::string& text);
  std::string mount_folder(const std::string& id) const;  // of RUN --mount=type=cache

 private:
  std::string file_of(const std::string& key) const;
  const std::string folder_;
  const store::BlobStore& blobs_;
};

}  // namespace slipway::cluster
