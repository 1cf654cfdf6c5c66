// SPDX-License-Identifier: Apache-2.0
#include "kube/patch.h"

#include <doctest/doctest.h>

#include "kube/apply.h"

namespace slipway::kube {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }

TEST_CASE("JSON patch: every operation of RFC 6902, in order, all or nothing") {
  const Json target = json(R"({"a":{"b":[1,2]},"c/d":"x"})");
  CHECK(json_patch(target, json(R"([{"op":"add","path":"/a/b/1","value":9},{"op":"add","path":"/a/b/-","value":3}])")).value()["a"]["b"] == json("[1,9,2,3]"));
  CHECK(json_patch(target, json(R"([{"op":"replace","path":"/c~1d","value":"y"}])")).value()["c/d"].as_string() == "y");
  CHECK(json_patch(target, json(R"([{"op":"remove","path":"/a/b/0"}])")).value()["a"]["b"] == json("[2]"));
  CHECK(json_patch(target, json(R"([{"op":"move","from":"/a/b","path":"/e"}])")).value() == json(R"({"a":{},"c/d":"x","e":[1,2]})"));
  CHECK(json_patch(target, json(R"([{"op":"copy","from":"/a","path":"/e"},{"op":"test","path":"/e/b/0","value":1}])")));
  for (const char* bad : {R"([{"op":"test","path":"/a","value":1}])", R"([{"op":"remove","path":"/x"}])", R"([{"op":"replace","path":"/x","value":1}])",
                          R"([{"op":"add","path":"/a/b/7","value":1}])", R"([{"op":"jump","path":"/a"}])", R"({"a":1})"})
    CHECK(!json_patch(target, json(bad)));
}

TEST_CASE("strategic merge: lists with a merge key are merged by it, others replaced, directives obeyed") {
  const Json target = json(R"({"spec":{"containers":[{"name":"a","image":"1","args":["x"]},{"name":"b","image":"1"}],"tolerations":[{"key":"k"}]}})");
  const auto patched = [&](std::string_view patch) { return strategic_merge_patch(target, json(patch)).value()["spec"]; };
  CHECK(patched(R"({"spec":{"containers":[{"name":"a","image":"2"}]}})")["containers"] == json(R"([{"name":"a","image":"2","args":["x"]},{"name":"b","image":"1"}])"));
  CHECK(patched(R"({"spec":{"containers":[{"name":"b","$patch":"delete"}]}})")["containers"].size() == 1);
  CHECK(patched(R"({"spec":{"containers":[{"name":"c","image":"3"},{"$patch":"replace"}]}})")["containers"] == json(R"([{"name":"c","image":"3"}])"));
  CHECK(patched(R"({"spec":{"tolerations":[{"key":"z"}]}})")["tolerations"] == json(R"([{"key":"z"}])"));
  CHECK(patched(R"({"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}})")["containers"][0]["name"].as_string() == "b");
  CHECK(patched(R"({"spec":{"tolerations":null}})").contains("tolerations") == false);
  CHECK(strategic_merge_patch(json(R"({"metadata":{"finalizers":["a","b"]}})"), json(R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}})")).value() ==
        json(R"({"metadata":{"finalizers":["b"]}})"));
  CHECK(strategic_merge_patch(json(R"({"s":{"type":"RollingUpdate","rollingUpdate":{}}})"), json(R"({"s":{"$retainKeys":["type"],"type":"Recreate"}})")).value() ==
        json(R"({"s":{"type":"Recreate"}})"));
}

const Applier ci{"ci", "apps/v1", "", "2026-01-01T00:00:00Z", Force::no};
const Applier ops{"ops", "apps/v1", "", "2026-01-02T00:00:00Z", Force::no};

Applier forced(Applier applier) {
  applier.force = Force::yes;
  return applier;
}

TEST_CASE("apply: two managers share an object; each removes only what is its own") {
  Json live = apply({}, json(R"({"metadata":{"name":"w"},"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"a","image":"1"}]}}}})"), ci).value();
  live = apply(live, json(R"({"metadata":{"name":"w"},"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}})"), ops).value();
  CHECK(live["spec"]["template"]["spec"]["containers"].size() == 2);
  // ci drops replicas: nobody else owns it, so it goes; ops' container stays.
  live = apply(live, json(R"({"metadata":{"name":"w"},"spec":{"template":{"spec":{"containers":[{"name":"a","image":"2"}]}}}})"), ci).value();
  CHECK(!live["spec"].contains("replicas"));
  CHECK(live["spec"]["template"]["spec"]["containers"] == json(R"([{"name":"a","image":"2"},{"name":"side","image":"s"}])"));
  live = apply(live, json(R"({"metadata":{"name":"w"}})"), ops).value();
  CHECK(live["spec"]["template"]["spec"]["containers"].size() == 1);
}

TEST_CASE("apply: a field of another manager is a conflict in upstream's words; force takes it over; the same value is shared") {
  const Json live = apply({}, json(R"({"spec":{"replicas":2,"paused":true}})"), ci).value();
  CHECK(apply(live, json(R"({"spec":{"replicas":3}})"), ops).error().message == "Apply failed with 1 conflict: conflict with \"ci\" using apps/v1: .spec.replicas");
  CHECK(apply(live, json(R"({"spec":{"replicas":3,"paused":false}})"), ops).error().message ==
        "Apply failed with 2 conflicts: conflicts with \"ci\" using apps/v1:\n- .spec.paused\n- .spec.replicas");
  const Json taken = apply(live, json(R"({"spec":{"replicas":3}})"), forced(ops)).value();
  CHECK(taken["spec"]["replicas"].as_int() == 3);
  CHECK(apply(taken, json(R"({"spec":{"replicas":2,"paused":true}})"), ci).error().message.find("conflict with \"ops\"") != std::string::npos);
  const Json shared = apply(live, json(R"({"spec":{"replicas":2}})"), ops).value();
  CHECK(apply(shared, json(R"({"spec":{"paused":true}})"), ci).value()["spec"]["replicas"].as_int() == 2);
}

TEST_CASE("apply: the same again changes nothing, whatever the time") {
  const Json config = json(R"({"metadata":{"labels":{"a":"b"}},"spec":{"ports":[{"port":80}],"selector":{"x":"y"}}})");
  const Json live = apply({}, config, ci).value();
  Applier later = ci;
  later.time = "2027-01-01T00:00:00Z";
  CHECK(apply(live, config, later).value() == live);
}

TEST_CASE("apply: an object that was made without apply is owned by who was before the first apply") {
  const Json made = json(R"({"metadata":{"name":"w"},"spec":{"replicas":1}})");
  CHECK(apply(made, json(R"({"spec":{"replicas":2}})"), ci).error().message.find("before-first-apply") != std::string::npos);
  CHECK(apply(made, json(R"({"spec":{"replicas":2}})"), forced(ci)).value()["spec"]["replicas"].as_int() == 2);
}

TEST_CASE("an ordinary update takes the ownership of what it changed") {
  const Json live = apply({}, json(R"({"spec":{"replicas":2,"paused":true}})"), ci).value();
  const Json scaled = track_update(live, live.with_path({"spec", "replicas"}, 5), {"kubectl-scale", "apps/v1", "", "2026-01-03T00:00:00Z", Force::no});
  CHECK(apply(scaled, json(R"({"spec":{"replicas":2,"paused":true}})"), ci).error().message.find("\"kubectl-scale\" using apps/v1: .spec.replicas") != std::string::npos);
  CHECK(track_update(live, live, ops)["metadata"]["managedFields"] == live["metadata"]["managedFields"]);
}

TEST_CASE("field sets go to fieldsV1 and back; items are named by their keys") {
  const FieldSet set = FieldSet::of(json(R"({"metadata":{"name":"x","labels":{"a":"b"}},"spec":{"ports":[{"port":80,"name":"h"}],"list":[1,2]}})"));
  const Json fields = set.to_json();
  CHECK(text::to_json(fields) == R"({"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:list":{},"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}})");
  CHECK(FieldSet::parse(fields).to_json() == fields);
}

}  // namespace
}  // namespace slipway::kube
