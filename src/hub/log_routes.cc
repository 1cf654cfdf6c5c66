// SPDX-License-Identifier: Apache-2.0
#include "hub/log_routes.h"

#include <fmt/format.h>

#include <atomic>

#include "base/strings.h"

namespace slipway::hub {
namespace {

void answer(net::Exchange& exchange, int status, std::string_view text) { exchange.respond({status, {{"Content-Type", "text/plain"}}, std::string(text) + "\n"}); }

}  // namespace

Result<> receive_log(net::Exchange& exchange, Logs& logs, const LogName& log) {
  const auto offset = parse_int(exchange.head().url.param("offset"));
  if (!offset || *offset < 0) return fail(ErrorCode::invalid, "offset is missing");
  std::string bytes;
  for (;;) {
    const std::string piece = TRY(exchange.read_some(max_log_piece));
    if (piece.empty()) break;
    bytes += piece;
    if (bytes.size() > max_log_piece) return fail(ErrorCode::too_large, fmt::format("more than {} bytes of a log at once", max_log_piece));
  }
  std::uint64_t end = 0;
  const auto done = logs.append(log, static_cast<std::uint64_t>(*offset), bytes, end);
  if (!done && done.error().code != ErrorCode::conflict) return std::unexpected(done.error());
  exchange.respond({done ? 200 : 409, {{"Content-Type", "application/json"}}, fmt::format("{{\"offset\":{}}}\n", end)});
  return {};
}

void LogRoutes::handle(std::shared_ptr<net::Exchange> exchange) {
  const auto parts = split(exchange->head().url.path, '/');  // "", hub, v1, logs, OWNER, NAME
  const std::string& method = exchange->head().method;
  if (parts.size() != 6 || !Logs::is_plain_name(parts[4]) || !Logs::is_plain_name(parts[5])) return answer(*exchange, 404, "not found");
  if (method != "GET" && method != "PUT" && method != "POST") return answer(*exchange, 405, "GET, PUT or POST");
  const LogName log{std::string(parts[4]), std::string(parts[5])};
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& entry) { return entry.first->load(); });
  if (tasks_.size() >= max_followers) return answer(*exchange, 429, "too many followers of logs");
  tasks_.emplace_back(over, executor_.spawn("log", [this, exchange, log, over](const std::stop_token& stop) {
    const std::string& how = exchange->head().method;
    Result<> done;
    if (how == "GET") send(*exchange, log, stop);
    else if (how == "PUT") done = receive_log(*exchange, logs_, log);
    else if (done = logs_.finish(log); done) answer(*exchange, 200, "ok");  // POST: nothing more comes
    if (!done) answer(*exchange, done.error().code == ErrorCode::too_large ? 413 : done.error().code == ErrorCode::invalid ? 400 : 500, done.error().message);
    over->store(true);
  }));
}

void LogRoutes::send(net::Exchange& exchange, const LogName& log, const std::stop_token& stop) {
  const net::Url& url = exchange.head().url;
  const bool follow = url.param("follow") == "true";
  std::uint64_t offset = static_cast<std::uint64_t>(std::max<std::int64_t>(0, parse_int(url.param("offset")).value_or(0)));
  if (const auto tail = parse_int(url.param("tail")); tail && *tail >= 0) offset = logs_.tail_offset(log, static_cast<std::uint64_t>(*tail)).value_or(0);
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  exchange.on_gone([gone] { gone->store(true); });
  exchange.start(200, {{"Content-Type", "text/plain; charset=utf-8"}, {"X-Content-Type-Options", "nosniff"}});
  while (!stop.stop_requested() && !gone->load()) {
    // Asked before the read: what comes between the two is read by the next turn.
    const bool finished = logs_.is_finished(log);
    const auto piece = logs_.read(log, offset, 256 * 1024);
    if (!piece) return exchange.abort();
    if (!piece->empty()) {
      offset += piece->size();
      if (!exchange.write_blocking(*piece)) return;
      continue;
    }
    if (!follow || finished) break;
    logs_.wait(log, offset, std::chrono::seconds(5), stop);
  }
  exchange.finish();
}

}  // namespace slipway::hub
