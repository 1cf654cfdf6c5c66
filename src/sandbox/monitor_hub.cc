// SPDX-License-Identifier: Apache-2.0
#include "sandbox/monitor_hub.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace slipway::sandbox {

MonitorHub::MonitorHub(std::function<void(const std::string&)> on_change)
    : on_change_(std::move(on_change)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this](std::stop_token s) { work(s); }) {}

MonitorHub::~MonitorHub() {
  thread_.request_stop();
  wake();
  thread_.join();
}

void MonitorHub::wake() {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

Result<> MonitorHub::adopt(const std::string& uid, const std::string& folder) {
  auto socket = std::make_shared<UniqueFd>(TRY(connect_monitor(folder)));
  const std::lock_guard lock(mutex_);
  connections_[uid] = {std::move(socket), {}, {}};
  wake();
  return {};
}

bool MonitorHub::alive(const std::string& uid) const {
  const std::lock_guard lock(mutex_);
  return connections_.contains(uid);
}

std::optional<MonitorState> MonitorHub::state(const std::string& uid) const {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(uid);
  return found == connections_.end() ? std::nullopt : found->second.state;
}

Result<> MonitorHub::send(const std::string& uid, const MonitorCommand& command) {
  std::shared_ptr<UniqueFd> socket;
  {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(uid);
    if (found == connections_.end()) return fail(ErrorCode::unavailable, "the pod's monitor is gone");
    socket = found->second.socket;
  }
  return send_command(socket->get(), command);
}

void MonitorHub::drop(const std::string& uid) {
  const std::lock_guard lock(mutex_);
  connections_.erase(uid);
  wake();
}

bool MonitorHub::receive(const std::string& uid, int socket) {
  char buffer[64 * 1024];
  const ssize_t size = ::recv(socket, buffer, sizeof buffer, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(uid);
  if (found == connections_.end() || found->second.socket->get() != socket) return false;
  Connection& connection = found->second;
  if (size <= 0) return connections_.erase(found), true;
  connection.received.append(buffer, static_cast<std::size_t>(size));
  if (connection.received.size() > max_state_bytes) return connections_.erase(found), true;
  const std::size_t last = connection.received.rfind('\n');
  if (last == std::string::npos) return false;
  const std::size_t before = last == 0 ? std::string::npos : connection.received.rfind('\n', last - 1);
  const std::size_t start = before == std::string::npos ? 0 : before + 1;  // only the newest state counts
  if (auto state = parse_monitor_state(std::string_view(connection.received).substr(start, last - start))) connection.state = *std::move(state);
  connection.received.erase(0, last + 1);
  return true;
}

void MonitorHub::work(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> waits{{wake_.get(), POLLIN, 0}};
    std::vector<std::pair<std::string, std::shared_ptr<UniqueFd>>> watched;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [uid, connection] : connections_) watched.emplace_back(uid, connection.socket);
    }
    for (const auto& [uid, socket] : watched) waits.push_back({socket->get(), POLLIN, 0});
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;
    std::uint64_t count = 0;
    if (waits[0].revents) (void)!::read(wake_.get(), &count, sizeof count);
    for (std::size_t i = 0; i < watched.size(); ++i)
      if (waits[i + 1].revents && receive(watched[i].first, watched[i].second->get())) on_change_(watched[i].first);
  }
}

Result<> check_tcp(Ipv4 address, std::uint16_t port, std::chrono::milliseconds timeout) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("cannot open", "socket");
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(address.value);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return {};
  if (errno != EINPROGRESS) return fail_errno("cannot connect to", address.to_string());
  pollfd wait{socket.get(), POLLOUT, 0};
  if (::poll(&wait, 1, static_cast<int>(timeout.count())) == 0) return fail(ErrorCode::timeout, "no connection in time");
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0 ? Result<>() : fail_errno("cannot connect to", address.to_string());
}

}  // namespace slipway::sandbox
