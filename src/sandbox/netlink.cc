// SPDX-License-Identifier: Apache-2.0
#include "sandbox/netlink.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "base/strings.h"

namespace slipway::sandbox {

// A request that grows: header, fixed part, attributes (which may nest).
class NetlinkMessage {
 public:
  NetlinkMessage(std::uint16_t type, std::uint16_t flags) {
    bytes_.resize(NLMSG_HDRLEN);
    header().nlmsg_type = type;
    header().nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  }

  template <class Part>
  NetlinkMessage& part(const Part& part) {
    return raw(&part, sizeof part);
  }
  NetlinkMessage& attribute(std::uint16_t type, const void* data, std::size_t size) {
    const rtattr head{static_cast<std::uint16_t>(RTA_LENGTH(size)), type};
    raw(&head, sizeof head);
    return raw(data, size);
  }
  NetlinkMessage& text(std::uint16_t type, std::string_view value) {
    return attribute(type, std::string(value).c_str(), value.size() + 1);
  }
  NetlinkMessage& number(std::uint16_t type, std::uint32_t value) { return attribute(type, &value, sizeof value); }
  NetlinkMessage& nested(std::uint16_t type, const std::function<void()>& inside) {
    const std::size_t start = bytes_.size();
    const rtattr head{0, type};
    raw(&head, sizeof head);
    inside();
    reinterpret_cast<rtattr*>(bytes_.data() + start)->rta_len = static_cast<std::uint16_t>(bytes_.size() - start);
    return *this;
  }
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  std::string_view finish(std::uint32_t sequence) {
    header().nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    header().nlmsg_seq = sequence;
    return bytes_;
  }

 private:
  NetlinkMessage& raw(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
    return *this;
  }
  std::string bytes_;
};

namespace {

constexpr std::size_t receive_bytes = 64 * 1024;

Error kernel_error(std::string_view what, int error) {
  errno = error;
  Error result = errno_error(what, "rtnetlink");
  if (error == ENODEV || error == ESRCH) result.code = ErrorCode::not_found;
  if (error == EEXIST) result.code = ErrorCode::already_exists;
  return result;
}

ifinfomsg link_part(std::uint32_t index = 0) {
  ifinfomsg part{};
  part.ifi_family = AF_UNSPEC;
  part.ifi_index = static_cast<int>(index);
  return part;
}

Result<> send_request(int socket, std::string_view bytes) {
  if (::send(socket, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return std::unexpected(kernel_error("cannot send", errno));
  return {};
}

// Calls on_message for each answer of a dump.
Result<> receive_dump(int socket, const std::function<void(const nlmsghdr&)>& on_message) {
  std::string buffer(receive_bytes, '\0');
  while (true) {
    const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (size < 0) return std::unexpected(kernel_error("cannot receive", errno));
    auto* message = reinterpret_cast<nlmsghdr*>(buffer.data());
    for (auto left = static_cast<unsigned>(size); NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR) return std::unexpected(kernel_error("dump failed", -static_cast<nlmsgerr*>(NLMSG_DATA(message))->error));
      on_message(*message);
    }
  }
}

void each_attribute(rtattr* first, int size, const std::function<void(const rtattr&)>& visit) {
  for (rtattr* a = first; RTA_OK(a, size); a = RTA_NEXT(a, size)) visit(*a);
}

rtmsg route_part(std::uint32_t prefix, std::uint8_t scope) {
  rtmsg part{};
  part.rtm_family = AF_INET;
  part.rtm_dst_len = static_cast<std::uint8_t>(prefix);
  part.rtm_table = RT_TABLE_MAIN;
  part.rtm_protocol = RTPROT_BOOT;
  part.rtm_scope = scope;
  part.rtm_type = RTN_UNICAST;
  return part;
}

Result<> check_name(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return fail(ErrorCode::invalid, fmt::format("bad link name: {}", name));
  return {};
}

}  // namespace

Result<Ipv4> Ipv4::parse(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1)
    return fail(ErrorCode::invalid, fmt::format("not an IPv4 address: {}", printable(text)));
  return Ipv4{ntohl(address.s_addr)};
}

std::string Ipv4::to_string() const {
  return fmt::format("{}.{}.{}.{}", value >> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255);
}

Result<Ipv4Range> Ipv4Range::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto prefix = slash == std::string_view::npos ? std::nullopt : parse_int(text.substr(slash + 1));
  if (!prefix || *prefix < 1 || *prefix > 32) return fail(ErrorCode::invalid, fmt::format("not an address range: {}", printable(text)));
  const Ipv4Range range{TRY(Ipv4::parse(text.substr(0, slash))), static_cast<std::uint32_t>(*prefix)};
  if (range.base.value & (range.size() - 1)) return fail(ErrorCode::invalid, fmt::format("address range has bits below its prefix: {}", text));
  return range;
}

std::string Ipv4Range::to_string() const { return fmt::format("{}/{}", base.to_string(), prefix); }

Result<Netlink> Netlink::open() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return std::unexpected(kernel_error("cannot open socket", errno));
  return Netlink(std::move(socket));
}

Result<> Netlink::request(NetlinkMessage& message, bool existing_is_fine) {
  message.header().nlmsg_flags |= NLM_F_ACK;
  TRY(send_request(socket_.get(), message.finish(++sequence_)));
  alignas(nlmsghdr) char buffer[4096];
  const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
  if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) return std::unexpected(kernel_error("cannot receive", errno));
  const int error = -static_cast<nlmsgerr*>(NLMSG_DATA(reinterpret_cast<nlmsghdr*>(buffer)))->error;
  if (error == 0 || (error == EEXIST && existing_is_fine)) return {};
  return std::unexpected(kernel_error("request refused", error));
}

Result<std::uint32_t> Netlink::link_index(std::string_view name) {
  TRY(check_name(name));
  NetlinkMessage message(RTM_GETLINK, 0);
  message.part(link_part()).text(IFLA_IFNAME, name);
  TRY(send_request(socket_.get(), message.finish(++sequence_)));
  std::string buffer(receive_bytes, '\0');
  const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  auto* head = reinterpret_cast<nlmsghdr*>(buffer.data());
  if (size < static_cast<ssize_t>(sizeof(nlmsghdr))) return std::unexpected(kernel_error("cannot receive", errno));
  if (head->nlmsg_type == NLMSG_ERROR)
    return at(Result<std::uint32_t>(std::unexpected(kernel_error("no link", -static_cast<nlmsgerr*>(NLMSG_DATA(head))->error))), name);
  return static_cast<std::uint32_t>(static_cast<ifinfomsg*>(NLMSG_DATA(head))->ifi_index);
}

Result<std::vector<std::string>> Netlink::link_names() {
  NetlinkMessage message(RTM_GETLINK, NLM_F_DUMP);
  message.part(link_part());
  TRY(send_request(socket_.get(), message.finish(++sequence_)));
  std::vector<std::string> names;
  TRY(receive_dump(socket_.get(), [&](const nlmsghdr& head) {
    auto* info = static_cast<ifinfomsg*>(NLMSG_DATA(const_cast<nlmsghdr*>(&head)));
    each_attribute(IFLA_RTA(info), static_cast<int>(IFLA_PAYLOAD(&head)), [&](const rtattr& a) {
      if (a.rta_type == IFLA_IFNAME) names.emplace_back(static_cast<const char*>(RTA_DATA(&a)));
    });
  }));
  return names;
}

Result<> Netlink::add_bridge(std::string_view name) {
  TRY(check_name(name));
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.part(link_part()).text(IFLA_IFNAME, name);
  message.nested(IFLA_LINKINFO, [&] { message.text(IFLA_INFO_KIND, "bridge"); });
  return at(request(message, true), name);
}

Result<> Netlink::add_veth(std::string_view name, std::string_view peer, int peer_namespace, std::uint32_t mtu) {
  TRY(check_name(name));
  TRY(check_name(peer));
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.part(link_part()).text(IFLA_IFNAME, name);
  if (mtu > 0) message.number(IFLA_MTU, mtu);
  message.nested(IFLA_LINKINFO, [&] {
    message.text(IFLA_INFO_KIND, "veth");
    message.nested(IFLA_INFO_DATA, [&] {
      message.nested(VETH_INFO_PEER, [&] {
        message.part(link_part()).text(IFLA_IFNAME, peer);
        if (mtu > 0) message.number(IFLA_MTU, mtu);
        message.number(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_namespace));
      });
    });
  });
  return at(request(message, false), name);
}

Result<> Netlink::remove_link(std::string_view name) {
  const auto index = link_index(name);
  if (!index) return index.error().code == ErrorCode::not_found ? Result<>() : std::unexpected(index.error());
  NetlinkMessage message(RTM_DELLINK, 0);
  message.part(link_part(*index));
  return at(request(message, false), name);
}

Result<> Netlink::set_up(std::string_view name) {
  ifinfomsg part = link_part(TRY(link_index(name)));
  part.ifi_flags = part.ifi_change = IFF_UP;
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.part(part);
  return at(request(message, false), name);
}

Result<> Netlink::set_hardware_address(std::string_view name, Ipv4 address) {
  std::uint8_t bytes[6] = {0x0a, 0x58};  // locally administered, as the CNI bridge plugin makes it
  const std::uint32_t wire = htonl(address.value);
  std::memcpy(bytes + 2, &wire, sizeof wire);
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.part(link_part(TRY(link_index(name)))).attribute(IFLA_ADDRESS, bytes, sizeof bytes);
  return at(request(message, false), name);
}

Result<> Netlink::set_master(std::string_view name, std::string_view bridge) {
  const std::uint32_t master = TRY(link_index(bridge));
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.part(link_part(TRY(link_index(name)))).number(IFLA_MASTER, master);
  return at(request(message, false), name);
}

Result<> Netlink::set_hairpin(std::string_view name) {
  ifinfomsg part = link_part(TRY(link_index(name)));
  part.ifi_family = AF_BRIDGE;
  NetlinkMessage message(RTM_SETLINK, 0);
  const std::uint8_t on = 1;
  message.part(part).nested(IFLA_PROTINFO | NLA_F_NESTED, [&] { message.attribute(IFLA_BRPORT_MODE, &on, sizeof on); });
  return at(request(message, false), name);
}

Result<> Netlink::add_address(std::string_view name, Ipv4 address, std::uint32_t prefix) {
  ifaddrmsg part{};
  part.ifa_family = AF_INET;
  part.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  part.ifa_index = TRY(link_index(name));
  const std::uint32_t wire = htonl(address.value);
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  message.part(part).number(IFA_LOCAL, wire).number(IFA_ADDRESS, wire);
  return at(request(message, true), name);
}

Result<> Netlink::add_default_route(std::string_view name, Ipv4 gateway) {
  rtmsg part = route_part(0, RT_SCOPE_UNIVERSE);
  part.rtm_flags = RTNH_F_ONLINK;
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  message.part(part).number(RTA_GATEWAY, htonl(gateway.value)).number(RTA_OIF, TRY(link_index(name)));
  return at(request(message, true), "default route");
}

Result<> Netlink::add_link_route(std::string_view name, Ipv4Range destination) {
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  message.part(route_part(destination.prefix, RT_SCOPE_LINK))
      .number(RTA_DST, htonl(destination.base.value))
      .number(RTA_OIF, TRY(link_index(name)));
  return at(request(message, true), destination.to_string());
}

Result<std::vector<Ipv4>> Netlink::addresses() {
  ifaddrmsg part{};
  part.ifa_family = AF_INET;
  NetlinkMessage message(RTM_GETADDR, NLM_F_DUMP);
  message.part(part);
  TRY(send_request(socket_.get(), message.finish(++sequence_)));
  std::vector<Ipv4> found;
  TRY(receive_dump(socket_.get(), [&](const nlmsghdr& head) {
    auto* info = static_cast<ifaddrmsg*>(NLMSG_DATA(const_cast<nlmsghdr*>(&head)));
    if (info->ifa_scope != RT_SCOPE_UNIVERSE) return;
    each_attribute(IFA_RTA(info), static_cast<int>(IFA_PAYLOAD(&head)), [&](const rtattr& a) {
      std::uint32_t wire = 0;
      if (a.rta_type != IFA_LOCAL) return;
      std::memcpy(&wire, RTA_DATA(&a), sizeof wire);
      found.push_back({ntohl(wire)});
    });
  }));
  return found;
}

}  // namespace slipway::sandbox
