// SPDX-License-Identifier: Apache-2.0
// The agent's connections to all monitors, read by one thread. Any thread may call; on_change runs on the hub's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "sandbox/monitor.h"
#include "sandbox/netlink.h"

namespace slipway::sandbox {

class MonitorHub final {
 public:
  explicit MonitorHub(std::function<void(const std::string& uid)> on_change);
  ~MonitorHub();

  Result<> adopt(const std::string& uid, const std::string& folder);  // unavailable: no monitor lives there
  bool alive(const std::string& uid) const;
  std::optional<MonitorState> state(const std::string& uid) const;  // nothing before the first one came
  Result<> send(const std::string& uid, const MonitorCommand& command);
  void drop(const std::string& uid);

 private:
  struct Connection {
    std::shared_ptr<UniqueFd> socket;
    std::string received;
    std::optional<MonitorState> state;
  };
  void work(std::stop_token stop);
  bool receive(const std::string& uid, int socket);  // whether something changed
  void wake();

  std::function<void(const std::string&)> on_change_;
  mutable std::mutex mutex_;
  std::map<std::string, Connection> connections_;
  UniqueFd wake_;
  std::jthread thread_;
};

// Whether a TCP connection to the address comes about within the time: a tcpSocket probe.
Result<> check_tcp(Ipv4 address, std::uint16_t port, std::chrono::milliseconds timeout);

}  // namespace slipway::sandbox
