// SPDX-License-Identifier: Apache-2.0
#include "net/connection.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"

namespace slipway::net {
namespace {

constexpr std::size_t body_buffer = 256 * 1024;       // of a streamed body, per connection
constexpr std::size_t blocking_high_water = 1024 * 1024;
constexpr std::size_t drain_limit = 256 * 1024;       // of a body that nobody read, to keep the connection

// The interface that handlers hold. Dropping it without an answer is an answer: 500, or an aborted stream.
class ServerExchange final : public Exchange {
 public:
  ServerExchange(std::shared_ptr<Connection> connection, RequestHead head) : connection_(std::move(connection)), head_(std::move(head)) {}
  ~ServerExchange() override {
    if (!answered_) respond({500, {{"Content-Type", "text/plain"}}, "internal error\n"});
    else if (!finished_) connection_->abort_from_anywhere();
  }
  const RequestHead& head() const override { return head_; }
  void read_body(std::size_t limit, std::function<void(Result<std::string>)> done) override {
    connection_->read_body(limit, std::move(done));
  }
  Result<std::string> read_some(std::size_t at_most) override { return connection_->read_some(at_most); }
  void respond(Response response) override {
    if (std::exchange(answered_, true)) return;
    finished_ = true;
    connection_->start_answer(response.status, std::move(response.headers), std::move(response.body));
  }
  void start(int status, Headers headers) override {
    if (std::exchange(answered_, true)) return;
    connection_->start_answer(status, std::move(headers), std::nullopt);
  }
  bool write(std::string_view bytes) override { return connection_->write_answer(bytes); }
  Result<> write_blocking(std::string_view bytes) override { return connection_->write_blocking(bytes); }
  std::size_t queued() const override { return connection_->queued(); }
  void finish() override {
    if (!std::exchange(finished_, true)) connection_->finish_answer();
  }
  void abort() override {
    answered_ = finished_ = true;
    connection_->abort_from_anywhere();
  }
  void on_gone(std::function<void()> callback) override { connection_->on_gone(std::move(callback)); }

 private:
  std::shared_ptr<Connection> connection_;
  RequestHead head_;
  bool answered_ = false, finished_ = false;  // the exchange has one answerer at a time
};

}  // namespace

Connection::Connection(Loop& loop, UniqueFd fd, TlsSession tls, std::string peer, const Handler& handler, const ServerLimits& limits)
    : loop_(loop), fd_(std::move(fd)), tls_(std::move(tls)), handler_(handler), limits_(limits), handshaken_(tls_ == nullptr) {
  head_.peer = std::move(peer);
  head_.tls = tls_ != nullptr;
  head_since_ = idle_since_ = progress_ = std::chrono::steady_clock::now();
}

Connection::~Connection() = default;

void Connection::close() {
  std::function<void()> gone;
  std::function<void(Result<std::string>)> whole;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    gone = std::move(gone_);
    whole = std::move(whole_done_);
    out_.clear();
    changed_.notify_all();
  }
  if (tls_ && handshaken_ && !peer_ended_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  loop_.on_closed(fd_.get());
  fd_.reset();
  if (whole) whole(fail(ErrorCode::unavailable, "the client closed the connection"));
  if (gone) gone();
}

void Connection::handshake() {
  ERR_clear_error();
  const int done = SSL_accept(tls_.get());
  if (done == 1) {
    handshaken_ = true;
    const PeerName name = peer_name(tls_.get());
    head_.client_certificate_cn = name.common_name;
    head_.client_certificate_organizations = name.organizations;
    head_since_ = idle_since_ = std::chrono::steady_clock::now();
    return;
  }
  const int error = SSL_get_error(tls_.get(), done);
  want_write_ = error == SSL_ERROR_WANT_WRITE;
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) close();
}

bool Connection::receive() {
  char buffer[65536];
  ssize_t got = 0;
  if (tls_) {
    ERR_clear_error();
    got = SSL_read(tls_.get(), buffer, sizeof buffer);
    if (got <= 0) {
      const int error = SSL_get_error(tls_.get(), static_cast<int>(got));
      if (error == SSL_ERROR_WANT_READ) return false;
      if (error == SSL_ERROR_WANT_WRITE) return tls_wants_write_to_read_ = true, false;
      return peer_ended_ = true, false;
    }
  } else {
    got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) return peer_ended_ = true, false;
  }
  in_.append(buffer, static_cast<std::size_t>(got));
  progress_ = std::chrono::steady_clock::now();
  return tls_ ? true : static_cast<std::size_t>(got) == sizeof buffer;
}

void Connection::linger() {
  char buffer[65536];
  for (int i = 0; i < 16; ++i) {
    const auto got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return close();
    if (got < 0) return;
  }
}

void Connection::on_readable() {
  if (closed_) return;
  if (lingering_) return linger();
  if (!handshaken_) handshake();
  if (!handshaken_) return update_interest();
  tls_wants_write_to_read_ = false;
  while (!closed_ && wants_more_input() && receive()) process();
  if (!closed_) process();
  if (peer_ended_ && !closed_) {
    const std::lock_guard lock(mutex_);
    // A half-closed peer still gets the answer of the request that it has sent whole.
    if (!(busy_ && (body_state_ == Body::ended || body_state_ == Body::none) && !started_)) {
      loop_.post([self = shared_from_this()] { self->close(); });
    }
  }
  if (!closed_) update_interest();
}

bool Connection::wants_more_input() const {
  const std::lock_guard lock(mutex_);
  if (!busy_) return in_.size() < limits_.head_bytes + 65536;
  if (body_state_ == Body::streamed) return body_.size() < body_buffer;
  if (body_state_ == Body::whole) return true;
  return in_.size() < 65536;  // a pipelined request or a body that nobody asked for yet
}

void Connection::process() {
  for (bool again = true; again && !closed_;) {
    bool busy = false;
    {
      const std::lock_guard lock(mutex_);
      busy = busy_;
    }
    again = busy ? take_body() : begin_request();
  }
}

bool Connection::begin_request() {
  if (in_.empty()) return false;
  if (idle_since_ != Steady{}) {
    head_since_ = std::chrono::steady_clock::now();
    idle_since_ = {};
  }
  auto parsed = parse_request(in_, {limits_.head_bytes, limits_.header_fields});
  if (!parsed) return fail_request(parsed.error().code == ErrorCode::too_large ? 431 : 400, parsed.error().message), false;
  if (!*parsed) return false;
  RequestText& text = **parsed;
  auto url = Url::parse_target(text.target);
  if (!url) return fail_request(400, url.error().message), false;
  in_.erase(0, text.size);
  framing_ = text.framing;
  body_left_ = text.framing.length;
  chunks_ = ChunkedDecoder();
  RequestHead head = head_;
  head.method = std::move(text.method);
  head.url = std::move(*url);
  head.headers = std::move(text.headers);
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
    started_ = finished_ = chunked_ = false;
    keep_alive_ = text.keep_alive;
    bodiless_ = head.method == "HEAD";
    expects_continue_ = equals_ignoring_case(head.headers.get("Expect"), "100-continue");
    body_.clear();
    body_state_ = framing_.kind == Framing::Kind::none ? Body::ended : Body::waiting;
  }
  handler_(std::make_shared<ServerExchange>(shared_from_this(), std::move(head)));
  flush();
  return !closed_;
}

bool Connection::decode(std::string& into) {
  if (framing_.kind == Framing::Kind::chunked) {
    std::string_view rest = in_;
    if (auto fed = chunks_.feed(rest, into); !fed) return fail_request(400, fed.error().message), false;
    in_.erase(0, in_.size() - rest.size());
    return true;
  }
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, in_.size()));
  into.append(in_, 0, n);
  in_.erase(0, n);
  body_left_ -= n;
  return true;
}

bool Connection::take_body() {
  bool whole_ended = false;
  {
    std::unique_lock lock(mutex_);
    if (body_state_ != Body::whole && body_state_ != Body::streamed) return false;
    if (in_.empty() && framing_.kind != Framing::Kind::none) return false;
    if (body_state_ == Body::streamed && body_.size() >= body_buffer) return false;
    std::string piece;
    lock.unlock();
    if (!decode(piece)) return false;
    lock.lock();
    body_ += piece;
    const bool ended = framing_.kind == Framing::Kind::chunked ? chunks_.ended() : body_left_ == 0;
    if (body_state_ == Body::whole && body_.size() > whole_limit_) {
      auto done = std::move(whole_done_);
      body_state_ = Body::waiting;  // the rest is not read: the connection ends with the answer
      keep_alive_ = false;
      lock.unlock();
      if (done) done(fail(ErrorCode::too_large, fmt::format("the body is larger than {} bytes", whole_limit_)));
      return false;
    }
    whole_ended = ended && body_state_ == Body::whole;
    if (ended) body_state_ = Body::ended;
    changed_.notify_all();
  }
  if (whole_ended) deliver_whole();
  return false;
}

void Connection::deliver_whole() {
  std::function<void(Result<std::string>)> done;
  std::string body;
  {
    const std::lock_guard lock(mutex_);
    done = std::move(whole_done_);
    body = std::move(body_);
    body_.clear();
  }
  if (done) done(std::move(body));
  flush();
}

void Connection::ask_for_body() {  // mutex_ is held
  if (std::exchange(expects_continue_, false) && !started_) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
}

void Connection::read_body(std::size_t limit, std::function<void(Result<std::string>)> done) {
  bool gone = false, whole_is_here = false;
  {
    const std::lock_guard lock(mutex_);
    gone = closed_;
    const bool ended = body_state_ == Body::ended;
    if (!gone) {
      whole_limit_ = limit;
      whole_done_ = std::move(done);
      if (!ended) {
        body_state_ = Body::whole;
        ask_for_body();
      }
      whole_is_here = ended && loop_.on_loop_thread();
      if (!whole_is_here) {
        progress_ = std::chrono::steady_clock::now();
        loop_.post([self = shared_from_this(), ended] {
          if (self->closed_) return;
          if (ended) self->deliver_whole();
          self->process();
          self->flush();
        });
      }
    }
  }
  if (gone) return done(fail(ErrorCode::unavailable, "the client closed the connection"));
  if (whole_is_here) deliver_whole();
}

Result<std::string> Connection::read_some(std::size_t at_most) {
  std::unique_lock lock(mutex_);
  if (body_state_ == Body::waiting) {
    body_state_ = Body::streamed;
    ask_for_body();
    lock.unlock();
    continue_soon();
    lock.lock();
  }
  changed_.wait(lock, [&] { return closed_ || !body_.empty() || body_state_ == Body::ended; });
  if (body_.empty() && closed_) return fail(ErrorCode::unavailable, "the client closed the connection");
  std::string piece = body_.substr(0, at_most);
  const bool was_full = body_.size() >= body_buffer;
  body_.erase(0, piece.size());
  lock.unlock();
  if (was_full) continue_soon();
  return piece;
}

void Connection::start_answer(int status, Headers headers, std::optional<std::string> whole_body) {
  bool on_loop = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || started_) return;
    started_ = true;
    const bool no_body = status < 200 || status == 204 || status == 304;
    if (whole_body && !no_body && !headers.has("Content-Length")) headers.set("Content-Length", std::to_string(whole_body->size()));
    chunked_ = !whole_body && !no_body && !headers.has("Content-Length");
    if (chunked_) headers.set("Transfer-Encoding", "chunked");
    bodiless_ = bodiless_ || no_body;
    const bool body_pending = body_state_ == Body::waiting && (framing_.kind == Framing::Kind::chunked || framing_.length > drain_limit || expects_continue_);
    if (body_pending) keep_alive_ = false;
    if (!keep_alive_) headers.set("Connection", "close");
    out_ += format_response_head(status, headers, loop_.date());
    if (whole_body && !bodiless_) out_ += *whole_body;
    if (whole_body) finished_ = true;
    on_loop = loop_.on_loop_thread();
  }
  if (!on_loop) return continue_soon();
  flush();
}

bool Connection::write_answer(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || finished_) return false;
    if (bytes.empty() || bodiless_) return true;
    out_ += chunked_ ? chunk(bytes) : std::string(bytes);
    if (out_.size() - out_sent_ > limits_.queued_bytes) {
      loop_.post([self = shared_from_this()] { self->close(); });
      return false;
    }
  }
  continue_soon();
  return true;
}

Result<> Connection::write_blocking(std::string_view bytes) {
  if (!write_answer(bytes)) return fail(ErrorCode::unavailable, "the client closed the connection");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || out_.size() - out_sent_ < blocking_high_water; });
  return closed_ ? fail(ErrorCode::unavailable, "the client closed the connection") : Result<>{};
}

std::size_t Connection::queued() const {
  const std::lock_guard lock(mutex_);
  return out_.size() - out_sent_;
}

void Connection::finish_answer() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || finished_) return;
    finished_ = true;
    if (chunked_ && !bodiless_) out_ += chunk({});
  }
  continue_soon();
}

// Until it is closed a connection has its loop, which closes all of its connections before it ends: what is posted is
// posted under the lock that close() takes.
void Connection::abort_from_anywhere() {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  loop_.post([self = shared_from_this()] { self->close(); });
}

void Connection::on_gone(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      gone_ = std::move(callback);
      return;
    }
  }
  callback();
}

void Connection::continue_soon() {
  const std::lock_guard lock(mutex_);
  if (closed_ || std::exchange(wake_pending_, true)) return;
  loop_.post([self = shared_from_this()] {
    {
      const std::lock_guard inner(self->mutex_);
      self->wake_pending_ = false;
    }
    if (self->closed_) return;
    self->flush();
    if (!self->closed_) self->on_readable();
  });
}

void Connection::on_writable() {
  if (closed_) return;
  if (!handshaken_ || tls_wants_write_to_read_) on_readable();
  flush();
}

void Connection::flush() {
  bool ended = false;
  {
    const std::lock_guard lock(mutex_);
    want_write_ = false;
    while (!closed_ && out_sent_ < out_.size()) {
      const char* data = out_.data() + out_sent_;
      const std::size_t size = std::min<std::size_t>(out_.size() - out_sent_, 1 << 20);
      ssize_t done = 0;
      if (tls_) {
        ERR_clear_error();
        done = SSL_write(tls_.get(), data, static_cast<int>(size));
        if (done <= 0) {
          const int error = SSL_get_error(tls_.get(), static_cast<int>(done));
          if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) loop_.post([self = shared_from_this()] { self->close(); });
          want_write_ = true;
          break;
        }
      } else {
        done = ::send(fd_.get(), data, size, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
          if (errno != EAGAIN) loop_.post([self = shared_from_this()] { self->close(); });
          want_write_ = true;
          break;
        }
      }
      out_sent_ += static_cast<std::size_t>(done);
      progress_ = std::chrono::steady_clock::now();
    }
    if (out_sent_ == out_.size()) {
      out_.clear();
      if (out_.capacity() > 65536) out_.shrink_to_fit();
      out_sent_ = 0;
      ended = finished_ && busy_;
    } else if (out_sent_ > 1 << 20) {
      out_.erase(0, out_sent_);
      out_sent_ = 0;
    }
    changed_.notify_all();
  }
  if (ended) answer_ended();
  if (!closed_ && !lingering_) update_interest();
}

bool Connection::body_was_read() const {
  const std::lock_guard lock(mutex_);
  return body_state_ == Body::ended;
}

void Connection::answer_ended() {
  bool close_now = false, drain = false;
  {
    const std::lock_guard lock(mutex_);
    close_now = !keep_alive_ || peer_ended_ || (body_state_ != Body::ended && framing_.kind == Framing::Kind::chunked);
    drain = body_state_ == Body::waiting && !close_now;
    if (!drain && body_state_ != Body::ended) close_now = true;
    if (drain) {
      // A small body that the handler did not want is read and dropped, so that the connection can be kept.
      body_state_ = Body::whole;
      whole_limit_ = drain_limit;
      whole_done_ = [this](const Result<std::string>& rest) {
        if (rest) answer_ended();
      };
    } else if (!close_now) {
      busy_ = false;
      gone_ = nullptr;
      idle_since_ = std::chrono::steady_clock::now();
    }
  }
  if (close_now && (peer_ended_ || body_was_read())) return close();
  if (close_now) {
    ::shutdown(fd_.get(), SHUT_WR);
    lingering_ = read_interest_ = true;
    idle_since_ = std::chrono::steady_clock::now();
    return loop_.set_interest(fd_.get(), this, true, false);
  }
  loop_.post([self = shared_from_this()] {
    if (!self->closed_) self->on_readable();
  });
}

void Connection::fail_request(int status, std::string_view message) {
  {
    const std::lock_guard lock(mutex_);
    keep_alive_ = false;
    busy_ = true;
    body_state_ = Body::ended;
    started_ = false;
  }
  in_.clear();
  start_answer(status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::string(message) + "\n");
}

void Connection::update_interest() {
  const bool read = !peer_ended_ && wants_more_input();
  const bool write = want_write_ || tls_wants_write_to_read_;
  if (read == read_interest_ && write == write_interest_) return;
  read_interest_ = read;
  write_interest_ = write;
  loop_.set_interest(fd_.get(), this, read, write);
}

void Connection::check_deadlines(Steady now) {
  if (lingering_) {
    if (now - idle_since_ > std::chrono::seconds(2)) close();
    return;
  }
  bool busy = false, awaits_body = false, sending = false;
  {
    const std::lock_guard lock(mutex_);
    busy = busy_;
    sending = out_sent_ < out_.size();
    awaits_body = busy && (body_state_ == Body::whole || (body_state_ == Body::streamed && body_.empty()));
  }
  if (sending && now - progress_ > limits_.idle) return close();
  if (awaits_body && now - progress_ > limits_.body_stall) {
    std::function<void(Result<std::string>)> done;
    {
      const std::lock_guard lock(mutex_);
      done = std::move(whole_done_);
    }
    if (done) done(fail(ErrorCode::timeout, "the body did not arrive in time"));
    return close();
  }
  if (busy) return;
  if (!handshaken_ || !in_.empty()) {
    if (now - head_since_ > limits_.head_deadline) close();
  } else if (idle_since_ != Steady{} && now - idle_since_ > limits_.idle) {
    close();
  }
}

}  // namespace slipway::net
