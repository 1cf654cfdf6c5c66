// SPDX-License-Identifier: Apache-2.0
// One repository of a registry elsewhere, by HTTP: authorization, redirects, and another try where one helps.
//
// Credentials go to the registry's own origin, and to a token server only where may_share_credentials() or the docker
// configuration says so; a redirect to another origin carries none (T2). A registry that is not on this machine cannot
// send us to an address that is (T18). Any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <stop_token>

#include "base/executor.h"
#include "net/client.h"
#include "oci/challenge.h"
#include "oci/credentials.h"

namespace slipway::oci {

inline constexpr std::size_t max_token = 1 << 20;   // B6
inline constexpr int max_redirects = 5;

struct RemoteConfig {
  net::TlsClientConfig tls;
  std::vector<std::string> plain_http;  // registries spoken to without TLS, beside those on loopback
  int attempts = 4;
  std::chrono::milliseconds first_pause{300}, longest_pause{20'000};
  std::chrono::minutes limit{60};       // of one pull or push
};

// Connections that are kept, by origin.
class Connections final {
 public:
  explicit Connections(net::TlsClientConfig tls) : tls_(std::move(tls)) {}
  enum class Local { allow, refuse };
  Result<std::shared_ptr<net::Client>> to(const std::string& origin, Local local);

 private:
  const net::TlsClientConfig tls_;
  std::mutex mutex_;
  std::map<std::pair<std::string, Local>, std::shared_ptr<net::Client>> clients_;
};

struct RemoteRequest {
  std::string method = "GET";
  std::string url;  // "/v2/…" of the registry, or absolute
  net::Headers headers;
  std::string body;
  std::function<std::function<Result<std::string>()>()> make_body;  // anew for every try
  std::optional<std::uint64_t> content_length;
  std::size_t limit = 1 << 20;  // of the answer's body, where no sink takes it
};

// Takes the body of an answer 2xx as it comes; false ends it.
struct RemoteSink {
  std::function<bool(const net::Response& head)> begin;
  std::function<bool(std::string_view)> piece;
};

class Remote final {
 public:
  // `actions` is "pull" or "pull,push"; `also` a repository of the same registry to read from (a mount), or empty.
  Remote(Executor& executor, Connections& connections, const RemoteConfig& config, const Reference& reference, Credential credential, const std::vector<DockerConfig>& configs,
         std::string actions, std::string also = "");

  // One request: authorized, redirected where it reads. Any status is an answer.
  Result<net::Response> once(const RemoteRequest& request, const RemoteSink* sink, std::stop_token stop);
  // Tried again after 429, 5xx and broken connections. Any other status is an answer.
  Result<net::Response> send(const RemoteRequest& request, std::stop_token stop);
  // Waits before the try after `attempt` (from 0); false where there is none, the stop came or the time is over.
  bool pause(int attempt, const net::Response* answer, std::stop_token stop);
  bool expired() const { return executor_.clock().steady() > deadline_; }

  const std::string& origin() const { return origin_; }
  std::string path(std::string_view rest) const { return "/v2/" + reference_.repository + std::string(rest); }
  const RemoteConfig& config() const { return config_; }

 private:
  Result<net::Response> exchange(const SplitUrl& url, const RemoteRequest& request, const RemoteSink* sink, std::stop_token stop);
  Result<> authorize(const net::Response& refused, std::stop_token stop);
  Result<std::string> fetch_token(const Challenge& challenge, std::stop_token stop);
  Result<Credential> credential_for(const std::string& realm_origin) const;
  Connections::Local local_of(const std::string& origin) const;

  Executor& executor_;
  Connections& connections_;
  const RemoteConfig& config_;
  const Reference reference_;
  const Credential credential_;
  const std::vector<DockerConfig>& configs_;
  const std::string actions_, also_, origin_;
  const Steady deadline_;
  std::mutex mutex_;
  std::string authorization_;
};

bool is_transient(const Result<net::Response>& answer);
// What an answer of 4xx or 5xx means, with the registry's own words.
Error error_of(const net::Response& answer);
// "https://registry-1.docker.io" of "docker.io".
std::string registry_origin(const std::string& registry, const RemoteConfig& config);

}  // namespace slipway::oci
