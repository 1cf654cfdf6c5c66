// SPDX-License-Identifier: Apache-2.0
// What a forge's webhook says: who sent it, whether the signature holds, which refs were pushed. Pure.
//
// The signature is checked over the bytes as they came, before anything reads them (B14, conventions E1 to E4). Errors:
// unauthenticated (the signature), invalid (what is not a webhook, or not what the forge sends).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/http.h"

namespace slipway::forge {

constexpr std::size_t max_webhook_body = 1024 * 1024;
constexpr std::chrono::minutes max_webhook_age{5};  // where the forge signs a time
constexpr std::size_t min_webhook_secret = 16;
constexpr std::size_t max_webhook_changes = 20;    // a fetch brings the others all the same

enum class Provider { github, gitlab, bitbucket, gitea };
std::string_view name_of(Provider provider);
std::optional<Provider> provider_of(std::string_view name);

enum class WebhookKind { push, ping, other };

// The headers of a delivery; nothing in here is checked yet.
struct WebhookHead {
  Provider provider = Provider::github;
  WebhookKind kind = WebhookKind::other;
  std::string event;     // as the forge names it
  std::string delivery;  // the forge's id of this delivery
  bool binds_id = false;  // who can send another id with this body knows the secret anyway
};

struct RefChange {
  std::string ref;     // "refs/heads/main"
  std::string before;  // empty: the ref is new
  std::string after;   // empty: the ref is gone
};

struct PushEventBody {
  std::vector<std::string> urls;  // names that the forge gives the repository
  std::vector<RefChange> changes;
};

bool has_json_content(const net::Headers& headers);
// `expected`: the only provider that this address is for, where that is known.
Result<WebhookHead> read_webhook_head(const net::Headers& headers, std::optional<Provider> expected);
Result<> verify_webhook(const WebhookHead& head, const net::Headers& headers, std::string_view body, std::string_view secret, Wall now);
// Of a verified body of kind push.
Result<PushEventBody> parse_push(const WebhookHead& head, std::string_view body);

}  // namespace slipway::forge
