// SPDX-License-Identifier: Apache-2.0
// Log: a write-ahead log of frames in preallocated segments. append() returns when the frame is durable.
//
// A frame is what one fdatasync covers; it carries a sequence number, a checksum and a hash that runs over all frames.
// When a log is opened, a tail that was being written when the power failed is cut; whatever else does not fit (a bit
// that changed, a missing segment) is an error that names file and offset and is never served (F2, F5). The difference
// can be told because segments are zeroed before use: a torn frame has a sector that is still all zero.
//
// A full disk shows when a segment is made: append() answers no_space, nothing was written, and a later call may
// succeed. Any other error of a write or a sync is final: the log refuses everything after it (F3), and the process
// must end, because what the disk holds is then unknown.
//
// One thread at a time.
#pragma once

#include <functional>
#include <vector>

#include "store/file.h"

namespace slipway::store {

// Where a log stands: the number of its last frame and the running hash after it.
struct LogPosition {
  std::uint64_t sequence = 0;
  std::uint64_t hash = 0;
  bool operator==(const LogPosition&) const = default;
};

struct LogConfig {
  std::string folder;
  std::uint64_t segment_bytes = 8 * 1024 * 1024;
};

enum class Reserve { keep, use };  // use: take the spare segment when the disk is full (for deletes)

class Log final {
 public:
  using Visit = std::function<Result<>(std::uint64_t sequence, std::string_view payload)>;

  // Visits the frames after `from` in order.
  static Result<std::unique_ptr<Log>> open(FileSystem& files, LogConfig config, LogPosition from, const Visit& visit);

  Result<> append(std::string_view payload, Reserve reserve = Reserve::keep);
  // Removes segments that hold nothing after `sequence`.
  Result<> drop_through(std::uint64_t sequence);
  LogPosition position() const { return position_; }
  std::uint64_t bytes_since_open() const { return bytes_; }

 private:
  struct Segment {
    std::string path;
    std::uint64_t first = 0;  // the sequence of its first frame
    std::uint64_t hash = 0;   // before its first frame
  };
  struct Reader;

  Log(FileSystem& files, LogConfig config) : files_(files), config_(std::move(config)) {}
  Result<> find_segments();
  Result<Segment> read_header(const std::string& path);
  Result<> recover(LogPosition from, const Visit& visit);
  Result<> roll(std::uint64_t need, Reserve reserve);
  Result<std::unique_ptr<File>> make_zeroed(const std::string& path, std::uint64_t size);
  void refill_spare();
  std::string path_of(std::string_view name) const { return config_.folder + "/" + std::string(name); }

  FileSystem& files_;
  LogConfig config_;
  std::vector<Segment> segments_;
  std::unique_ptr<File> file_;  // the segment that is written; none until the first append
  std::uint64_t offset_ = 0, end_ = 0, bytes_ = 0;
  std::unique_ptr<File> spare_;
  LogPosition position_;
  bool failed_ = false;
};

}  // namespace slipway::store
