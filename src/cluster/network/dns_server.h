// SPDX-License-Identifier: Apache-2.0
// The cluster's DNS server: UDP and TCP on one address, one thread. It answers from the newest Zone and forwards every
// other question to the host's resolvers; without resolvers such a question is SERVFAIL.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/files.h"
#include "cluster/network/dns_zone.h"

namespace slipway::cluster {

struct DnsServerConfig {
  Endpoint listen;                    // port 0: any
  std::vector<Ipv4> resolvers;        // asked in turn, port 53
  std::uint16_t resolver_port = 53;
};

constexpr std::size_t max_forwarded = 512;    // questions under way; a further one is SERVFAIL
constexpr std::size_t max_dns_connections = 64;
constexpr std::chrono::seconds forward_timeout{3};
constexpr std::chrono::seconds dns_connection_idle{10};

// "nameserver" lines of a resolv.conf with an IPv4 address, at most three.
std::vector<Ipv4> parse_resolvers(std::string_view resolv_conf);

class DnsServer final {
 public:
  using ZoneSource = std::function<std::shared_ptr<const Zone>()>;
  static Result<std::unique_ptr<DnsServer>> start(const DnsServerConfig& config, ZoneSource zone);
  ~DnsServer();
  std::uint16_t port() const { return port_; }

 private:
  struct Forwarded {
    UniqueFd socket;
    std::string question;
    std::uint64_t connection = 0;  // 0: UDP
    Endpoint peer;
    std::size_t resolver = 0;
    std::chrono::steady_clock::time_point deadline;
  };
  struct Connection {
    UniqueFd socket;
    std::string received;
    std::chrono::steady_clock::time_point deadline;
  };
  DnsServer(DnsServerConfig config, ZoneSource zone, UniqueFd udp, UniqueFd tcp, std::uint16_t port);
  void work(std::stop_token stop);
  void receive_udp();
  void accept_tcp();
  bool receive_tcp(std::uint64_t id, Connection& connection);
  void handle(const std::string& message, std::uint64_t connection, Endpoint peer);
  void forward(Forwarded question);
  bool receive_forwarded(Forwarded& question);
  void reply(const std::string& answer, std::uint64_t connection, Endpoint peer);
  void expire();

  DnsServerConfig config_;
  ZoneSource zone_;
  UniqueFd udp_, tcp_, wake_;
  std::uint16_t port_;
  std::list<Forwarded> forwarded_;
  std::map<std::uint64_t, Connection> connections_;
  std::uint64_t next_connection_ = 1;
  std::jthread thread_;
};

}  // namespace slipway::cluster
