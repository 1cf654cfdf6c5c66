// SPDX-License-Identifier: Apache-2.0
#include "forge/webhook_routes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/log.h"
#include "base/strings.h"

namespace slipway::forge {
namespace {

constexpr std::string_view prefix = "/hooks/v1/";

net::Response text_answer(int status, std::string message) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}, {"Cache-Control", "no-store"}}, message + "\n"};
}

net::Response answer_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::unauthenticated:
    case ErrorCode::not_found: return text_answer(401, error.message);
    case ErrorCode::already_exists: return text_answer(409, error.message);
    case ErrorCode::invalid: return text_answer(400, error.to_string());
    case ErrorCode::forbidden: return text_answer(422, error.message);
    case ErrorCode::too_large: return text_answer(413, error.message);
    case ErrorCode::throttled: return text_answer(429, error.message);
    default: return text_answer(503, "the delivery could not be stored; send it again");
  }
}

Result<source::RepositoryName> repository_of(std::string_view path) {
  const auto parts = split(path.substr(prefix.size()), '/');
  if (parts.size() != 2) return fail(ErrorCode::not_found, "a webhook's address is /hooks/v1/NAMESPACE/NAME");
  return source::RepositoryName::parse(parts[0], parts[1]);
}

std::string_view address_of(std::string_view peer) { return peer.substr(0, peer.rfind(':')); }

}  // namespace

bool PeerLimit::admit(std::string_view peer, Steady now) {
  const std::lock_guard lock(mutex_);
  auto found = buckets_.find(peer);
  if (found == buckets_.end()) {
    if (buckets_.size() >= max_peers) {
      std::erase_if(buckets_, [&](const auto& one) { return std::chrono::duration<double>(now - one.second.at).count() * per_second >= burst; });
      if (buckets_.size() >= max_peers) buckets_.clear();
    }
    found = buckets_.emplace(std::string(peer), Bucket{burst, now}).first;
  }
  Bucket& bucket = found->second;
  bucket.tokens = std::min(burst, bucket.tokens + std::chrono::duration<double>(now - bucket.at).count() * per_second);
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

WebhookRoutes::~WebhookRoutes() = default;

void WebhookRoutes::handle(std::shared_ptr<net::Exchange> exchange) {
  const net::RequestHead& head = exchange->head();
  const auto repository = repository_of(head.url.path);
  if (!repository) return exchange->respond(text_answer(404, repository.error().message));
  if (head.method != "POST") {
    auto answer = text_answer(405, "webhooks are sent by POST");
    answer.headers.add("Allow", "POST");
    return exchange->respond(std::move(answer));
  }
  if (!has_json_content(head.headers)) return exchange->respond(text_answer(415, "set the webhook's content type to application/json"));
  const bool admitted = limit_.admit(address_of(head.peer), dependencies_.executor.clock().steady());
  const std::shared_ptr<void> slot(nullptr, [this](void*) { running_.fetch_sub(1); });
  if (running_.fetch_add(1) >= max_running || !admitted) {
    auto answer = text_answer(admitted ? 503 : 429, "too many deliveries at once");
    answer.headers.add("Retry-After", "10");
    return exchange->respond(std::move(answer));
  }
  exchange->read_body(max_webhook_body, [this, exchange, name = *repository, slot](Result<std::string> body) {
    if (!body) return exchange->respond(text_answer(body.error().code == ErrorCode::too_large ? 413 : 400, "the delivery is larger than 1 MiB, or was cut short; polling brings the push all the same"));
    answer_later(exchange, name, std::move(*body), slot);
  });
}

void WebhookRoutes::answer_later(std::shared_ptr<net::Exchange> exchange, source::RepositoryName repository, std::string body, std::shared_ptr<void> slot) {
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& entry) { return entry.first->load(); });
  auto work = [this, exchange = std::move(exchange), repository = std::move(repository), body = std::move(body), slot = std::move(slot), over](const std::stop_token&) {
    exchange->respond(receive(repository, exchange->head().headers, body));
    over->store(true);
  };
  tasks_.emplace_back(over, dependencies_.executor.spawn("webhook", std::move(work)));
}

// The result is what to say; `status` is 200 or 202.
Result<std::string> WebhookRoutes::take(const source::RepositoryName& repository, const net::Headers& headers, std::string_view body, int& status, std::string& provider) {
  const auto target = dependencies_.target(repository);
  const WebhookHead head = TRY(read_webhook_head(headers, std::nullopt));
  provider = name_of(head.provider);
  // Whether there is a webhook at this address is not told to who cannot sign for it.
  if (!target && target.error().code != ErrorCode::not_found && target.error().code != ErrorCode::invalid) return std::unexpected(target.error());
  const std::string nobody = sha256_hex(body);
  TRY(verify_webhook(head, headers, body, target ? target->secret : nobody, dependencies_.executor.clock().now()));
  if (!target) return fail(ErrorCode::unauthenticated, "there is no webhook at this address");
  TRY(read_webhook_head(headers, target->provider));
  if (head.kind == WebhookKind::ping) return "pong";
  if (head.kind == WebhookKind::other) return fmt::format("{} starts nothing here", printable(head.event.substr(0, 100)));
  PushEventBody push = TRY(parse_push(head, body));
  if (std::ranges::none_of(push.urls, [&](const std::string& url) { return source::same_repository(url, target->url); }))
    return fail(ErrorCode::forbidden, fmt::format("the push is to {}, and this address is for another repository", printable(push.urls.front().substr(0, 200))));
  Delivery delivery{.repository = repository, .provider = head.provider, .id = head.delivery, .body_digest = head.binds_id ? "" : sha256_hex(body), .changes = std::move(push.changes)};
  TRY(dependencies_.deliveries.record(std::move(delivery)));
  status = 202;
  dependencies_.wake({repository.ns, repository.name});
  return "the push is recorded and will be fetched";
}

net::Response WebhookRoutes::receive(const source::RepositoryName& repository, const net::Headers& headers, std::string_view body) {
  int status = 200;
  std::string provider = "unknown";
  const auto taken = take(repository, headers, body, status, provider);
  auto answer = taken ? text_answer(status, *taken) : answer_of(taken.error());
  dependencies_.metrics.counter("slipway_webhooks_total", "Webhook deliveries by provider and answer", {{"provider", provider}, {"code", std::to_string(answer.status)}}).add();
  if (!taken) log::warn("A webhook was refused", {{"repository", repository.to_string()}, {"provider", provider}, {"status", answer.status}, {"reason", taken.error().message}});
  else if (status == 202) log::info("A webhook told of a push", {{"repository", repository.to_string()}, {"provider", provider}});
  return answer;
}

}  // namespace slipway::forge
