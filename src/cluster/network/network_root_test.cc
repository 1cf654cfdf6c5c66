// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "base/process.h"
#include "cluster/network/bridge.h"
#include "cluster/network/dns_server.h"
#include "cluster/network/proxy.h"
#include "sandbox/mounts.h"
#include "sandbox/monitor_hub.h"
#include "sandbox/namespaces.h"

namespace slipway::cluster {
namespace {

bool can_run() {
  if (::geteuid() != 0) return std::puts("SKIPPED: this test needs root"), false;
  return true;
}

BridgeConfig bridge_config(const std::string& folder) {
  return {.pods = Ipv4Range::parse("10.244.0.0/24").value(), .services = Ipv4Range::parse("10.96.0.0/16").value(),
          .dns_service = Ipv4::parse("10.96.0.10").value(), .address_file = folder + "/addresses"};
}

Json json(std::string_view text) { return text::parse_json(text).value(); }

TEST_CASE("a pod is reached by its address and through its Service; a Service without endpoints refuses at once") {
  if (!can_run()) return;
  const TempFolder folder;
  const auto done = sandbox::run_in_new_network([&]() -> Result<> {
    auto bridge = TRY(BridgeNetwork::open(bridge_config(folder.path())));
    const Ipv4 address = TRY(bridge->reserve("pod-a"));
    CHECK(TRY(bridge->reserve("pod-a")) == address);
    const auto files = TRY(sandbox::make_namespaces(folder.path() + "/ns", "a", sandbox::PodNetwork::own, [&] { return bridge->attach("pod-a", address); }));
    Child server = TRY(Child::start({.arguments = {"nsenter", "--net=" + files.network, "busybox", "nc", "-ll", "-p", "80", "-e", "/bin/true"}}, Stdio::null, Stdio::null, Stdio::null));
    Result<> reached = fail(ErrorCode::timeout, "");
    // The program needs a moment until it listens; a refusal comes at once.
    for (int i = 0; i < 500 && !reached; ++i) {
      reached = sandbox::check_tcp(address, 80, std::chrono::seconds(1));
      if (!reached) ::poll(nullptr, 0, 20);
    }
    CHECK_MESSAGE(reached, reached.error().to_string());

    const auto table = make_service_table(
        {json(R"({"metadata":{"name":"web","namespace":"d"},"spec":{"clusterIP":"10.96.0.20","type":"NodePort","ports":[{"port":8080,"nodePort":30080}]}})"),
         json(R"({"metadata":{"name":"none","namespace":"d"},"spec":{"clusterIP":"10.96.0.21","ports":[{"port":80}]}})")},
        {json(R"({"metadata":{"namespace":"d","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","ports":[{"name":"","port":80}],"endpoints":[{"addresses":[")" +
              address.to_string() + R"("],"conditions":{"ready":true}}]})")});
    RulesetConfig rules{.pods = Ipv4Range::parse("10.244.0.0/24").value(), .services = Ipv4Range::parse("10.96.0.0/16").value()};
    TRY(apply_ruleset(TRY(make_ruleset(rules, table))));
    TRY(apply_ruleset(TRY(make_ruleset(rules, table))));
    const Ipv4 service = Ipv4::parse("10.96.0.20").value();
    CHECK(sandbox::check_tcp(service, 8080, std::chrono::seconds(2)));
    CHECK(sandbox::check_tcp(bridge->gateway(), 30080, std::chrono::seconds(2)));
    const auto refused = sandbox::check_tcp(Ipv4::parse("10.96.0.21").value(), 80, std::chrono::seconds(2));
    REQUIRE(!refused);
    CHECK(refused.error().code != ErrorCode::timeout);
    // From the pod itself through its own Service (hairpin).
    CHECK(sandbox::run_in_network(files.network, [&] { return sandbox::check_tcp(service, 8080, std::chrono::seconds(2)); }));
    server.kill(9);
    server.wait();
    TRY(remove_packet_rules("slipway"));
    TRY(sandbox::remove_namespaces(folder.path() + "/ns"));
    TRY(bridge->release("pod-a"));
    return bridge->remove_all();
  });
  CHECK_MESSAGE(done, done.error().to_string());
  (void)sandbox::unmount_below(folder.path());
}

TEST_CASE("the gateway and an address keep their hardware address while pods come and go") {
  if (!can_run()) return;
  const TempFolder folder;
  const auto done = sandbox::run_in_new_network([&]() -> Result<> {
    auto bridge = TRY(BridgeNetwork::open(bridge_config(folder.path())));
    const auto ether_of = [&](const std::string& link) -> Result<std::string> {
      const std::string text = TRY(run_ok({.arguments = {"ip", "-o", "link", "show", link}}));
      return text.substr(text.find("link/ether"), 28);
    };
    const std::string before = TRY(ether_of("slip0"));
    CHECK(before == "link/ether 0a:58:0a:f4:00:01");
    for (int i = 0; i < 3; ++i) {
      const std::string pod = "pod-" + std::to_string(i);
      const Ipv4 address = TRY(bridge->reserve(pod));
      TRY(sandbox::make_namespaces(folder.path() + "/ns" + pod, pod, sandbox::PodNetwork::own, [&] { return bridge->attach(pod, address); }));
      CHECK(TRY(ether_of("slip0")) == before);
    }
    for (int i = 0; i < 3; ++i) {
      TRY(sandbox::remove_namespaces(folder.path() + "/nspod-" + std::to_string(i)));
      TRY(bridge->release("pod-" + std::to_string(i)));
      CHECK(TRY(ether_of("slip0")) == before);
    }
    return bridge->remove_all();
  });
  CHECK_MESSAGE(done, done.error().to_string());
  (void)sandbox::unmount_below(folder.path());
}

TEST_CASE("the DNS server answers a Service by name to an ordinary client") {
  if (!can_run()) return;
  const auto done = sandbox::run_in_new_network([]() -> Result<> {
    const auto zone = std::make_shared<const Zone>(
        "cluster.local", Ipv4Range::parse("10.96.0.0/16").value(), Ipv4Range::parse("10.244.0.0/24").value(),
        std::vector<Json>{json(R"({"metadata":{"name":"web","namespace":"d"},"spec":{"clusterIP":"10.96.0.20","ports":[{"name":"http","port":80}]}})")}, std::vector<Json>{});
    auto server = TRY(DnsServer::start({.listen = {Ipv4::parse("127.0.0.1").value(), 53}}, [zone] { return zone; }));
    const auto asked = TRY(run({.arguments = {"busybox", "nslookup", "-type=a", "web.d.svc.cluster.local", "127.0.0.1"}}));
    CHECK(asked.output.find("10.96.0.20") != std::string::npos);
    const auto foreign = TRY(run({.arguments = {"busybox", "nslookup", "-type=a", "example.org", "127.0.0.1"}}));
    CHECK((foreign.output + foreign.errors).find("SERVFAIL") != std::string::npos);
    return {};
  });
  CHECK_MESSAGE(done, done.error().to_string());
}

}  // namespace
}  // namespace slipway::cluster
