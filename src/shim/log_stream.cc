// SPDX-License-Identifier: Apache-2.0
#include "shim/log_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace slipway::shim {
namespace {

constexpr std::size_t max_piece = 512 * 1024;
constexpr std::chrono::milliseconds gather{20};  // so that a line at a time does not become a request at a time
constexpr std::chrono::milliseconds first_pause{50}, longest_pause{5'000};

}  // namespace

Result<std::unique_ptr<LogStream>> LogStream::open(const std::string& path, std::string step, const std::vector<std::string>& secrets, HubClient* hub, Executor& executor) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return fail_errno("cannot make", path);
  auto stream = std::unique_ptr<LogStream>(new LogStream(std::move(file), std::move(step), secrets, hub, executor));
  if (hub) stream->sender_ = executor.spawn("log", [self = stream.get()](const std::stop_token& stop) { self->send(stop); });
  return stream;
}

LogStream::~LogStream() = default;

void LogStream::write(std::string_view bytes) { emit(masker_.feed(bytes)); }

void LogStream::emit(std::string_view bytes) {
  if (bytes.empty()) return;
  (void)write_all(STDOUT_FILENO, bytes);
  Guard guard(*monitor_);
  if (written_ >= max_log) return;
  const std::string_view fits = bytes.substr(0, max_log - written_);
  if (!write_all(file_.get(), fits)) return;
  written_ += fits.size();
  monitor_->notify_all();
}

void LogStream::send(const std::stop_token& stop) {
  auto pause = first_pause;
  for (;;) {
    std::uint64_t from = 0, to = 0;
    {
      Guard guard(*monitor_);
      if (!guard.wait_until([&] { return sent_ < written_; }, stop, std::nullopt, executor_.clock())) return;
      from = sent_;
    }
    executor_.sleep(gather, stop);
    {
      Guard guard(*monitor_);
      to = std::min(written_, from + max_piece);
    }
    std::string piece(to - from, '\0');
    const ssize_t got = ::pread(file_.get(), piece.data(), piece.size(), static_cast<off_t>(from));
    if (got <= 0) return;
    piece.resize(static_cast<std::size_t>(got));
    const auto end = hub_->append_log(step_, from, std::move(piece));
    if (end) {
      pause = first_pause;
      Guard guard(*monitor_);
      sent_ = std::min(*end, written_);
      monitor_->notify_all();
      continue;
    }
    if (end.error().code == ErrorCode::forbidden || end.error().code == ErrorCode::too_large) {
      Guard guard(*monitor_);
      given_up_ = true;
      monitor_->notify_all();
      return;
    }
    if (!executor_.sleep(pause, stop)) return;
    pause = std::min(pause * 2, longest_pause);
  }
}

Result<> LogStream::finish(std::chrono::milliseconds patience) {
  pause();
  if (!hub_) return {};
  bool done = false;
  {
    Guard guard(*monitor_);
    guard.wait_until([&] { return given_up_ || sent_ == written_; }, {}, executor_.clock().steady() + patience, executor_.clock());
    done = sent_ == written_;
  }
  sender_.reset();
  return done ? Result<>{} : fail(ErrorCode::unavailable, "the hub did not take the whole log");
}

}  // namespace slipway::shim
