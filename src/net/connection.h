// SPDX-License-Identifier: Apache-2.0
// One connection of the server: bytes in, requests out, answers back. Internal to net/.
//
// The loop's thread owns the socket, the TLS session and the parser. What other threads touch (the queue of the answer,
// the body that is being read) is behind `mutex_`; they ask the loop to continue by `wake`.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/clock.h"
#include "base/files.h"
#include "net/http1.h"
#include "net/tls.h"

namespace slipway::net {

// What a connection needs of the loop.
class Loop {
 public:
  virtual ~Loop() = default;
  virtual void post(std::function<void()> task) = 0;
  virtual bool on_loop_thread() const = 0;
  virtual void set_interest(int fd, void* tag, bool read, bool write) = 0;
  virtual std::string date() = 0;  // of this second, formatted
  virtual void on_closed(int fd) = 0;
};

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Loop& loop, UniqueFd fd, TlsSession tls, std::string peer, const Handler& handler, const ServerLimits& limits);
  ~Connection();

  int descriptor() const { return fd_.get(); }
  void on_readable();
  void on_writable();
  void check_deadlines(Steady now);
  bool closed() const { return closed_; }
  void close();  // on the loop's thread

  // For ServerExchange, any thread.
  void read_body(std::size_t limit, std::function<void(Result<std::string>)> done);
  Result<std::string> read_some(std::size_t at_most);
  void start_answer(int status, Headers headers, std::optional<std::string> whole_body);
  bool write_answer(std::string_view bytes);
  Result<> write_blocking(std::string_view bytes);
  std::size_t queued() const;
  void finish_answer();
  void abort_from_anywhere();
  void on_gone(std::function<void()> callback);

 private:
  enum class Body { none, waiting, whole, streamed, ended };  // waiting: nobody asked for it

  void handshake();
  bool receive();       // false when there is nothing more to read now
  void process();       // parses what has arrived
  bool begin_request();
  bool take_body();     // moves bytes from in_ to the body; false when it needs more
  bool decode(std::string& into);
  void deliver_whole();
  void fail_request(int status, std::string_view message);
  void flush();
  void answer_ended();
  void linger();
  bool body_was_read() const;
  void update_interest();
  void continue_soon();
  bool wants_more_input() const;
  void ask_for_body();  // 100 Continue

  Loop& loop_;
  UniqueFd fd_;
  TlsSession tls_;
  const Handler& handler_;
  const ServerLimits& limits_;

  // The loop's thread alone.
  RequestHead head_;
  std::string in_;
  ChunkedDecoder chunks_;
  Framing framing_;
  std::uint64_t body_left_ = 0;
  bool handshaken_ = false, want_write_ = false, read_interest_ = true, write_interest_ = false, peer_ended_ = false;
  bool tls_wants_write_to_read_ = false;
  bool lingering_ = false;  // answered for good; what still comes is dropped, so that the answer is not lost to a reset
  Steady head_since_{}, idle_since_{}, progress_{};
  std::size_t whole_limit_ = 0;
  std::function<void(Result<std::string>)> whole_done_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_;
  std::size_t out_sent_ = 0;
  std::string body_;
  Body body_state_ = Body::none;
  bool busy_ = false;      // a request is being answered
  bool started_ = false, finished_ = false, chunked_ = false, bodiless_ = false, keep_alive_ = true, expects_continue_ = false;
  bool closed_ = false, wake_pending_ = false;
  std::function<void()> gone_;
};

}  // namespace slipway::net
