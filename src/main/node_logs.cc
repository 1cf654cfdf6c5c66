// SPDX-License-Identifier: Apache-2.0
#include "main/node_logs.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::app {
namespace {

std::optional<std::int64_t> number(const net::Url& url, std::string_view name) { return parse_int(url.param(name)); }

cluster::PodLogOptions options_of(const net::Url& url, const Clock& clock) {
  cluster::PodLogOptions options;
  options.previous = url.param("previous") == "true";
  options.read.follow = url.param("follow") == "true" ? sandbox::Follow::yes : sandbox::Follow::no;
  options.read.timestamps = url.param("timestamps") == "true";
  options.read.tail_lines = number(url, "tailLines");
  options.read.limit_bytes = number(url, "limitBytes");
  if (const auto seconds = number(url, "sinceSeconds")) options.read.since = format_rfc3339(clock.now() - std::chrono::seconds(*seconds));
  return options;
}

}  // namespace

NodeLogs::~NodeLogs() = default;

void NodeLogs::handle(std::shared_ptr<net::Exchange> exchange) {
  const auto& head = exchange->head();
  const bool token = shows_token(head);
  if (!token && (!may_read_ || head.client_certificate_cn.empty()))
    return exchange->respond({401, {{"Content-Type", "text/plain"}}, "a token is needed\n"});
  const auto parts = split(head.url.path, '/');
  if (parts.size() != 5 || parts[1] != "containerLogs" || head.method != "GET") return exchange->respond({404, {{"Content-Type", "text/plain"}}, "not found\n"});
  const kube::ObjectKey pod{std::string(parts[2]), std::string(parts[3])};
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& entry) { return entry.first->load(); });
  tasks_.emplace_back(over, executor_.spawn("logs", [this, exchange, pod, container = std::string(parts[4]), token, over](std::stop_token stop) {
    const auto& caller = exchange->head();
    const auto allowed = token ? Result<>() : may_read_(auth::Identity{caller.client_certificate_cn, caller.client_certificate_organizations, ""});
    if (allowed) stream(exchange, pod, container, stop);
    else exchange->respond({allowed.error().code == ErrorCode::forbidden ? 403 : 503, {{"Content-Type", "text/plain"}}, allowed.error().message + "\n"});
    over->store(true);
  }));
}

bool NodeLogs::shows_token(const net::RequestHead& head) const {
  const auto authorization = head.headers.get("Authorization");
  return authorization.starts_with("Bearer ") && equals_in_constant_time(authorization.substr(7), token_);
}

void NodeLogs::stream(const std::shared_ptr<net::Exchange>& exchange, const kube::ObjectKey& pod, const std::string& container, std::stop_token stop) {
  bool started = false;
  const auto start = [&] {
    if (!std::exchange(started, true)) exchange->start(200, {{"Content-Type", "text/plain"}});
  };
  std::stop_source gone;
  exchange->on_gone([gone]() mutable { gone.request_stop(); });
  const std::stop_callback both(stop, [&] { gone.request_stop(); });
  const auto done = agent_.read_logs(pod, container, options_of(exchange->head().url, executor_.clock()), [&](std::string_view piece) {
    start();
    return exchange->write_blocking(piece).has_value();
  }, gone.get_token());
  if (!done && !started) return exchange->respond({done.error().code == ErrorCode::not_found ? 404 : 400, {{"Content-Type", "text/plain"}}, done.error().message});
  start();
  exchange->finish();
}

Result<> RemoteNodeLogs::read(const api::LogRequest& request, const std::function<bool(std::string_view)>& on_piece, std::stop_token stop) {
  const auto& metadata = request.pod["metadata"];
  net::ClientRequest call{.target = fmt::format("/containerLogs/{}/{}/{}?follow={}&previous={}&timestamps={}", net::percent_encode(metadata["namespace"].as_string()),
                                                net::percent_encode(metadata["name"].as_string()), net::percent_encode(request.container), request.follow,
                                                request.previous, request.timestamps)};
  const auto add = [&](std::string_view name, const std::optional<std::int64_t>& value) {
    if (value) call.target += fmt::format("&{}={}", name, *value);
  };
  add("tailLines", request.tail_lines);
  add("sinceSeconds", request.since_seconds);
  add("limitBytes", request.limit_bytes);
  call.headers.set("Authorization", "Bearer " + token_);
  call.stall = std::chrono::milliseconds(0);
  int status = 0;
  std::string problem;
  TRY(client_->stream(
      call, [&](const net::Response& head) { return (status = head.status) > 0; },
      [&](std::string_view piece) {
        if (status == 200) return on_piece(piece);
        problem += piece;
        return problem.size() < 4096;
      },
      stop));
  if (status == 200) return {};
  return fail(status == 404 ? ErrorCode::not_found : ErrorCode::invalid, problem);
}

}  // namespace slipway::app
