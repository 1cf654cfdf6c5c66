// SPDX-License-Identifier: Apache-2.0
#include "net/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "net/http1.h"
#include "net/tls.h"

namespace slipway::net {

Result<Origin> Origin::parse(std::string_view url) {
  Origin origin;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    origin.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return fail(ErrorCode::invalid, fmt::format("{} is not an http or https URL", printable(url)));
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_of("/?#@") != rest.npos)
    return fail(ErrorCode::invalid, fmt::format("{} must be scheme://host[:port] alone", printable(url)));
  origin.port = origin.tls ? 443 : 80;
  const auto bracket = rest.rfind(']');
  const auto colon = rest.rfind(':');
  if (colon != rest.npos && (bracket == rest.npos || colon > bracket)) {
    const auto port = parse_int(rest.substr(colon + 1));
    if (!port || *port < 1 || *port > 65535) return fail(ErrorCode::invalid, fmt::format("{} has no valid port", printable(url)));
    origin.port = static_cast<std::uint16_t>(*port);
    rest = rest.substr(0, colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  origin.host = std::string(rest);
  return origin;
}

std::string Origin::to_string() const {
  const bool six = host.find(':') != host.npos;
  return fmt::format("{}://{}{}{}:{}", tls ? "https" : "http", six ? "[" : "", host, six ? "]" : "", port);
}

namespace {

constexpr std::size_t max_idle_connections = 64;

// Ends waits when a stop is requested: a descriptor that becomes readable.
class StopSignal final {
 public:
  explicit StopSignal(const std::stop_token& stop) : fd_(stop.stop_possible() ? ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1), callback_(stop, Wake{fd_.get()}) {}
  int descriptor() const { return fd_.get(); }

 private:
  struct Wake {
    int fd;
    void operator()() const {
      const std::uint64_t one = 1;
      if (fd >= 0) (void)!::write(fd, &one, sizeof one);
    }
  };
  UniqueFd fd_;
  std::stop_callback<Wake> callback_;
};

using Deadline = std::optional<Steady>;

// Loopback, link-local and unspecified, also as IPv4 within IPv6.
bool is_local(const sockaddr& address) {
  const auto four = [](std::uint32_t a) { return a >> 24 == 127 || a >> 16 == 0xA9FE || a >> 24 == 0; };
  if (address.sa_family == AF_INET) return four(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  if (address.sa_family != AF_INET6) return true;
  const in6_addr& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&six))
    return four(std::uint32_t{six.s6_addr[12]} << 24 | std::uint32_t{six.s6_addr[13]} << 16 | std::uint32_t{six.s6_addr[14]} << 8 | six.s6_addr[15]);
  return IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_LINKLOCAL(&six) || IN6_IS_ADDR_UNSPECIFIED(&six);
}

// What a Host field says: the port only where it is not the scheme's own (signed URLs are checked against it).
std::string host_field(const Origin& origin) {
  const bool six = origin.host.find(':') != origin.host.npos;
  const std::string host = six ? "[" + origin.host + "]" : origin.host;
  return origin.port == (origin.tls ? 443 : 80) ? host : fmt::format("{}:{}", host, origin.port);
}

// A connected socket, with or without TLS; every wait ends at a deadline or a stop.
class Stream final {
 public:
  static Result<std::unique_ptr<Stream>> connect(const Origin& origin, SSL_CTX* context, const TlsClientConfig& tls, Deadline deadline, int stop) {
    auto stream = std::make_unique<Stream>();
    TRY(stream->open(origin, tls.refuse_local, deadline, stop));
    if (context) TRY(at(stream->secure(origin, context, tls, deadline, stop), origin.to_string()));
    return stream;
  }

  Result<> write(std::string_view bytes, Deadline deadline, int stop) {
    while (!bytes.empty()) {
      short want = POLLOUT;
      const auto done = tls_ ? tls_write(bytes, want) : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (done > 0) bytes.remove_prefix(static_cast<std::size_t>(done));
      else if (tls_ ? want == 0 : errno != EAGAIN && errno != EINTR) return fail(ErrorCode::unavailable, "the connection broke while sending");
      else TRY(wait(want, deadline, stop));
    }
    return {};
  }

  // Appends what has come; false at the end of the stream.
  Result<bool> read(std::string& into, Deadline deadline, int stop) {
    char buffer[65536];
    for (;;) {
      short want = POLLIN;
      const auto got = tls_ ? tls_read(buffer, sizeof buffer, want) : ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (got > 0) {
        into.append(buffer, static_cast<std::size_t>(got));
        return true;
      }
      if (tls_ ? want == 0 : got == 0) return false;
      if (!tls_ && errno != EAGAIN && errno != EINTR) return fail(ErrorCode::unavailable, "the connection was reset");
      TRY(wait(want, deadline, stop));
    }
  }

  bool looks_alive() const {
    pollfd state{fd_.get(), POLLIN, 0};
    return ::poll(&state, 1, 0) == 0;  // readable while idle: closed, or bytes that belong to nobody
  }

 private:
  Result<> open(const Origin& origin, bool refuse_local, Deadline deadline, int stop) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int problem = ::getaddrinfo(origin.host.c_str(), std::to_string(origin.port).c_str(), &hints, &found);
    if (problem != 0) return fail(ErrorCode::unavailable, fmt::format("cannot resolve {}: {}", origin.host, ::gai_strerror(problem)));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
    Error last{ErrorCode::unavailable, "no address for " + origin.host, {}};
    for (const addrinfo* address = found; address; address = address->ai_next) {
      if (refuse_local && is_local(*address->ai_addr)) {
        last = {ErrorCode::forbidden, fmt::format("{} is an address of this machine or link, where one outside of it was named", origin.host), {}};
        continue;
      }
      auto opened = open_one(*address, origin, deadline, stop);
      if (opened) return {};
      last = std::move(opened.error());
    }
    return std::unexpected(std::move(last));
  }

  Result<> open_one(const addrinfo& address, const Origin& origin, Deadline deadline, int stop) {
    fd_ = UniqueFd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) return fail_errno("cannot make", "socket");
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd_.get(), address.ai_addr, address.ai_addrlen) == 0) return {};
    if (errno != EINPROGRESS) return fail_errno("cannot connect to", origin.to_string());
    TRY(at(wait(POLLOUT, deadline, stop), origin.to_string()));
    socklen_t size = sizeof errno;
    int problem = 0;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
    errno = problem;
    return problem == 0 ? Result<>{} : fail_errno("cannot connect to", origin.to_string());
  }

  Result<> secure(const Origin& origin, SSL_CTX* context, const TlsClientConfig& tls, Deadline deadline, int stop) {
    tls_.reset(SSL_new(context));
    SSL_set_fd(tls_.get(), fd_.get());
    const std::string& name = tls.server_name.empty() ? origin.host : tls.server_name;
    unsigned char address[16];
    const bool is_address = ::inet_pton(AF_INET, name.c_str(), address) == 1 || ::inet_pton(AF_INET6, name.c_str(), address) == 1;
    if (is_address) X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), name.c_str());
    else {
      SSL_set_tlsext_host_name(tls_.get(), name.c_str());
      SSL_set1_host(tls_.get(), name.c_str());
    }
    for (;;) {
      ERR_clear_error();
      const int done = SSL_connect(tls_.get());
      if (done == 1) return check_pin(tls_.get(), tls.pinned_sha256);
      const short want = wanted(done);
      if (want == 0) return fail(ErrorCode::unavailable, handshake_failure());
      TRY(wait(want, deadline, stop));
    }
  }

  std::string handshake_failure() {
    const long verdict = SSL_get_verify_result(tls_.get());
    if (verdict != X509_V_OK) return fmt::format("the server's certificate was refused: {}", X509_verify_cert_error_string(verdict));
    return fmt::format("TLS handshake failed: {}", tls_error_text());
  }

  short wanted(int result) {
    const int error = SSL_get_error(tls_.get(), result);
    if (error == SSL_ERROR_WANT_READ) return POLLIN;
    if (error == SSL_ERROR_WANT_WRITE) return POLLOUT;
    return 0;
  }
  ssize_t tls_write(std::string_view bytes, short& want) {
    ERR_clear_error();
    const int done = SSL_write(tls_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
    if (done <= 0) want = wanted(done);
    return done;
  }
  ssize_t tls_read(char* buffer, std::size_t size, short& want) {
    ERR_clear_error();
    const int got = SSL_read(tls_.get(), buffer, static_cast<int>(size));
    if (got <= 0) want = wanted(got);
    return got;
  }

  Result<> wait(short events, Deadline deadline, int stop) const {
    pollfd waits[2] = {{fd_.get(), events, 0}, {stop, POLLIN, 0}};
    for (;;) {
      int limit = -1;
      if (deadline) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now()).count();
        if (left <= 0) return fail(ErrorCode::timeout, "no answer in time");
        limit = static_cast<int>(std::min<std::int64_t>(left, 1 << 30));
      }
      const int ready = ::poll(waits, 2, limit);
      if (waits[1].revents) return fail(ErrorCode::unavailable, "stopped");
      if (ready > 0) return {};
    }
  }

  UniqueFd fd_;
  TlsSession tls_;
};

Deadline after(std::chrono::milliseconds span) {
  if (span.count() == 0) return std::nullopt;
  return std::chrono::steady_clock::now() + span;
}

// One request on one stream.
class Call final {
 public:
  Call(Stream& stream, const ClientRequest& request, const Origin& origin, int stop) : stream_(stream), request_(request), origin_(origin), stop_(stop) {}

  Result<Response> head() {
    TRY(send());
    const Deadline deadline = after(request_.timeout);
    for (;;) {
      auto parsed = TRY(parse_response(in_, request_.method, {64 * 1024, 200}));
      if (parsed && parsed->status >= 200) {
        in_.erase(0, parsed->size);
        text_ = std::move(*parsed);
        return Response{text_.status, text_.headers, {}};
      }
      if (parsed) in_.erase(0, parsed->size);  // 100 Continue
      else if (!TRY(stream_.read(in_, deadline, stop_))) return fail(ErrorCode::unavailable, "the server closed the connection");
      else heard_ = true;
    }
  }

  // Calls `take` piece by piece; ends early when it answers false.
  Result<> body(const std::function<bool(std::string_view)>& take) {
    std::uint64_t left = text_.framing.length;
    ChunkedDecoder chunks;
    const auto kind = text_.framing.kind;
    bool ended = kind == Framing::Kind::none;
    while (!ended) {
      std::string piece;
      if (kind == Framing::Kind::chunked) {
        std::string_view rest = in_;
        TRY(chunks.feed(rest, piece));
        in_.erase(0, in_.size() - rest.size());
        ended = chunks.ended();
      } else if (kind == Framing::Kind::length) {
        piece = in_.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, in_.size())));
        in_.erase(0, piece.size());
        ended = (left -= piece.size()) == 0;
      } else {
        piece.swap(in_);
      }
      if (!piece.empty() && !take(piece)) return {};
      if (ended || !piece.empty()) continue;
      if (!TRY(stream_.read(in_, after(request_.stall), stop_))) {
        if (kind != Framing::Kind::until_close) return fail(ErrorCode::unavailable, "the answer is incomplete: the connection was closed");
        ended = true;
      }
    }
    complete_ = true;
    return {};
  }

  bool reusable() const { return complete_ && text_.keep_alive && in_.empty(); }
  bool heard() const { return heard_; }

 private:
  Result<> send() {
    const Deadline deadline = after(request_.timeout);
    std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request_.method, request_.target, host_field(origin_));
    for (const auto& [name, value] : request_.headers.fields()) {
      if (value.find_first_of("\r\n") != value.npos || name.find_first_of("\r\n: ") != name.npos)
        return fail(ErrorCode::invalid, "a header field has a line break");
      ((((head += name) += ": ") += value) += "\r\n");
    }
    if (request_.target.find_first_of(" \r\n") != std::string::npos) return fail(ErrorCode::invalid, "the request target has a blank");
    const bool chunked = request_.body_source && !request_.content_length;
    const std::uint64_t length = request_.content_length.value_or(request_.body.size());
    if (chunked) head += "Transfer-Encoding: chunked\r\n";
    else if (length || request_.method == "POST" || request_.method == "PUT" || request_.method == "PATCH") head += fmt::format("Content-Length: {}\r\n", length);
    TRY(stream_.write((head += "\r\n") += request_.body, deadline, stop_));
    if (!request_.body_source) return {};
    for (;;) {
      const std::string piece = TRY(request_.body_source());
      if (chunked) TRY(stream_.write(chunk(piece), after(request_.timeout), stop_));
      else if (!piece.empty()) TRY(stream_.write(piece, after(request_.timeout), stop_));
      if (piece.empty()) return {};
    }
  }

  Stream& stream_;
  const ClientRequest& request_;
  const Origin& origin_;
  const int stop_;
  std::string in_;
  ResponseText text_;
  bool complete_ = false, heard_ = false;
};

bool is_idempotent(const std::string& method) { return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS"; }

class PooledClient final : public Client {
 public:
  PooledClient(Origin origin, TlsClientConfig tls, TlsContext context) : origin_(std::move(origin)), tls_(std::move(tls)), context_(std::move(context)) {}

  const Origin& origin() const override { return origin_; }

  Result<Response> send(const ClientRequest& request, std::size_t body_limit) override {
    Response whole;
    bool too_large = false;
    TRY(stream(
        request, [&](const Response& head) { whole = head; return true; },
        [&](std::string_view piece) {
          too_large = whole.body.size() + piece.size() > body_limit;
          if (!too_large) whole.body += piece;
          return !too_large;
        },
        {}));
    if (too_large) return fail(ErrorCode::too_large, fmt::format("the answer is larger than {} bytes", body_limit));
    return whole;
  }

  Result<> stream(const ClientRequest& request, std::function<bool(const Response&)> on_head,
                  std::function<bool(std::string_view)> on_body, std::stop_token stop) override {
    const StopSignal signal(stop);
    for (int attempt = 0;; ++attempt) {
      auto kept = attempt == 0 ? take_idle() : nullptr;
      const bool was_kept = kept != nullptr;
      auto connection = kept ? std::move(kept) : TRY(Stream::connect(origin_, context_.get(), tls_, after(request.timeout), signal.descriptor()));
      Call call(*connection, request, origin_, signal.descriptor());
      auto head = call.head();
      if (!head) {
        const bool stale = was_kept && !call.heard() && head.error().code == ErrorCode::unavailable && !stop.stop_requested();
        if (stale && is_idempotent(request.method) && !request.body_source) continue;
        return at(Result<>(std::unexpected(std::move(head.error()))), origin_.to_string());
      }
      if (!on_head(*head)) return {};
      TRY(at(call.body(on_body), origin_.to_string()));
      if (call.reusable()) keep(std::move(connection));
      return {};
    }
  }

 private:
  std::unique_ptr<Stream> take_idle() {
    const std::lock_guard lock(mutex_);
    while (!idle_.empty()) {
      auto stream = std::move(idle_.back());
      idle_.pop_back();
      if (stream->looks_alive()) return stream;
    }
    return nullptr;
  }
  void keep(std::unique_ptr<Stream> stream) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < max_idle_connections) idle_.push_back(std::move(stream));
  }

  const Origin origin_;
  const TlsClientConfig tls_;
  const TlsContext context_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Stream>> idle_;
};

}  // namespace

Result<std::unique_ptr<Client>> make_client(Origin origin, TlsClientConfig tls) {
  TlsContext context;
  if (origin.tls) context = TRY(make_client_context(tls));
  return std::make_unique<PooledClient>(std::move(origin), std::move(tls), std::move(context));
}

}  // namespace slipway::net
