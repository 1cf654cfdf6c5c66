// SPDX-License-Identifier: Apache-2.0
// HTTP messages and the interface between the server's event loop and whoever answers.
//
// A Handler is called on the loop's thread as soon as the head of a request is read, and must not block there: it
// answers at once, hands the exchange to an Executor's thread, or answers later from any thread. An Exchange that is
// dropped without an answer answers 500. All methods of Exchange may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace slipway::net {

// Names compare without case; order and repetition are kept.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}
  void add(std::string name, std::string value);
  void set(std::string_view name, std::string value);
  std::string_view get(std::string_view name) const;  // the first; empty where absent
  bool has(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// A target split and percent-decoded once. "/a%2Fb" keeps its encoded slash visible in `raw_path`.
struct Url {
  std::string path;      // decoded
  std::string raw_path;  // as sent
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  static Result<Url> parse_target(std::string_view target);  // origin form
  std::string_view param(std::string_view name) const;       // the first; empty where absent
  bool has_param(std::string_view name) const;
};
std::string percent_encode(std::string_view text);  // everything but unreserved characters (RFC 3986 section 2.3)

struct RequestHead {
  std::string method;
  Url url;
  Headers headers;
  std::string peer;                   // "127.0.0.1:54321"
  std::string client_certificate_cn;  // of a verified client certificate, else empty
  std::vector<std::string> client_certificate_organizations;
  bool tls = false;
};

struct Response {
  int status = 200;
  Headers headers;  // Content-Length, Date and Connection are the server's
  std::string body;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const RequestHead& head() const = 0;

  // The body, one of the two, at most once. Both may be called inside the handler.
  // Whole: `done` runs on the loop's thread; too_large (413) beyond the limit.
  virtual void read_body(std::size_t limit, std::function<void(Result<std::string>)> done) = 0;
  // Streamed, for callers on their own thread: blocks until bytes come; an empty string is the end.
  virtual Result<std::string> read_some(std::size_t at_most = 64 * 1024) = 0;

  // The answer: once, whole or streamed.
  virtual void respond(Response response) = 0;
  virtual void start(int status, Headers headers) = 0;  // chunked unless headers hold Content-Length
  // Queues bytes; false once the peer is gone. queued() tells what was not yet taken by the socket: a producer that
  // must not fill memory stops above its own limit (a watch) or uses write_blocking (a file).
  virtual bool write(std::string_view bytes) = 0;
  virtual Result<> write_blocking(std::string_view bytes) = 0;  // never on the loop's thread
  virtual std::size_t queued() const = 0;
  virtual void finish() = 0;  // ends a streamed answer
  virtual void abort() = 0;   // closes the connection at once: the peer sees an incomplete answer
  // Runs once, on the loop's thread, when the peer went away before the end of the answer.
  virtual void on_gone(std::function<void()> callback) = 0;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;

// What a server on this host must listen on, and how.
struct Listen {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;   // 0: any; Server::port(i) tells
  bool tls = true;
  bool free_bind = false;   // the address may come later (the pods' bridge)
};

struct TlsServerConfig {
  std::string certificate_chain_pem;
  std::string private_key_pem;
  std::string client_ca_pem;  // non-empty: client certificates are asked for and verified, not required
};

struct ServerLimits {  // B7
  std::chrono::seconds head_deadline{10};
  std::chrono::seconds body_stall{10};    // no progress for so long while a body is awaited
  std::chrono::seconds idle{120};
  std::size_t head_bytes = 32 * 1024;
  std::size_t header_fields = 100;
  std::size_t connections = 20'000;
  std::size_t queued_bytes = 16 * 1024 * 1024;  // per connection; above it the peer is dropped
};

}  // namespace slipway::net
