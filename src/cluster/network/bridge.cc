// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/bridge.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/log.h"
#include "sandbox/namespaces.h"

namespace slipway::cluster {
namespace {

constexpr std::size_t veth_hash_digits = 11;
constexpr const char* pod_link = "eth0";
constexpr const char* ndots_option = "ndots:5";

Result<> set_kernel(const std::string& file, std::string_view value) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open", file);
  return at(write_all(fd.get(), value), file);
}

Result<> set_up_bridge(const BridgeConfig& config) {
  sandbox::Netlink netlink = TRY(sandbox::Netlink::open());
  TRY(netlink.add_bridge(config.bridge));
  TRY(netlink.set_hardware_address(config.bridge, config.pods.at(1)));
  TRY(netlink.add_address(config.bridge, config.pods.at(1), config.pods.prefix));
  TRY(netlink.set_up(config.bridge));
  // A process of the host reaches a Service from the bridge's address, also where there is no default route.
  TRY(netlink.add_link_route(config.bridge, config.services));
  TRY(set_kernel("/proc/sys/net/ipv4/ip_forward", "1"));
  // Two pods on one bridge are told to talk past the gateway otherwise.
  for (const std::string& name : {std::string("all"), config.bridge})
    TRY(set_kernel("/proc/sys/net/ipv4/conf/" + name + "/send_redirects", "0"));
  return {};
}

}  // namespace

std::string veth_name(std::string_view prefix, std::string_view pod_uid) {
  return std::string(prefix) + sha256_hex(pod_uid).substr(0, veth_hash_digits);
}

Result<std::unique_ptr<BridgeNetwork>> BridgeNetwork::open(const BridgeConfig& config) {
  if (config.veth_prefix.empty() || config.veth_prefix.size() > 4) return fail(ErrorCode::invalid, "a veth prefix has 1 to 4 characters");
  TRY(set_up_bridge(config));
  UniqueFd host(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!host) return fail_errno("cannot open", "/proc/thread-self/ns/net");
  auto book = TRY(AddressBook::open(config.pods, config.address_file));
  return std::unique_ptr<BridgeNetwork>(new BridgeNetwork(config, std::move(book), std::move(host)));
}

Result<Ipv4> BridgeNetwork::reserve(const std::string& pod_uid) { return book_->reserve(pod_uid); }

Result<> BridgeNetwork::release(const std::string& pod_uid) {
  sandbox::Netlink netlink = TRY(sandbox::Netlink::open());
  TRY(netlink.remove_link(veth_name(config_.veth_prefix, pod_uid)));
  return book_->release(pod_uid);
}

std::vector<std::string> BridgeNetwork::reserved() const { return book_->owners(); }

// Runs inside the pod's namespace; the host's end is finished on the way out, in the host's.
Result<> BridgeNetwork::attach(const std::string& pod_uid, Ipv4 address) {
  const std::string host_end = veth_name(config_.veth_prefix, pod_uid);
  {
    sandbox::Netlink netlink = TRY(sandbox::Netlink::open());
    TRY(netlink.add_veth(pod_link, host_end, host_network_.get(), config_.mtu));
    TRY(netlink.set_hardware_address(pod_link, address));
    TRY(netlink.add_address(pod_link, address, 32));
    TRY(netlink.set_up(pod_link));
    TRY(netlink.add_default_route(pod_link, gateway()));
  }
  const UniqueFd pod(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!pod || ::setns(host_network_.get(), CLONE_NEWNET) != 0) return fail_errno("cannot enter", "host network");
  const auto joined = [&]() -> Result<> {
    sandbox::Netlink netlink = TRY(sandbox::Netlink::open());
    TRY(netlink.set_master(host_end, config_.bridge));
    TRY(netlink.set_hairpin(host_end));
    return netlink.set_up(host_end);
  }();
  if (::setns(pod.get(), CLONE_NEWNET) != 0) return fail_errno("cannot return to", "pod network");
  return joined;
}

sandbox::PodDns BridgeNetwork::cluster_dns(const std::string& pod_namespace) const {
  return {{config_.dns_service.to_string()},
          {pod_namespace + ".svc." + config_.cluster_domain, "svc." + config_.cluster_domain, config_.cluster_domain},
          {ndots_option}};
}

bool BridgeNetwork::receives_traffic(Ipv4 address) const {
  const std::lock_guard lock(mutex_);
  return ready_.contains(address);
}

void BridgeNetwork::set_ready_addresses(std::set<Ipv4> addresses) {
  const std::lock_guard lock(mutex_);
  ready_ = std::move(addresses);
}

Result<> BridgeNetwork::remove_all() {
  sandbox::Netlink netlink = TRY(sandbox::Netlink::open());
  for (const std::string& name : TRY(netlink.link_names()))
    if (name.size() == config_.veth_prefix.size() + veth_hash_digits && name.starts_with(config_.veth_prefix)) TRY(netlink.remove_link(name));
  return netlink.remove_link(config_.bridge);
}

}  // namespace slipway::cluster
