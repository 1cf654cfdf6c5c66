// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 client over TCP or TLS, for the control plane's own traffic (kube, hub, registry on this host or cluster).
// Traffic to the internet goes through libcurl (net/fetch.h).
//
// A Client keeps idle connections to one origin and may be used from many threads; each call blocks its caller only.
// A request that failed before a byte of the answer came is tried again once on a fresh connection, where the kept
// one was stale and the method is idempotent or nothing was sent.
#pragma once

#include <stop_token>

#include "net/http.h"

namespace slipway::net {

struct Origin {
  bool tls = false;
  std::string host;  // name or address
  std::uint16_t port = 0;
  static Result<Origin> parse(std::string_view url);  // "https://127.0.0.1:6443"; a path is refused
  std::string to_string() const;
  auto operator<=>(const Origin&) const = default;
};

struct TlsClientConfig {
  std::string ca_pem;                  // empty: the system's
  std::string certificate_pem, private_key_pem;  // of the client, optional
  std::string pinned_sha256;           // hex of the server's public key (SPKI); when set it replaces the CA check
  bool insecure = false;
  std::string server_name;             // SNI and the name verified; empty: the origin's host
  bool refuse_local = false;           // loopback and link-local addresses, looked at when connecting (T18)
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;
  std::string body;
  // Where the body is produced piece by piece: called until it answers an empty string. Sent chunked unless
  // content_length is set.
  std::function<Result<std::string>()> body_source;
  std::optional<std::uint64_t> content_length;
  std::chrono::milliseconds timeout{30'000};   // until the head of the answer
  std::chrono::milliseconds stall{60'000};     // between two pieces of the answer's body; 0: none
};

class Client {
 public:
  virtual ~Client() = default;
  virtual Result<Response> send(const ClientRequest& request, std::size_t body_limit = 64 * 1024 * 1024) = 0;
  // Calls on_head once, then on_body for each piece; either answers false to stop. Ends early, with an error of code
  // timeout or unavailable, when the stop is requested: the socket is shut down at once.
  virtual Result<> stream(const ClientRequest& request, std::function<bool(const Response& head)> on_head,
                          std::function<bool(std::string_view piece)> on_body, std::stop_token stop) = 0;
  virtual const Origin& origin() const = 0;
};

Result<std::unique_ptr<Client>> make_client(Origin origin, TlsClientConfig tls = {});

}  // namespace slipway::net
