// SPDX-License-Identifier: Apache-2.0
#include "main/build_logs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/files.h"

namespace slipway::app {
namespace {

constexpr std::chrono::milliseconds pause{100}, after_failure{2'000};
constexpr std::size_t max_piece = 512 * 1024;

std::string target_of(const std::string& uid) { return "/hub/v1/logs/" + uid + "/build"; }

}  // namespace

BuildLogs::BuildLogs(kube::Client& client, std::string token, Executor& executor) : plane_(client), token_(std::move(token)), executor_(executor), monitor_(executor.make_monitor()) {
  task_ = executor_.spawn("build-logs", [this](const std::stop_token& stop) { run(stop); });
}

BuildLogs::~BuildLogs() = default;

void BuildLogs::begin(const std::string& uid, const std::string& path) {
  Guard guard(*monitor_);
  logs_[uid] = {path};
  monitor_->notify_all();
}

void BuildLogs::end(const std::string& uid) {
  Guard guard(*monitor_);
  if (const auto found = logs_.find(uid); found != logs_.end()) found->second.over = true;
  monitor_->notify_all();
}

void BuildLogs::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::map<std::string, Following> now;
    {
      Guard guard(*monitor_);
      if (!guard.wait_until([&] { return !logs_.empty(); }, stop, std::nullopt, executor_.clock())) return;
      now = logs_;
    }
    bool failed = false;
    for (auto& [uid, log] : now) {
      const auto whole = bring(uid, log);
      failed |= !whole;
      Guard guard(*monitor_);
      const auto found = logs_.find(uid);
      if (found == logs_.end()) continue;
      if (whole && *whole && log.over) logs_.erase(found);
      else found->second.sent = log.sent, found->second.known = log.known;
    }
    executor_.sleep(failed ? after_failure : pause, stop);
  }
}

Result<bool> BuildLogs::bring(const std::string& uid, Following& log) {
  const UniqueFd file(::open(log.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return true;  // nothing was written
  const auto offset_of = [](const std::string& body) -> Result<std::uint64_t> { return static_cast<std::uint64_t>(TRY(text::parse_json(body))["offset"].as_int()); };
  if (!log.known) {
    log.sent = TRY(offset_of(TRY(send("PUT", target_of(uid) + "?offset=0", ""))));
    log.known = true;
  }
  for (;;) {
    std::string piece(max_piece, '\0');
    const ssize_t got = ::pread(file.get(), piece.data(), piece.size(), static_cast<off_t>(log.sent));
    if (got <= 0) break;
    piece.resize(static_cast<std::size_t>(got));
    log.sent = TRY(offset_of(TRY(send("PUT", fmt::format("{}?offset={}", target_of(uid), log.sent), std::move(piece)))));
  }
  if (log.over) TRY(send("POST", target_of(uid), ""));
  return true;
}

Result<std::string> BuildLogs::send(std::string_view method, const std::string& target, std::string body) {
  if (!hub_) {
    const auto info = TRY(plane_.get(kube::resources::config_maps, {"kube-public", "slipway-info"}));
    hub_ = TRY(net::make_client(TRY(net::Origin::parse(info["data"]["url"].as_string())), {.pinned_sha256 = info["data"]["pin"].str()}));
  }
  net::ClientRequest request{.method = std::string(method), .target = target, .body = std::move(body)};
  request.headers.set("Authorization", "Bearer " + token_);
  auto answer = hub_->send(request);
  if (!answer) return hub_.reset(), std::unexpected(std::move(answer.error()));
  if (answer->status != 200 && answer->status != 409) return fail(ErrorCode::unavailable, fmt::format("the hub answers {}", answer->status));
  return answer->body;
}

}  // namespace slipway::app
