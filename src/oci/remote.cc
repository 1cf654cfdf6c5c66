// SPDX-License-Identifier: Apache-2.0
#include "oci/remote.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "text/json.h"

namespace slipway::oci {
namespace {

using net::Response;
using text::Json;

constexpr std::size_t max_clients = 64;
constexpr std::size_t max_error_words = 300;
constexpr std::chrono::seconds head_limit{60};
constexpr std::chrono::seconds longest_asked_pause{120};

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

std::string form(std::initializer_list<std::pair<const char*, std::string>> fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, net::percent_encode(value));
  return out;
}

}  // namespace

Result<std::shared_ptr<net::Client>> Connections::to(const std::string& origin, Local local) {
  const std::lock_guard lock(mutex_);
  if (clients_.size() > max_clients) clients_.clear();
  auto& client = clients_[{origin, local}];
  if (client) return client;
  net::TlsClientConfig tls = tls_;
  tls.refuse_local = local == Local::refuse;
  client = TRY(net::make_client(TRY(net::Origin::parse(origin)), std::move(tls)));
  return client;
}

std::string registry_origin(const std::string& registry, const RemoteConfig& config) {
  const bool plain = is_loopback_host(registry) || std::ranges::find(config.plain_http, registry) != config.plain_http.end();
  return (plain ? "http://" : "https://") + (registry == "docker.io" ? "registry-1.docker.io" : registry);
}

bool is_transient(const Result<Response>& answer) {
  if (!answer) return answer.error().code == ErrorCode::unavailable || answer.error().code == ErrorCode::timeout;
  return answer->status == 429 || answer->status == 500 || (answer->status >= 502 && answer->status <= 504);
}

Error error_of(const Response& answer) {
  std::string words;
  if (const auto json = text::parse_json(answer.body); json && (*json)["errors"].size() > 0) {
    const Json& first = (*json)["errors"][0];
    words = fmt::format(": {}: {}", first["code"].as_string(), first["message"].as_string());
  }
  const auto make = [&](ErrorCode code, std::string_view what) {
    return Error{code, fmt::format("{} (HTTP {}){}", what, answer.status, printable(std::string_view(words).substr(0, max_error_words))), {}};
  };
  switch (answer.status) {
    case 401: return make(ErrorCode::unauthenticated, "access denied, the repository does not exist or needs authorization");
    case 403: return make(ErrorCode::forbidden, "access denied, the repository does not exist or needs authorization");
    case 404: return make(ErrorCode::not_found, "not found");
    case 413: return make(ErrorCode::too_large, "too large for the registry");
    case 429: return make(ErrorCode::throttled, "the registry asks to wait");
    default: break;
  }
  return answer.status >= 500 ? make(ErrorCode::unavailable, "the registry failed") : make(ErrorCode::invalid, "the registry refused the request");
}

Remote::Remote(Executor& executor, Connections& connections, const RemoteConfig& config, const Reference& reference, Credential credential, const std::vector<DockerConfig>& configs,
               std::string actions, std::string also)
    : executor_(executor), connections_(connections), config_(config), reference_(reference), credential_(std::move(credential)), configs_(configs), actions_(std::move(actions)),
      also_(std::move(also)), origin_(registry_origin(reference.registry, config)), deadline_(executor.clock().steady() + config.limit) {
  if (!credential_.registry_token.empty()) authorization_ = "Bearer " + credential_.registry_token;
}

Connections::Local Remote::local_of(const std::string& origin) const {
  return origin == origin_ || is_loopback_host(reference_.registry) ? Connections::Local::allow : Connections::Local::refuse;
}

bool Remote::pause(int attempt, const Response* answer, std::stop_token stop) {
  if (attempt + 1 >= config_.attempts || stop.stop_requested() || expired()) return false;
  std::chrono::milliseconds wait = std::min(config_.first_pause * (1 << std::min(attempt, 10)), config_.longest_pause);
  if (answer)
    if (const auto asked = parse_int(answer->headers.get("Retry-After")); asked && *asked >= 0) wait = std::min<std::chrono::milliseconds>(std::chrono::seconds(*asked), longest_asked_pause);
  return executor_.sleep(wait, stop);
}

Result<Response> Remote::send(const RemoteRequest& request, std::stop_token stop) {
  for (int attempt = 0;; ++attempt) {
    auto answer = once(request, nullptr, stop);
    if (!is_transient(answer) || !pause(attempt, answer ? &*answer : nullptr, stop)) return answer;
  }
}

Result<Response> Remote::once(const RemoteRequest& request, const RemoteSink* sink, std::stop_token stop) {
  SplitUrl url = TRY(resolve_location(origin_, request.url));
  bool authorized = false;
  for (int hop = 0; hop <= max_redirects;) {
    auto answer = TRY(exchange(url, request, sink, stop));
    if (answer.status == 401 && url.origin == origin_ && !std::exchange(authorized, true)) {
      TRY(authorize(answer, stop));
      continue;
    }
    if (!is_redirect(answer.status) || (request.method != "GET" && request.method != "HEAD")) return answer;
    const SplitUrl next = TRY(at(resolve_location(url.origin, answer.headers.get("Location")), "redirect of " + url.origin));
    if (url.origin.starts_with("https://") && !next.origin.starts_with("https://")) return fail(ErrorCode::forbidden, fmt::format("{} redirects to {}, which is not https", url.origin, next.origin));
    url = next;
    ++hop;
  }
  return fail(ErrorCode::invalid, fmt::format("more than {} redirects", max_redirects));
}

Result<Response> Remote::exchange(const SplitUrl& url, const RemoteRequest& request, const RemoteSink* sink, std::stop_token stop) {
  if (expired()) return fail(ErrorCode::timeout, fmt::format("not done within {} minutes", config_.limit.count()));
  const auto client = TRY(connections_.to(url.origin, local_of(url.origin)));
  net::ClientRequest call{.method = request.method, .target = url.target, .headers = request.headers, .body = request.body, .body_source = {}, .content_length = request.content_length, .timeout = head_limit};
  if (request.make_body) call.body_source = request.make_body();
  call.headers.set("User-Agent", "slipway");
  if (url.origin == origin_) {
    const std::lock_guard lock(mutex_);
    if (!authorization_.empty()) call.headers.set("Authorization", authorization_);
  }
  Response answer;
  bool too_large = false, to_sink = false;
  TRY(client->stream(
      call,
      [&](const Response& head) {
        answer = head;
        to_sink = sink && head.status >= 200 && head.status < 300;
        return !to_sink || sink->begin(head);
      },
      [&](std::string_view piece) {
        if (to_sink) return !expired() && sink->piece(piece);
        too_large = answer.body.size() + piece.size() > request.limit;
        if (!too_large) answer.body += piece;
        return !too_large;
      },
      stop));
  if (too_large) return fail(ErrorCode::too_large, fmt::format("{} answers with more than {} bytes", url.origin, request.limit));
  return answer;
}

// ---- authorization

Result<> Remote::authorize(const Response& refused, std::stop_token stop) {
  const auto challenge = parse_challenge(refused.headers);
  std::string value;
  if (challenge && challenge->kind == Challenge::Kind::bearer) {
    value = "Bearer " + TRY(at(fetch_token(*challenge, stop), "token of " + origin_));
  } else if (challenge && !credential_.user.empty()) {
    value = "Basic " + to_base64(credential_.user + ":" + credential_.secret);
  } else {
    return {};  // the second 401 is the answer
  }
  const std::lock_guard lock(mutex_);
  authorization_ = std::move(value);
  return {};
}

// The registry's credential where the token server is its own; else what the configuration has for that very host.
Result<Credential> Remote::credential_for(const std::string& realm_origin) const {
  if (may_share_credentials(origin_, realm_origin)) return credential_;
  for (const DockerConfig& config : configs_)
    if (const auto found = TRY(config.find_host(realm_origin.substr(realm_origin.find("://") + 3))); !found.empty()) return found.front();
  return Credential{};
}

Result<std::string> Remote::fetch_token(const Challenge& challenge, std::stop_token stop) {
  SplitUrl url = TRY(split_url(challenge.realm));
  if (origin_.starts_with("https://") && !url.origin.starts_with("https://")) return fail(ErrorCode::forbidden, fmt::format("the token server {} is not https", url.origin));
  const Credential credential = TRY(credential_for(url.origin));
  std::string scope = fmt::format("repository:{}:{}", reference_.repository, actions_);
  RemoteRequest request;
  if (!credential.identity_token.empty()) {
    request.method = "POST";
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    if (!also_.empty()) scope += fmt::format(" repository:{}:pull", also_);
    request.body = form({{"grant_type", "refresh_token"}, {"service", challenge.service}, {"client_id", "slipway"}, {"scope", scope}, {"refresh_token", credential.identity_token}});
  } else {
    url.target += (url.target.find('?') == std::string::npos ? "?" : "&") + form({{"service", challenge.service}, {"scope", scope}});
    if (!also_.empty()) url.target += "&" + form({{"scope", fmt::format("repository:{}:pull", also_)}});
    if (!credential.user.empty()) request.headers.set("Authorization", "Basic " + to_base64(credential.user + ":" + credential.secret));
  }
  const auto client = TRY(connections_.to(url.origin, local_of(url.origin)));
  for (int attempt = 0;; ++attempt) {
    Result<Response> answer = [&]() -> Result<Response> {
      Response whole;
      bool too_large = false;
      TRY(client->stream({.method = request.method, .target = url.target, .headers = request.headers, .body = request.body, .body_source = {}, .content_length = {}, .timeout = head_limit},
                         [&](const Response& head) { whole = head; return true; },
                         [&](std::string_view piece) { return too_large = whole.body.size() + piece.size() > max_token, too_large ? false : (whole.body += piece, true); }, stop));
      if (too_large) return fail(ErrorCode::too_large, fmt::format("a token of more than {} bytes", max_token));
      return whole;
    }();
    if (is_transient(answer) && pause(attempt, answer ? &*answer : nullptr, stop)) continue;
    const Response found = TRY(std::move(answer));
    if (found.status != 200) {
      Error error = error_of(found);
      if (found.status < 500 && found.status != 429) error.code = ErrorCode::unauthenticated;
      return std::unexpected(std::move(error));
    }
    const auto json = text::parse_json(found.body);
    std::string token = json ? (*json)["token"].str((*json)["access_token"].as_string()) : "";
    if (token.empty() || token.find_first_of("\r\n ") != token.npos) return fail(ErrorCode::unauthenticated, "the token server answered without a token");
    return token;
  }
}

}  // namespace slipway::oci
