// SPDX-License-Identifier: Apache-2.0
#include "sandbox/cri_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <thread>

#include "base/strings.h"

namespace slipway::sandbox {
namespace {

constexpr std::chrono::milliseconds follow_pause{50};
constexpr std::size_t read_piece = 64 * 1024;
constexpr std::size_t tail_block = 64 * 1024;

// "…05Z" and "…05.123Z" compare as text once both have nine digits.
std::string comparable(std::string_view time) {
  if (!time.ends_with('Z')) return std::string(time);
  std::string text(time.substr(0, time.size() - 1));
  const std::size_t dot = text.find('.');
  if (dot == std::string::npos) text += '.';
  const std::size_t digits = dot == std::string::npos ? 0 : text.size() - dot - 1;
  if (digits < 9) text.append(9 - digits, '0');
  return text;
}

// From records to what a reader asked for.
class Printer {
 public:
  Printer(const LogOptions& options, const LogSink& sink)
      : options_(options), sink_(sink), since_(comparable(options.since)), left_(options.limit_bytes) {}

  bool line(std::string_view text) {
    const auto record = parse_log_record(text);
    if (!record) return true;
    if (!options_.since.empty() && comparable(record->time) < since_) return true;
    std::string out;
    if (options_.timestamps && !inside_line_) out = std::string(record->time) + ' ';
    out += record->text;
    if (record->whole) out += '\n';
    inside_line_ = !record->whole;
    return give(out);
  }

 private:
  bool give(std::string_view out) {
    if (!left_) return sink_(out);
    const auto part = out.substr(0, static_cast<std::size_t>(std::max<std::int64_t>(*left_, 0)));
    *left_ -= static_cast<std::int64_t>(part.size());
    return (part.empty() || sink_(part)) && *left_ > 0;
  }

  const LogOptions& options_;
  const LogSink& sink_;
  std::string since_;
  std::optional<std::int64_t> left_;
  bool inside_line_ = false;
};

// Reads lines from a file that may still grow.
class LineReader {
 public:
  explicit LineReader(UniqueFd file) : file_(std::move(file)) {}
  int descriptor() const { return file_.get(); }

  // Every whole line that is there now; false when the printer has enough.
  Result<bool> drain(Printer& printer) {
    char buffer[read_piece];
    while (true) {
      const ssize_t size = ::read(file_.get(), buffer, sizeof buffer);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return fail_errno("cannot read", "container log");
      if (size == 0) return true;
      rest_.append(buffer, static_cast<std::size_t>(size));
      std::size_t start = 0;
      for (std::size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1)
        if (!printer.line(std::string_view(rest_).substr(start, end - start))) return false;
      rest_.erase(0, start);
    }
  }

 private:
  UniqueFd file_;
  std::string rest_;
};

UniqueFd open_log(const std::string& path) { return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

std::string rotated(const std::string& path, int number) { return number == 0 ? path : fmt::format("{}.{}", path, number); }

int oldest_file(const std::string& path) {
  int number = 0;
  while (exists(rotated(path, number + 1))) ++number;
  return number;
}

// Where the last `wanted` whole lines of a file begin, and how many it has of them. Reads backwards, block by block.
struct TailStart {
  std::uint64_t offset = 0;
  std::int64_t lines = 0;
};
TailStart find_tail(const UniqueFd& file, std::int64_t wanted) {
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return {};
  TailStart tail;
  std::string block(tail_block, '\0');
  for (auto end = static_cast<std::uint64_t>(info.st_size); end > 0;) {
    const std::uint64_t begin = end > tail_block ? end - tail_block : 0;
    if (::pread(file.get(), block.data(), end - begin, static_cast<off_t>(begin)) < 0) return {};
    for (std::uint64_t at = end; at > begin; --at) {
      if (block[at - begin - 1] != '\n') continue;
      if (tail.lines == wanted) return tail.offset = at, tail;
      ++tail.lines;
    }
    end = begin;
  }
  return tail;
}

bool same_file(int descriptor, const std::string& path) {
  struct stat a{}, b{};
  return ::fstat(descriptor, &a) == 0 && ::stat(path.c_str(), &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// Goes on where the current file ends, and with the next file once it was rotated away.
Result<> follow(const std::string& path, LineReader reader, Printer& printer, std::stop_token stop, const std::function<bool()>& ended) {
  while (!stop.stop_requested()) {
    const bool over = ended && ended();  // asked before the last read
    const bool turned = !same_file(reader.descriptor(), path);
    if (!TRY(reader.drain(printer))) return {};
    if (turned) {
      UniqueFd next = open_log(path);
      if (!next) return {};
      reader = LineReader(std::move(next));
      continue;
    }
    if (over) return {};
    std::this_thread::sleep_for(follow_pause);
  }
  return {};
}

}  // namespace

void LineCutter::add(std::string_view bytes, Wall time, std::string& out) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::size_t room = max_log_line - rest_.size();
    if (newline != std::string_view::npos && newline <= room) {
      rest_.append(bytes.substr(0, newline));
      record(rest_, 'F', time, out);
      rest_.clear();
      bytes.remove_prefix(newline + 1);
    } else if (bytes.size() > room) {
      rest_.append(bytes.substr(0, room));
      record(rest_, 'P', time, out);
      rest_.clear();
      bytes.remove_prefix(room);
    } else {
      rest_.append(bytes);
      return;
    }
  }
}

void LineCutter::end(Wall time, std::string& out) {
  if (rest_.empty()) return;
  record(rest_, 'F', time, out);
  rest_.clear();
}

void LineCutter::record(std::string_view line, char tag, Wall time, std::string& out) const {
  out += format_rfc3339_nano(time);
  out += stream_ == LogStream::out ? " stdout " : " stderr ";
  out += tag;
  out += ' ';
  out += line;
  out += '\n';
}

Result<LogFile> LogFile::open(const std::string& path, LogLimits limits) {
  LogFile file(path, limits);
  TRY(file.open_file());
  return file;
}

Result<> LogFile::open_file() {
  file_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (!file_) return fail_errno("cannot open", path_);
  struct stat info{};
  if (::fstat(file_.get(), &info) != 0) return fail_errno("cannot look at", path_);
  size_ = static_cast<std::uint64_t>(info.st_size);
  return {};
}

Result<> LogFile::rotate() {
  for (int number = limits_.files - 1; number > 0; --number)
    if (::rename(rotated(path_, number - 1).c_str(), rotated(path_, number).c_str()) != 0 && errno != ENOENT)
      return fail_errno("cannot rename", path_);
  return open_file();
}

Result<> LogFile::append(std::string_view records) {
  if (records.empty()) return {};
  if (size_ > 0 && size_ + records.size() > limits_.file_bytes && limits_.files > 1) TRY(rotate());
  TRY(write_all(file_.get(), records));
  size_ += records.size();
  return {};
}

std::optional<LogRecord> parse_log_record(std::string_view line) {
  const std::size_t a = line.find(' ');
  const std::size_t b = a == std::string_view::npos ? a : line.find(' ', a + 1);
  const std::size_t c = b == std::string_view::npos ? b : line.find(' ', b + 1);
  if (c == std::string_view::npos) return std::nullopt;
  return LogRecord{line.substr(0, a), line.substr(a + 1, b - a - 1), line.substr(c + 1), line.substr(b + 1, 1) != "P"};
}

Result<> read_log(const std::string& path, const LogOptions& options, const LogSink& sink, std::stop_token stop,
                  const std::function<bool()>& ended) {
  struct Part {
    UniqueFd file;
    std::uint64_t offset = 0;
  };
  std::deque<Part> parts;  // oldest first; opened at once, so that a rotation in between loses nothing
  std::int64_t missing = options.tail_lines.value_or(0);
  const int oldest = oldest_file(path);
  for (int number = 0; number <= oldest; ++number) {
    UniqueFd file = open_log(rotated(path, number));
    if (!file) continue;
    TailStart tail;
    if (options.tail_lines) tail = find_tail(file, missing), missing -= tail.lines;
    parts.push_front({std::move(file), tail.offset});
    if (options.tail_lines && missing <= 0) break;
  }
  if (parts.empty()) return fail(ErrorCode::not_found, "the container has no log yet");
  Printer printer(options, sink);
  while (true) {
    ::lseek(parts.front().file.get(), static_cast<off_t>(parts.front().offset), SEEK_SET);
    LineReader reader(std::move(parts.front().file));
    parts.pop_front();
    if (!TRY(reader.drain(printer))) return {};
    if (parts.empty()) return options.follow == Follow::no ? Result<>() : follow(path, std::move(reader), printer, stop, ended);
  }
}

}  // namespace slipway::sandbox
