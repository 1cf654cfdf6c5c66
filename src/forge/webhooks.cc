// SPDX-License-Identifier: Apache-2.0
#include "forge/webhooks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"
#include "source/repositories.h"
#include "text/json.h"

namespace slipway::forge {
namespace {

using text::Json;

constexpr std::size_t max_id = 200;
constexpr std::size_t max_signatures = 8;
constexpr std::size_t max_urls = 8;

std::unexpected<Error> wrong_signature() {
  return fail(ErrorCode::unauthenticated, "the signature is wrong: the webhook's secret differs from the one that this repository was connected with");
}
std::unexpected<Error> no_signature(std::string_view header) {
  return fail(ErrorCode::unauthenticated, fmt::format("the delivery is not signed ({} is missing): set the webhook's secret", header));
}

Result<> same(std::string_view given, std::string_view wanted) {
  // Digests of both, so that not even the length of a secret is told by time.
  return equals_in_constant_time(sha256(given), sha256(wanted)) ? Result<>{} : wrong_signature();
}

Result<> verify_hex(const net::Headers& headers, std::string_view header, std::string_view prefix, std::string_view body, std::string_view secret) {
  std::string_view given = headers.get(header);
  if (given.empty()) return no_signature(header);
  if (!given.starts_with(prefix)) return wrong_signature();
  given.remove_prefix(prefix.size());
  return same(to_lower(given), to_hex(hmac_sha256(secret, body)));
}

// Standard Webhooks: a secret that begins with "whsec_" is base64 of the key, any other is the key.
std::string signing_key(std::string_view secret) {
  constexpr std::string_view prefix = "whsec_";
  if (!secret.starts_with(prefix)) return std::string(secret);
  return from_base64(secret.substr(prefix.size())).value_or(std::string(secret));
}

Result<> verify_standard(const net::Headers& headers, std::string_view body, std::string_view secret, Wall now) {
  const auto id = headers.get("webhook-id"), time = headers.get("webhook-timestamp");
  const auto seconds = parse_int(time);
  if (id.empty() || !seconds) return no_signature("webhook-timestamp");
  const std::string wanted = to_base64(hmac_sha256(signing_key(secret), fmt::format("{}.{}.{}", id, time, body)));
  const auto signatures = split(headers.get("webhook-signature"), ' ');
  bool holds = false;
  for (std::size_t i = 0; i < std::min(signatures.size(), max_signatures); ++i)
    holds |= signatures[i].starts_with("v1,") && same(signatures[i].substr(3), wanted).has_value();
  if (!holds) return wrong_signature();
  const auto sent = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() - *seconds;
  const auto limit = std::chrono::duration_cast<std::chrono::seconds>(max_webhook_age).count();
  if (sent > limit || sent < -limit) return fail(ErrorCode::unauthenticated, "the delivery was signed more than five minutes ago or ahead; is a clock wrong?");
  return {};
}

Result<> verify_gitlab(const net::Headers& headers, std::string_view body, std::string_view secret, Wall now) {
  if (headers.has("webhook-signature")) return verify_standard(headers, body, secret, now);
  const auto given = headers.get("X-Gitlab-Token");
  if (given.empty()) return no_signature("X-Gitlab-Token");
  return same(given, secret);
}

std::string_view first_of(const net::Headers& headers, std::initializer_list<std::string_view> names) {
  for (const auto name : names)
    if (const auto value = headers.get(name); !value.empty()) return value;
  return {};
}

// Gitea and Forgejo also send GitHub's headers, so they are asked first.
std::optional<Provider> sender_of(const net::Headers& headers) {
  if (headers.has("X-Gitea-Event") || headers.has("X-Forgejo-Event")) return Provider::gitea;
  if (headers.has("X-Gitlab-Event")) return Provider::gitlab;
  if (headers.has("X-Event-Key")) return Provider::bitbucket;
  if (headers.has("X-GitHub-Event")) return Provider::github;
  return std::nullopt;
}

WebhookKind kind_of(Provider provider, std::string_view event) {
  switch (provider) {
    case Provider::github: return event == "push" ? WebhookKind::push : event == "ping" ? WebhookKind::ping : WebhookKind::other;
    case Provider::gitea: return event == "push" ? WebhookKind::push : WebhookKind::other;
    case Provider::gitlab: return event == "Push Hook" || event == "Tag Push Hook" ? WebhookKind::push : WebhookKind::other;
    case Provider::bitbucket:
      return event == "repo:push" || event == "repo:refs_changed" ? WebhookKind::push : event == "diagnostics:ping" ? WebhookKind::ping : WebhookKind::other;
  }
  return WebhookKind::other;
}

// A commit as forges write it: all zeros where there is none.
Result<std::string> commit_of(const Json& value) {
  const auto text = value.as_string();
  if (text.empty() || text.find_first_not_of('0') == text.npos) return std::string();
  if (!source::is_commit_id(text)) return fail(ErrorCode::invalid, "the delivery names a commit that is none");
  return std::string(text);
}

Result<> add_change(PushEventBody& out, std::string_view ref, const Json& before, const Json& after) {
  if (!source::is_safe_ref(ref)) return fail(ErrorCode::invalid, "the delivery names a ref that is none");
  std::string from = TRY(commit_of(before)), to = TRY(commit_of(after));
  if (out.changes.size() < max_webhook_changes) out.changes.push_back({std::string(ref), std::move(from), std::move(to)});
  return {};
}

void add_url(PushEventBody& out, const Json& url) {
  if (!url.as_string().empty() && out.urls.size() < max_urls) out.urls.push_back(url.str());
}

Result<PushEventBody> parse_plain(const Json& body, std::initializer_list<const char*> places, std::initializer_list<const char*> names) {
  PushEventBody out;
  for (const char* place : places)
    for (const char* name : names) add_url(out, body[place][name]);
  TRY(add_change(out, body["ref"].as_string(), body["before"], body["after"]));
  return out;
}

std::string cloud_ref(const Json& side) { return fmt::format("refs/{}/{}", side["type"].as_string() == "tag" ? "tags" : "heads", side["name"].as_string()); }

Result<PushEventBody> parse_bitbucket_cloud(const Json& body) {
  PushEventBody out;
  add_url(out, body["repository"]["links"]["html"]["href"]);
  for (const Json& change : body["push"]["changes"].items()) {
    const Json& now = change["new"];
    TRY(add_change(out, cloud_ref(now.is_null() ? change["old"] : now), change["old"]["target"]["hash"], now["target"]["hash"]));
  }
  return out;
}

Result<PushEventBody> parse_bitbucket_server(const Json& body) {
  PushEventBody out;
  for (const Json& link : body["repository"]["links"]["clone"].items()) add_url(out, link["href"]);
  for (const Json& change : body["changes"].items()) TRY(add_change(out, change["ref"]["id"].as_string(), change["fromHash"], change["toHash"]));
  return out;
}

Result<PushEventBody> parse_for(const WebhookHead& head, const Json& body) {
  switch (head.provider) {
    case Provider::github:
    case Provider::gitea: return parse_plain(body, {"repository"}, {"clone_url", "html_url"});
    case Provider::gitlab: return parse_plain(body, {"project", "repository"}, {"git_http_url", "web_url", "homepage"});
    case Provider::bitbucket: return head.event == "repo:push" ? parse_bitbucket_cloud(body) : parse_bitbucket_server(body);
  }
  return fail(ErrorCode::internal, "an unknown provider");
}

}  // namespace

std::string_view name_of(Provider provider) {
  switch (provider) {
    case Provider::github: return "github";
    case Provider::gitlab: return "gitlab";
    case Provider::bitbucket: return "bitbucket";
    case Provider::gitea: return "gitea";
  }
  return "";
}

std::optional<Provider> provider_of(std::string_view name) {
  if (name == "forgejo") return Provider::gitea;
  for (const Provider one : {Provider::github, Provider::gitlab, Provider::bitbucket, Provider::gitea})
    if (name_of(one) == name) return one;
  return std::nullopt;
}

bool has_json_content(const net::Headers& headers) {
  const auto value = headers.get("Content-Type");
  return equals_ignoring_case(trim(value.substr(0, value.find(';'))), "application/json");
}

Result<WebhookHead> read_webhook_head(const net::Headers& headers, std::optional<Provider> expected) {
  const auto sender = sender_of(headers);
  if (!sender) return fail(ErrorCode::invalid, "this is no webhook of GitHub, GitLab, Bitbucket, Gitea or Forgejo: the event header is missing");
  if (expected && *expected != *sender)
    return fail(ErrorCode::invalid, fmt::format("this address takes webhooks of {} alone, not of {}", name_of(*expected), name_of(*sender)));
  WebhookHead head{.provider = *sender};
  std::string_view id;
  switch (*sender) {
    case Provider::github:
      head.event = headers.get("X-GitHub-Event");
      id = headers.get("X-GitHub-Delivery");
      break;
    case Provider::gitlab:
      head.event = headers.get("X-Gitlab-Event");
      head.binds_id = true;
      id = first_of(headers, {"webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID"});
      break;
    case Provider::bitbucket:
      head.event = headers.get("X-Event-Key");
      id = first_of(headers, {"X-Request-UUID", "X-Request-Id"});
      break;
    case Provider::gitea:
      head.event = first_of(headers, {"X-Forgejo-Event", "X-Gitea-Event"});
      id = first_of(headers, {"X-Forgejo-Delivery", "X-Gitea-Delivery"});
      break;
  }
  head.kind = kind_of(*sender, head.event);
  const bool plain = std::ranges::all_of(id, [](char c) { return c > ' ' && c < 127; });
  if (id.empty() || id.size() > max_id || !plain) return fail(ErrorCode::invalid, "the delivery has no id, or one that is none");
  head.delivery = id;
  return head;
}

Result<> verify_webhook(const WebhookHead& head, const net::Headers& headers, std::string_view body, std::string_view secret, Wall now) {
  if (secret.size() < min_webhook_secret) return fail(ErrorCode::unauthenticated, fmt::format("the webhook's secret has fewer than {} characters", min_webhook_secret));
  switch (head.provider) {
    case Provider::github: return verify_hex(headers, "X-Hub-Signature-256", "sha256=", body, secret);
    case Provider::gitlab: return verify_gitlab(headers, body, secret, now);
    case Provider::bitbucket: return verify_hex(headers, "X-Hub-Signature", "sha256=", body, secret);
    case Provider::gitea: return verify_hex(headers, headers.has("X-Forgejo-Signature") ? "X-Forgejo-Signature" : "X-Gitea-Signature", "", body, secret);
  }
  return wrong_signature();
}

Result<PushEventBody> parse_push(const WebhookHead& head, std::string_view body) {
  const Json value = TRY(at(text::parse_json(body, {.depth = 50, .values = 100'000}), "the body of the delivery"));
  if (!value.is_object()) return fail(ErrorCode::invalid, "the body of the delivery is no object");
  auto out = TRY(parse_for(head, value));
  if (out.urls.empty()) return fail(ErrorCode::invalid, "the delivery does not name its repository");
  if (out.changes.empty()) return fail(ErrorCode::invalid, "the delivery names no ref");
  return out;
}

}  // namespace slipway::forge
