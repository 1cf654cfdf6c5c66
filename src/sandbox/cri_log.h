// SPDX-License-Identifier: Apache-2.0
// Container log files in the format of the container runtime interface:
//   2026-11-23T15:04:05.000000000Z stdout F a whole line
//   2026-11-23T15:04:05.000000000Z stderr P the first 16 KB of a longer one
// A file that reached its limit is renamed to <file>.1, older ones move up, the oldest goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/files.h"
#include "base/result.h"

namespace slipway::sandbox {

constexpr std::size_t max_log_line = 16 * 1024;  // B10: longer ones are split

enum class LogStream { out, err };

struct LogLimits {
  std::uint64_t file_bytes = 10 * 1024 * 1024;
  int files = 5;  // with the one that is written
};

// Cuts what one stream wrote into records. Pure.
class LineCutter {
 public:
  explicit LineCutter(LogStream stream) : stream_(stream) {}
  void add(std::string_view bytes, Wall time, std::string& out);
  void end(Wall time, std::string& out);  // the rest without a newline becomes a whole line

 private:
  void record(std::string_view line, char tag, Wall time, std::string& out) const;
  LogStream stream_;
  std::string rest_;
};

class LogFile final {
 public:
  static Result<LogFile> open(const std::string& path, LogLimits limits);
  Result<> append(std::string_view records);

 private:
  LogFile(std::string path, LogLimits limits) : path_(std::move(path)), limits_(limits) {}
  Result<> open_file();
  Result<> rotate();
  std::string path_;
  LogLimits limits_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
};

struct LogRecord {
  std::string_view time, stream, text;  // text without a newline
  bool whole = true;                    // false: the line goes on in the next record of this stream
};
std::optional<LogRecord> parse_log_record(std::string_view line);

enum class Follow { no, yes };

struct LogOptions {
  Follow follow = Follow::no;
  std::optional<std::int64_t> tail_lines;
  std::string since;  // RFC 3339 in UTC; records before it are left out
  bool timestamps = false;
  std::optional<std::int64_t> limit_bytes;
};

using LogSink = std::function<bool(std::string_view)>;  // false: stop

// Reads a log with its rotated files. While following, `ended` tells that nothing will be added any more.
Result<> read_log(const std::string& path, const LogOptions& options, const LogSink& sink, std::stop_token stop = {},
                  const std::function<bool()>& ended = {});

}  // namespace slipway::sandbox
