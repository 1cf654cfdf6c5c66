// SPDX-License-Identifier: Apache-2.0
#include "net/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "net/connection.h"

namespace slipway::net {
namespace {

struct Listener {
  UniqueFd fd;
  std::uint16_t port = 0;
  TlsContext tls;
  Handler handler;
};

Result<UniqueFd> listen_on(const Listen& listen) {
  sockaddr_in6 six{};
  sockaddr_in four{};
  const bool is_four = ::inet_pton(AF_INET, listen.address.c_str(), &four.sin_addr) == 1;
  if (!is_four && ::inet_pton(AF_INET6, listen.address.c_str(), &six.sin6_addr) != 1)
    return fail(ErrorCode::invalid, listen.address + " is not an IP address to listen on");
  UniqueFd fd(::socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("cannot make", "socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listen.free_bind) ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  four.sin_family = AF_INET;
  four.sin_port = htons(listen.port);
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(listen.port);
  const auto* address = is_four ? reinterpret_cast<const sockaddr*>(&four) : reinterpret_cast<const sockaddr*>(&six);
  const std::string name = fmt::format("{}:{}", listen.address, listen.port);
  if (::bind(fd.get(), address, is_four ? sizeof four : sizeof six) != 0) return fail_errno("cannot listen on", name);
  if (::listen(fd.get(), 1024) != 0) return fail_errno("cannot listen on", name);
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                            : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
}

std::string name_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(four.sin_port));
  }
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  ::inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
  return fmt::format("[{}]:{}", text, ntohs(six.sin6_port));
}

class EpollServer final : public Server, public Loop {
 public:
  explicit EpollServer(ServerLimits limits) : limits_(limits) {}

  ~EpollServer() override {
    stopping_ = true;
    post([] {});
    if (thread_.joinable()) thread_.join();
  }

  Result<> open(std::vector<Endpoint> endpoints) {
    epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
    wake_ = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!epoll_ || !wake_) return fail_errno("cannot make", "epoll");
    watch(wake_.get(), EPOLL_CTL_ADD, EPOLLIN);
    for (auto& endpoint : endpoints) {
      Listener listener{TRY(listen_on(endpoint.listen)), 0, nullptr, std::move(endpoint.handler)};
      listener.port = port_of(listener.fd.get());
      if (endpoint.listen.tls) listener.tls = TRY(make_server_context(endpoint.tls));
      watch(listener.fd.get(), EPOLL_CTL_ADD, EPOLLIN);
      listeners_.push_back(std::move(listener));
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  std::uint16_t port(std::size_t endpoint) const override { return listeners_[endpoint].port; }

  void post(std::function<void()> task) override {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
      if (on_loop_thread() || std::exchange(wake_sent_, true)) return;  // the loop looks before it waits
    }
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  void stop_accepting() override {
    post([this] {
      for (auto& listener : listeners_) listener.fd.reset();
    });
  }

  bool on_loop_thread() const override { return std::this_thread::get_id() == thread_id_.load(); }

  void set_interest(int fd, void*, bool read, bool write) override {
    watch(fd, EPOLL_CTL_MOD, (read ? EPOLLIN : 0u) | (write ? EPOLLOUT : 0u));
  }

  // Whoever calls holds the connection. Closing alone does not end the watch while a child that was just forked still
  // holds a copy: its events would then meet the next connection of this number.
  void on_closed(int fd) override {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    connections_.erase(fd);
  }

  std::string date() override {
    const std::lock_guard lock(date_mutex_);
    const std::time_t now = ::time(nullptr);
    if (now != date_of_) {
      std::tm utc{};
      gmtime_r(&now, &utc);
      char text[64];
      date_text_.assign(text, ::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc));
      date_of_ = now;
    }
    return date_text_;
  }

 private:
  void watch(int fd, int operation, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    ::epoll_ctl(epoll_.get(), operation, fd, &event);
  }

  void run() {
    thread_id_ = std::this_thread::get_id();
    pthread_setname_np(pthread_self(), "http");
    epoll_event events[256];
    Steady swept = std::chrono::steady_clock::now();
    while (!stopping_) {
      const int count = ::epoll_wait(epoll_.get(), events, 256, wait_milliseconds());
      for (int i = 0; i < count; ++i) on_event(events[i]);
      run_tasks();
      const Steady now = std::chrono::steady_clock::now();
      if (now - swept < std::chrono::seconds(1)) continue;
      swept = now;
      for (const auto& connection : all()) connection->check_deadlines(now);
    }
    for (const auto& connection : all()) connection->close();
    run_tasks();
    connections_.clear();
  }

  void on_event(const epoll_event& event) {
    const int fd = event.data.fd;
    if (fd == wake_.get()) {
      std::uint64_t count = 0;
      (void)!::read(fd, &count, sizeof count);
      return;
    }
    if (const auto found = connections_.find(fd); found != connections_.end()) {
      const auto connection = found->second;  // keeps it while its handler runs
      if (event.events & EPOLLOUT) connection->on_writable();
      if (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) connection->on_readable();
      if (event.events & (EPOLLHUP | EPOLLERR)) connection->close();
      return;
    }
    for (auto& listener : listeners_)
      if (listener.fd.get() == fd) accept_some(listener);
  }

  void accept_some(Listener& listener) {
    for (int i = 0; i < 64; ++i) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      UniqueFd fd(::accept4(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      if (connections_.size() >= limits_.connections) continue;  // refused by closing: the sweep makes room
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      TlsSession tls;
      if (listener.tls) {
        tls.reset(SSL_new(listener.tls.get()));
        SSL_set_fd(tls.get(), fd.get());
        SSL_set_accept_state(tls.get());
      }
      const int number = fd.get();
      connections_[number] = std::make_shared<Connection>(*this, std::move(fd), std::move(tls), name_of(address), listener.handler, limits_);
      watch(number, EPOLL_CTL_ADD, EPOLLIN);
    }
  }

  void run_tasks() {
    std::vector<std::function<void()>> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(tasks_);
      wake_sent_ = false;
    }
    for (auto& task : tasks) task();
  }

  std::vector<std::shared_ptr<Connection>> all() const {
    std::vector<std::shared_ptr<Connection>> out;
    for (const auto& [fd, connection] : connections_) out.push_back(connection);
    return out;
  }

  int wait_milliseconds() {
    const std::lock_guard lock(mutex_);
    if (!tasks_.empty()) return 0;
    return connections_.empty() ? -1 : 1000;
  }

  const ServerLimits limits_;
  UniqueFd epoll_, wake_;
  std::vector<Listener> listeners_;
  std::unordered_map<int, std::shared_ptr<Connection>> connections_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::thread::id> thread_id_{};
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  bool wake_sent_ = false;
  std::mutex date_mutex_;
  std::time_t date_of_ = 0;
  std::string date_text_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(std::vector<Endpoint> endpoints, ServerLimits limits) {
  auto server = std::make_unique<EpollServer>(limits);
  TRY(server->open(std::move(endpoints)));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace slipway::net
