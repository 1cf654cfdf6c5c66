// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "cluster/node/container_setup.h"
#include "cluster/node/pod_plan.h"
#include "cluster/node/pod_status.h"
#include "cluster/node/probes.h"
#include "cluster/node/references.h"

namespace slipway::cluster {
namespace {

using sandbox::Phase;

Json json(std::string_view text) { return text::parse_json(text).value(); }
const Wall now{std::chrono::seconds(1'700'000'000)};

// Reads as the history of a pod: History(pod).ran("main", 0, 1).plan()
class History {
 public:
  explicit History(std::string_view spec) : pod_(Json::object({{"spec", json(spec)}})) {}
  History& running(const char* name, std::int64_t attempt = 0) { return add({.id = id(name, attempt), .name = name, .attempt = attempt, .phase = Phase::running, .started = now}); }
  History& ran(const char* name, std::int64_t attempt, int code, std::chrono::seconds ago = std::chrono::seconds(0)) {
    return add({.id = id(name, attempt), .name = name, .attempt = attempt, .phase = Phase::exited, .started = now - ago, .finished = now - ago, .exit_code = code});
  }
  History& health(const char* name, ContainerHealth value) { health_[name] = value; return *this; }
  PodPlan plan() const { return plan_pod({pod_, state_, health_, counted_, now}); }
  Json status() const { const PodPlan p = plan(); return make_pod_status({pod_, state_, p, health_, {}, {}, {}, "10.244.0.2", "192.0.2.1", true, false, now}); }

 private:
  static std::string id(const char* name, std::int64_t attempt) { return std::string(name) + std::to_string(attempt); }
  History& add(ContainerRecord record) { state_.containers.push_back(std::move(record)); return *this; }
  Json pod_;
  MonitorState state_;
  std::map<std::string, ContainerHealth> health_;
  std::map<std::string, std::int64_t> counted_;
};

constexpr const char* one = R"({"containers":[{"name":"main"}]})";
constexpr const char* never = R"({"restartPolicy":"Never","containers":[{"name":"a"},{"name":"b"}]})";
constexpr const char* init = R"({"restartPolicy":"Never","initContainers":[{"name":"i1"},{"name":"i2"}],"containers":[{"name":"main"}]})";
constexpr const char* sidecar = R"({"restartPolicy":"Never","initContainers":[{"name":"side","restartPolicy":"Always"}],"containers":[{"name":"main"}]})";

TEST_CASE("init containers run in order, the others after them, together") {
  CHECK(History(init).plan().start == std::vector<StartStep>{{"i1", 0}});
  CHECK(History(init).ran("i1", 0, 0).plan().start == std::vector<StartStep>{{"i2", 0}});
  CHECK(History(init).ran("i1", 0, 0).ran("i2", 0, 0).plan().start == std::vector<StartStep>{{"main", 0}});
  CHECK(History(never).plan().start == std::vector<StartStep>{{"a", 0}, {"b", 0}});
}

TEST_CASE("a failed init container fails a pod that never restarts") {
  const PodPlan plan = History(init).ran("i1", 0, 1).plan();
  CHECK(plan.phase == PodPhase::failed);
  CHECK(plan.start.empty());
}

TEST_CASE("a pod that never restarts is over when every container is, and failed when one failed") {
  CHECK(History(never).ran("a", 0, 0).running("b").plan().phase == PodPhase::running);
  CHECK(History(never).ran("a", 0, 0).ran("b", 0, 0).plan().phase == PodPhase::succeeded);
  CHECK(History(never).ran("a", 0, 0).ran("b", 0, 2).plan().phase == PodPhase::failed);
}

TEST_CASE("the first exit restarts at once, later ones wait 10 s doubling to 5 min") {
  CHECK(History(one).ran("main", 0, 1).plan().start == std::vector<StartStep>{{"main", 1}});
  const PodPlan waits = History(one).ran("main", 1, 1, std::chrono::seconds(4)).plan();
  CHECK(waits.start.empty());
  CHECK(waits.in_back_off.contains("main"));
  CHECK(*waits.look_again == now + std::chrono::seconds(6));
  CHECK(back_off_after(2) == std::chrono::seconds(20));
  CHECK(back_off_after(50) == longest_back_off);
}

TEST_CASE("a sidecar starts before the others, and is stopped when they are over") {
  CHECK(History(sidecar).plan().start == std::vector<StartStep>{{"side", 0}});
  CHECK(History(sidecar).running("side").plan().start == std::vector<StartStep>{{"main", 0}});
  CHECK(History(sidecar).running("side").health("side", {.started = false}).plan().start.empty());
  const PodPlan over = History(sidecar).running("side").ran("main", 0, 0).plan();
  CHECK(over.phase == PodPhase::succeeded);
  CHECK(over.stop == std::vector<std::string>{"side"});
}

TEST_CASE("a container that fails its liveness probe is stopped") {
  CHECK(History(one).running("main").health("main", {.unhealthy = true}).plan().stop == std::vector<std::string>{"main"});
}

TEST_CASE("a status says Running and Ready, and CrashLoopBackOff with how the last run ended") {
  const Json ready = History(one).running("main").status();
  CHECK(ready["phase"].as_string() == "Running");
  CHECK(ready["containerStatuses"][std::size_t{0}]["ready"].as_bool());
  const Json crash = History(one).ran("main", 0, 1).ran("main", 1, 137).status();
  const Json& main = crash["containerStatuses"][std::size_t{0}];
  CHECK(main["state"]["waiting"]["reason"].as_string() == "CrashLoopBackOff");
  CHECK(main["lastState"]["terminated"]["exitCode"].as_int() == 137);
  CHECK(main["restartCount"].as_int() == 1);
}

TEST_CASE("a pod's class of service follows its requests and limits") {
  const auto qos = [](std::string_view resources) { return qos_class(json(R"({"spec":{"containers":[{"resources":)" + std::string(resources) + "}]}}")); };
  CHECK(qos("{}") == "BestEffort");
  CHECK(qos(R"({"limits":{"cpu":"1","memory":"1Gi"}})") == "Guaranteed");
  CHECK(qos(R"({"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m","memory":"1Gi"}})") == "Burstable");
}

TEST_CASE("quantities are read in thousandths and rounded up; what is none is refused") {
  CHECK(parse_milli("100m").value() == 100);
  CHECK(parse_milli("1.5").value() == 1500);
  CHECK(parse_milli("64Mi").value() == 64LL * 1048576 * 1000);
  CHECK(parse_milli(2).value() == 2000);
  for (const char* bad : {"", "x", "1Q", "Mi"}) CHECK(!parse_milli(bad));
}

TEST_CASE("$(NAME) expands what is known and leaves the rest; $$ is one $") {
  const std::map<std::string, std::string> known{{"A", "1"}};
  CHECK(expand("$(A) $(B) $$(A) $A $", known) == "1 $(B) $(A) $A $");
}

struct FakeReferences final : References {
  Result<Json> config_map(const std::string&, const std::string& name) override {
    if (name != "c") return fail(ErrorCode::not_found, "configmap \"" + name + "\" not found");
    return json(R"({"data":{"k":"v"}})");
  }
  Result<Json> secret(const std::string&, const std::string&) override { return json(R"({"data":{"s":"aGk="}})"); }
  Result<std::string> token(const Json&, const std::string&, std::int64_t) override { return std::string("token"); }
  Result<std::string> cluster_ca() override { return std::string("CA"); }
};

TEST_CASE("a volume path out of its folder is refused, an optional ConfigMap that is not there is empty") {
  FakeReferences references;
  const Json pod;
  const PodFacts facts{pod, "", ""};
  CHECK(!make_volume_files(facts, json(R"({"configMap":{"name":"c","items":[{"key":"k","path":"../x"}]}})"), references));
  CHECK(!make_volume_files(facts, json(R"({"configMap":{"name":"c","items":[{"key":"k","path":"/x"}]}})"), references));
  CHECK(!make_volume_files(facts, json(R"({"configMap":{"name":"none"}})"), references));
  CHECK(make_volume_files(facts, json(R"({"configMap":{"name":"none","optional":true}})"), references).value().empty());
  const auto token = make_volume_files(facts, json(R"({"projected":{"sources":[{"serviceAccountToken":{"path":"token"}},{"configMap":{"name":"kube-root-ca.crt"}}]}})"), references).value();
  CHECK(token.at("token").content == "token");
  CHECK(token.at("ca.crt").content == "CA");
}

TEST_CASE("a volume changes as a whole and what is gone from the object is gone from the folder") {
  const TempFolder folder;
  REQUIRE(write_volume(folder.path(), {{"a", {"1", 0644}}, {"d/b", {"2", 0400}}}, std::nullopt));
  CHECK(read_file(folder.path() + "/d/b").value() == "2");
  REQUIRE(write_volume(folder.path(), {{"a", {"3", 0644}}}, std::nullopt));
  CHECK(read_file(folder.path() + "/a").value() == "3");
  CHECK(!exists(folder.path() + "/d"));
  CHECK(list_folder(folder.path()).value().size() == 3);  // ..data, its folder, a
}

TEST_CASE("a probe changes its verdict only after its threshold in a row") {
  ProbeSpec spec{.success_threshold = 2, .failure_threshold = 2};
  ProbeState state(false);
  CHECK(!state.record(spec, true));
  CHECK(state.record(spec, true));
  CHECK(!state.record(spec, false));
  CHECK(!state.record(spec, true));
  CHECK(state.passing());
  CHECK(!state.record(spec, false));
  CHECK(state.record(spec, false));
  CHECK(state.failed());
}

TEST_CASE("what the node does not do is refused by its field") {
  for (const char* spec : {R"({"shareProcessNamespace":true})", R"({"hostNetwork":true})", R"({"hostUsers":false})",
                           R"({"containers":[{"name":"a","securityContext":{"privileged":true}}]})", R"({"containers":[{"name":"a","tty":true}]})",
                           R"({"containers":[{"name":"a","livenessProbe":{"grpc":{"port":1}}}]})"})
    CHECK(!check_supported(Json::object({{"spec", json(spec)}}), HostAccess::refused));
  CHECK(check_supported(Json::object({{"spec", json(R"({"hostNetwork":true})")}}), HostAccess::allowed));
}

}  // namespace
}  // namespace slipway::cluster
