// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "base/files.h"
#include "cluster/network/bridge.h"
#include "cluster/network/dns_server.h"
#include "cluster/network/ruleset.h"

namespace slipway::cluster {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }
Ipv4 ip(std::string_view text) { return Ipv4::parse(text).value(); }
Ipv4Range range(std::string_view text) { return Ipv4Range::parse(text).value(); }

Json service(std::string_view name, std::string_view spec) {
  return Json::object({{"metadata", Json::object({{"name", name}, {"namespace", "d"}})}, {"spec", json(spec)}});
}
Json slice(std::string_view name, std::string_view endpoints) {
  return Json::object({{"metadata", Json::object({{"namespace", "d"}, {"labels", Json::object({{"kubernetes.io/service-name", name}})}})},
                       {"addressType", "IPv4"},
                       {"ports", json(R"([{"name":"http","port":8080}])")},
                       {"endpoints", json(endpoints)}});
}
const Json web = service("web", R"({"clusterIP":"10.96.0.20","ports":[{"name":"http","port":80}]})");

TEST_CASE("only ready endpoints take connections") {
  const auto table = make_service_table({web}, {slice("web", R"([{"addresses":["10.244.0.3"],"conditions":{"ready":true}},
      {"addresses":["10.244.0.4"],"conditions":{"ready":false}},{"addresses":["10.244.0.2"]}])")});
  CHECK(table.ports.at(0).endpoints == std::vector<Endpoint>{{ip("10.244.0.2"), 8080}, {ip("10.244.0.3"), 8080}});
  CHECK(table.ready_addresses == std::set{ip("10.244.0.2"), ip("10.244.0.3")});
}

TEST_CASE("where none is ready those that serve while they terminate go on, and do not count as ready") {
  const auto table = make_service_table({web}, {slice("web", R"([{"addresses":["10.244.0.3"],"conditions":{"ready":false,"serving":true,"terminating":true}},
      {"addresses":["10.244.0.4"],"conditions":{"ready":false,"serving":false,"terminating":true}}])")});
  CHECK(table.ports.at(0).endpoints == std::vector<Endpoint>{{ip("10.244.0.3"), 8080}});
  CHECK(table.ready_addresses.empty());
}

RulesetConfig rules() { return {.pods = range("10.244.0.0/24"), .services = range("10.96.0.0/16")}; }

TEST_CASE("the rules spread over endpoints, keep a client at one where asked, and refuse for a Service without any") {
  const Json sticky = service("sticky", R"({"clusterIP":"10.96.0.21","sessionAffinity":"ClientIP","ports":[{"name":"http","port":80,"nodePort":30001}]})");
  const Json empty = service("empty", R"({"clusterIP":"10.96.0.22","ports":[{"port":80}]})");
  const char* two = R"([{"addresses":["10.244.0.2"]},{"addresses":["10.244.0.3"]}])";
  const std::string text = make_ruleset(rules(), make_service_table({web, sticky, empty}, {slice("web", two), slice("sticky", two)})).value();
  CHECK(text.find("dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080 }") != std::string::npos);
  CHECK(text.find("dnat ip to jhash ip saddr mod 2") != std::string::npos);
  CHECK(text.find("set no-endpoints { type ipv4_addr . inet_proto . inet_service; elements = { 10.96.0.22 . tcp . 80 }") != std::string::npos);
  CHECK(text.find("tcp . 30001 : goto svc-0") != std::string::npos);
}

TEST_CASE("the same objects give the same rules, whatever their order") {
  const Json other = service("other", R"({"clusterIP":"10.96.0.30","ports":[{"name":"http","port":80}]})");
  const char* a = R"([{"addresses":["10.244.0.2"]},{"addresses":["10.244.0.3"]}])";
  const char* b = R"([{"addresses":["10.244.0.3"]},{"addresses":["10.244.0.2"]}])";
  CHECK(make_ruleset(rules(), make_service_table({web, other}, {slice("web", a)})).value() ==
        make_ruleset(rules(), make_service_table({other, web}, {slice("web", b)})).value());
}

TEST_CASE("what would break out of the program's text is refused") {
  RulesetConfig bad = rules();
  bad.table = "x; flush ruleset";
  CHECK(!make_ruleset(bad, {}));
  const Json evil = service("evil", R"({"clusterIP":"10.96.0.20","ports":[{"protocol":"tcp } ;","port":80}]})");
  CHECK(!make_ruleset(rules(), make_service_table({evil}, {})));
}

TEST_CASE("a pod keeps its address, and a released one is given again last") {
  AddressPool pool(range("10.0.0.0/29"));
  CHECK(pool.reserve("a").value() == ip("10.0.0.2"));
  CHECK(pool.reserve("a").value() == ip("10.0.0.2"));
  pool.release("a");
  CHECK(pool.reserve("b").value() == ip("10.0.0.3"));
  for (const char* name : {"c", "d", "e"}) CHECK(pool.reserve(name));
  CHECK(pool.reserve("f").value() == ip("10.0.0.2"));
  const auto full = pool.reserve("g");
  REQUIRE(!full);
  CHECK(full.error().code == ErrorCode::no_space);
}

TEST_CASE("the address book is the same after a restart") {
  const TempFolder folder;
  const Ipv4 given = AddressBook::open(range("10.0.0.0/24"), folder.path() + "/book").value()->reserve("a").value();
  const auto again = AddressBook::open(range("10.0.0.0/24"), folder.path() + "/book").value();
  CHECK(again->reserve("a").value() == given);
  CHECK(again->reserve("b").value() != given);
}

TEST_CASE("a veth's name fits the kernel and is the same for the same pod") {
  CHECK(veth_name("slv", "uid-1").size() <= 15);
  CHECK(veth_name("slv", "uid-1") == veth_name("slv", "uid-1"));
  CHECK(veth_name("slv", "uid-1") != veth_name("slv", "uid-2"));
}

std::string question(std::string_view name, DnsType type) {
  std::string message("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  std::size_t start = 0;
  while (start <= name.size()) {
    const std::size_t dot = std::min(name.find('.', start), name.size());
    message += static_cast<char>(dot - start);
    message += name.substr(start, dot - start);
    start = dot + 1;
  }
  message += std::string("\0\0", 2);
  message += static_cast<char>(type);
  return message + std::string("\0\x01", 2);
}

Zone zone() {
  return Zone("cluster.local", range("10.96.0.0/16"), range("10.244.0.0/24"),
              {web, service("db", R"({"clusterIP":"None","ports":[{"name":"http","port":8080}]})"),
               service("away", R"({"type":"ExternalName","externalName":"Example.ORG"})")},
              {slice("db", R"([{"addresses":["10.244.0.7"],"hostname":"db-0"},{"addresses":["10.244.0.8"],"conditions":{"ready":false}}])")});
}
std::optional<DnsAnswer> ask(std::string_view name, DnsType type) { return zone().answer(parse_query(question(name, type)).value()); }

TEST_CASE("a Service's name is its address, also in capitals; its IPv6 is an empty answer") {
  CHECK(ask("WEB.d.svc.cluster.local", DnsType::a)->answers.at(0).address == ip("10.96.0.20"));
  const auto none = ask("web.d.svc.cluster.local", DnsType::aaaa);
  CHECK(none->code == DnsCode::ok);
  CHECK(none->answers.empty());
}

TEST_CASE("a headless Service's name is its ready pods; each pod has its own name") {
  const auto all = ask("db.d.svc.cluster.local", DnsType::a);
  REQUIRE(all->answers.size() == 1);
  CHECK(all->answers[0].address == ip("10.244.0.7"));
  CHECK(ask("db-0.db.d.svc.cluster.local", DnsType::a)->answers.size() == 1);
  CHECK(ask("_http._tcp.db.d.svc.cluster.local", DnsType::srv)->answers.at(0).target == "db-0.db.d.svc.cluster.local");
}

TEST_CASE("an unknown name of ours does not exist, one above a known name is empty, any other is not ours") {
  CHECK(ask("nothing.d.svc.cluster.local", DnsType::a)->code == DnsCode::name_error);
  CHECK(ask("d.svc.cluster.local", DnsType::a)->code == DnsCode::ok);
  CHECK(!ask("example.org", DnsType::a));
  CHECK(!ask("4.4.8.8.in-addr.arpa", DnsType::ptr));
  CHECK(ask("20.0.96.10.in-addr.arpa", DnsType::ptr)->answers.at(0).target == "web.d.svc.cluster.local");
  CHECK(ask("away.d.svc.cluster.local", DnsType::a)->answers.at(0).target == "example.org");
}

TEST_CASE("an answer that does not fit is cut and says so") {
  DnsQuery query = parse_query(question("many.d.svc.cluster.local", DnsType::a)).value();
  DnsAnswer answer;
  for (std::uint32_t i = 0; i < 100; ++i) answer.answers.push_back({.name = query.name, .address = {i}});
  const std::string small = write_answer(query, answer, classic_udp_bytes);
  CHECK(small.size() <= classic_udp_bytes);
  CHECK((small[2] & 0x02) != 0);
  CHECK((write_answer(query, answer, max_dns_message)[2] & 0x02) == 0);
}

TEST_CASE("every prefix of a question is refused without harm, and so are pointers, answers and two questions") {
  const std::string whole = question("web.d.svc.cluster.local", DnsType::a);
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK(!parse_query(whole.substr(0, size)));
  std::string pointer = whole;
  pointer[12] = static_cast<char>(0xC0);
  CHECK(!parse_query(pointer));
  std::string answer = whole;
  answer[2] = static_cast<char>(0x81);
  CHECK(!parse_query(answer));
  CHECK(!write_failure(answer, DnsCode::format_error));
  std::string two = whole;
  two[5] = 2;
  CHECK(!parse_query(two));
}

TEST_CASE("the host's resolvers are read from its resolv.conf") {
  CHECK(parse_resolvers("# x\nsearch a\nnameserver 192.0.2.1\nnameserver fe80::1\nnameserver\t192.0.2.2\n") == std::vector{ip("192.0.2.1"), ip("192.0.2.2")});
}

}  // namespace
}  // namespace slipway::cluster
