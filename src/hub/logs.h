// SPDX-License-Identifier: Apache-2.0
// Logs: append-only files, one a step, followed while they grow. Any thread.
//
// append() is durable when it answers, and idempotent by its offset: what is sent again is passed over, what would leave
// a hole is refused with the end that is known. Reading costs the piece that is read, however long the log is; every
// thousandth line's place is kept in an index beside it, which is made anew where it is missing or short.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/executor.h"
#include "base/files.h"

namespace slipway::hub {

struct LogName {
  std::string owner;  // an attempt's or a build's id; a plain name
  std::string name;   // the step; a plain name
  auto operator<=>(const LogName&) const = default;
};

class Logs final {
 public:
  static constexpr std::uint64_t max_log = 100ULL << 20;
  static constexpr std::size_t max_open = 256;  // files kept open; the longest unused is closed

  Logs(std::string folder, Executor& executor) : folder_(std::move(folder)), executor_(executor), monitor_(executor.make_monitor()) {}

  // The end of the log after it. too_large above max_log; conflict, with the end in `end`, where offset lies beyond it.
  Result<std::uint64_t> append(const LogName& log, std::uint64_t offset, std::string_view bytes, std::uint64_t& end);
  Result<std::uint64_t> size(const LogName& log) const;  // 0 where there is none yet
  Result<std::string> read(const LogName& log, std::uint64_t offset, std::size_t at_most) const;
  // Where line `line` (from 0) begins; the log's end where it has fewer.
  Result<std::uint64_t> line_offset(const LogName& log, std::uint64_t line);
  // Where the last `lines` lines begin.
  Result<std::uint64_t> tail_offset(const LogName& log, std::uint64_t lines) const;

  // Nothing more will come: followers end.
  Result<> finish(const LogName& log);
  bool is_finished(const LogName& log) const;
  // Blocks until the log is longer than `offset` or finished; false when stopped or after `limit`.
  bool wait(const LogName& log, std::uint64_t offset, std::chrono::milliseconds limit, const std::stop_token& stop);

  Result<std::vector<std::string>> names(const std::string& owner) const;
  Result<> remove(const std::string& owner);
  static bool is_plain_name(std::string_view text);

 private:
  struct Open {
    UniqueFd file, index;
    std::uint64_t end = 0, lines = 0;
    std::uint64_t used = 0;
  };
  std::string path_of(const LogName& log, std::string_view suffix = ".log") const { return folder_ + "/" + log.owner + "/" + log.name + std::string(suffix); }
  Result<Open*> open(const LogName& log);
  Result<> rebuild_index(const LogName& log, Open& open);
  Result<> add_to_index(Open& open, std::uint64_t offset, std::string_view bytes);

  const std::string folder_;
  Executor& executor_;
  const std::unique_ptr<Monitor> monitor_;
  std::map<LogName, Open> open_;
  std::uint64_t clock_ = 0;
};

}  // namespace slipway::hub
