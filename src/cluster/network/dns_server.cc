// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/dns_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"

namespace slipway::cluster {
namespace {

constexpr std::size_t max_resolvers = 3;
constexpr int tick_milliseconds = 500;
constexpr int udp_batch = 64;  // datagrams in one turn

sockaddr_in socket_address(Endpoint at) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(at.port);
  address.sin_addr.s_addr = htonl(at.address.value);
  return address;
}

Result<UniqueFd> bound(int type, Endpoint at) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("cannot open", "DNS socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = socket_address(at);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return fail_errno("cannot bind DNS to", at.address.to_string());
  if (type == SOCK_STREAM && ::listen(socket.get(), 64) != 0) return fail_errno("cannot listen on", at.address.to_string());
  return socket;
}

std::uint16_t port_of(const UniqueFd& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

std::vector<Ipv4> parse_resolvers(std::string_view resolv_conf) {
  std::vector<Ipv4> found;
  for (const std::string_view line : split_lines(resolv_conf)) {
    if (!line.starts_with("nameserver ") && !line.starts_with("nameserver\t")) continue;
    if (const auto address = Ipv4::parse(trim(line.substr(11))); address && found.size() < max_resolvers) found.push_back(*address);
  }
  return found;
}

Result<std::unique_ptr<DnsServer>> DnsServer::start(const DnsServerConfig& config, ZoneSource zone) {
  UniqueFd udp = TRY(bound(SOCK_DGRAM, config.listen));
  const std::uint16_t port = port_of(udp);
  UniqueFd tcp = TRY(bound(SOCK_STREAM, {config.listen.address, port}));
  return std::unique_ptr<DnsServer>(new DnsServer(config, std::move(zone), std::move(udp), std::move(tcp), port));
}

DnsServer::DnsServer(DnsServerConfig config, ZoneSource zone, UniqueFd udp, UniqueFd tcp, std::uint16_t port)
    : config_(std::move(config)), zone_(std::move(zone)), udp_(std::move(udp)), tcp_(std::move(tcp)), wake_(::eventfd(0, EFD_CLOEXEC)), port_(port),
      thread_([this](std::stop_token stop) { work(stop); }) {}

DnsServer::~DnsServer() {
  thread_.request_stop();
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  thread_.join();
}

void DnsServer::work(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> waits{{wake_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
    std::vector<std::uint64_t> ids;
    for (const auto& [id, connection] : connections_) waits.push_back({connection.socket.get(), POLLIN, 0}), ids.push_back(id);
    const std::size_t first_forwarded = waits.size();
    for (const Forwarded& question : forwarded_) waits.push_back({question.socket.get(), POLLIN, 0});
    if (::poll(waits.data(), waits.size(), forwarded_.empty() && connections_.empty() ? -1 : tick_milliseconds) < 0) continue;
    std::size_t at = first_forwarded;
    std::erase_if(forwarded_, [&](Forwarded& question) { return waits[at++].revents != 0 && receive_forwarded(question); });
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (waits[3 + i].revents && !receive_tcp(ids[i], connections_.at(ids[i]))) connections_.erase(ids[i]);
    if (waits[1].revents) receive_udp();
    if (waits[2].revents) accept_tcp();
    expire();
  }
}

void DnsServer::receive_udp() {
  for (int i = 0; i < udp_batch; ++i) {
    char buffer[max_udp_bytes + 1];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got = ::recvfrom(udp_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) return;
    handle(std::string(buffer, static_cast<std::size_t>(got)), 0, {{ntohl(from.sin_addr.s_addr)}, ntohs(from.sin_port)});
  }
}

void DnsServer::accept_tcp() {
  UniqueFd socket(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || connections_.size() >= max_dns_connections) return;
  connections_[next_connection_++] = {std::move(socket), {}, std::chrono::steady_clock::now() + dns_connection_idle};
}

bool DnsServer::receive_tcp(std::uint64_t id, Connection& connection) {
  char buffer[4096];
  const ssize_t got = ::recv(connection.socket.get(), buffer, sizeof buffer, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  connection.received.append(buffer, static_cast<std::size_t>(got));
  connection.deadline = std::chrono::steady_clock::now() + dns_connection_idle;
  while (connection.received.size() >= 2) {
    const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(connection.received[0])) * 256 + static_cast<unsigned char>(connection.received[1]);
    if (connection.received.size() < size + 2) return true;
    const std::string message = connection.received.substr(2, size);
    connection.received.erase(0, size + 2);
    handle(message, id, {});
  }
  return true;
}

void DnsServer::handle(const std::string& message, std::uint64_t connection, Endpoint peer) {
  const auto query = parse_query(message);
  if (!query) {
    if (const auto failure = write_failure(message, DnsCode::format_error)) reply(*failure, connection, peer);
    return;
  }
  const auto zone = zone_();
  const std::size_t limit = connection != 0 ? max_dns_message : std::min<std::size_t>(query->udp_bytes, max_udp_bytes);
  if (zone)
    if (const auto answer = zone->answer(*query)) return reply(write_answer(*query, *answer, limit), connection, peer);
  if (!zone || config_.resolvers.empty() || forwarded_.size() >= max_forwarded)
    return reply(write_answer(*query, {.code = DnsCode::server_failure, .authoritative = false}, limit), connection, peer);
  forward({.question = message, .connection = connection, .peer = peer});
}

void DnsServer::forward(Forwarded question) {
  question.socket = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in to = socket_address({config_.resolvers[question.resolver % config_.resolvers.size()], config_.resolver_port});
  // A connected socket of its own for each question: only that resolver can answer it, on a port nobody can guess.
  const bool sent = question.socket && ::connect(question.socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                    ::send(question.socket.get(), question.question.data(), question.question.size(), 0) > 0;
  if (!sent) {
    if (const auto failure = write_failure(question.question, DnsCode::server_failure)) reply(*failure, question.connection, question.peer);
    return;
  }
  question.deadline = std::chrono::steady_clock::now() + forward_timeout;
  forwarded_.push_back(std::move(question));
}

bool DnsServer::receive_forwarded(Forwarded& question) {
  std::string answer(max_dns_message, '\0');
  const ssize_t got = ::recv(question.socket.get(), answer.data(), answer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 12) {
    question.deadline = std::chrono::steady_clock::now();  // refused: the next resolver at once
    return false;
  }
  answer.resize(static_cast<std::size_t>(got));
  if (answer.compare(0, 2, question.question, 0, 2) != 0) return false;
  reply(answer, question.connection, question.peer);
  return true;
}

void DnsServer::reply(const std::string& answer, std::uint64_t connection, Endpoint peer) {
  if (connection == 0) {
    const sockaddr_in to = socket_address(peer);
    (void)::sendto(udp_.get(), answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return;
  }
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  std::string framed{static_cast<char>(answer.size() >> 8), static_cast<char>(answer.size() & 255)};
  framed += answer;
  (void)::send(found->second.socket.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
}

void DnsServer::expire() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(connections_, [&](const auto& entry) { return entry.second.deadline < now; });
  std::vector<Forwarded> again;
  std::erase_if(forwarded_, [&](Forwarded& question) {
    if (question.deadline > now) return false;
    again.push_back(std::move(question));
    return true;
  });
  for (Forwarded& question : again) {
    if (++question.resolver < config_.resolvers.size()) forward(std::move(question));
    else if (const auto failure = write_failure(question.question, DnsCode::server_failure)) reply(*failure, question.connection, question.peer);
  }
}

}  // namespace slipway::cluster
