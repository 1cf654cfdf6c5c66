// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/tables.h"

#include <doctest/doctest.h>

#include "cluster/api/structural.h"

namespace slipway::api {
namespace {

Json json(std::string_view text) { return text::parse_json(text).value(); }
const Wall now = parse_rfc3339("2026-01-01T01:00:00Z").value();

Json row(const char* group, const char* plural, std::string_view object) {
  const ResourceTable table;
  return make_table(*table.find(group, "v1", plural), {json(object)}, Json::object(), IncludeObject::none, TableHead::with_columns, now)["rows"][0]["cells"];
}

TEST_CASE("ages are told as kubectl tells them") {
  using std::chrono::seconds;
  CHECK(human_duration(seconds(-5)) == "<invalid>");
  CHECK(human_duration(seconds(119)) == "119s");
  CHECK(human_duration(seconds(120)) == "2m");
  CHECK(human_duration(seconds(9 * 60 + 3)) == "9m3s");
  CHECK(human_duration(seconds(179 * 60)) == "179m");
  CHECK(human_duration(seconds(3 * 3600 + 60)) == "3h1m");
  CHECK(human_duration(seconds(47 * 3600)) == "47h");
  CHECK(human_duration(seconds(3 * 86400 + 3600)) == "3d1h");
  CHECK(human_duration(seconds(700 * 86400)) == "700d");
  CHECK(human_duration(seconds(800 * 86400)) == "2y70d");
}

TEST_CASE("a pod's row says why it does not run, how often it restarted and when last") {
  const Json cells = row("", "pods", R"({"metadata":{"name":"p","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"containers":[{"name":"a"},{"name":"b"}],"nodeName":"n"},
    "status":{"phase":"Running","podIP":"10.244.0.5","containerStatuses":[{"name":"a","ready":true,"state":{"running":{}}},
    {"name":"b","restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"finishedAt":"2026-01-01T00:59:30Z"}}}]}})");
  CHECK(to_json(cells) == R"~(["p","1/2","CrashLoopBackOff","3 (30s ago)","60m","10.244.0.5","n","<none>","<none>"])~");
}

TEST_CASE("a pod that initialises, ends or is deleted says so") {
  CHECK(row("", "pods", R"({"spec":{"containers":[{}],"initContainers":[{"name":"i"},{"name":"j"}]},"status":{"phase":"Pending","initContainerStatuses":[
    {"name":"i","state":{"terminated":{"exitCode":0}}},{"name":"j","state":{"running":{}}}]}})")[2].as_string() == "Init:1/2");
  CHECK(row("", "pods", R"({"status":{"phase":"Failed","containerStatuses":[{"state":{"terminated":{"exitCode":3}}}]}})")[2].as_string() == "ExitCode:3");
  CHECK(row("", "pods", R"({"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Running"}})")[2].as_string() == "Terminating");
}

TEST_CASE("the columns of a definition are paths into the object, with filters") {
  const Json run = json(R"({"status":{"conditions":[{"type":"Other","status":"x"},{"type":"Succeeded","status":"True"}]},"list":[1,2],"a.b":3})");
  CHECK(at_json_path(run, R"(.status.conditions[?(@.type=="Succeeded")].status)").as_string() == "True");
  CHECK(at_json_path(run, ".list[-1]").as_int() == 2);
  CHECK(at_json_path(run, R"(.a\.b)").as_int() == 3);
  CHECK(at_json_path(run, ".status.none[0].x").is_null());
  CHECK(at_json_path(run, ".status[").is_null());
}

TEST_CASE("a table is given where it is asked for before plain JSON, and only in the version that is known") {
  CHECK(accepts_table("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"));
  CHECK(!accepts_table("application/json,application/json;as=Table;v=v1;g=meta.k8s.io"));
  CHECK(!accepts_table("application/json;as=Table;v=v9;g=meta.k8s.io,application/json"));
  CHECK(!accepts_table("*/*"));
  CHECK(!parse_include_object("Everything").has_value());
}

std::string first_fault(std::string_view schema, std::string_view object) {
  const auto causes = schema_causes(json(schema), json(object));
  return causes.empty() ? "" : causes[0].field + ": " + causes[0].message;
}

TEST_CASE("a structural schema refuses in Kubernetes' words") {
  const auto property = [](std::string_view rule, std::string_view value) {
    return first_fault(R"({"type":"object","properties":{"a":)" + std::string(rule) + "}}", R"({"a":)" + std::string(value) + "}");
  };
  CHECK(property(R"({"type":"string","pattern":"^[a-z]+$"})", R"("A")") == R"(a: Invalid value: "A": a in body should match '^[a-z]+$')");
  CHECK(property(R"({"type":"string","minLength":2})", R"("ä")") == R"(a: Invalid value: "ä": a in body should be at least 2 chars long)");
  CHECK(property(R"({"type":"string","maxLength":1})", R"("äb")") == "a: Too long: may not be more than 1 bytes");
  CHECK(property(R"({"type":"integer","minimum":1})", "0") == "a: Invalid value: 0: a in body should be greater than or equal to 1");
  CHECK(property(R"({"type":"array","maxItems":1,"items":{"type":"string"}})", R"(["x","y"])") == "a: Too many: 2: must have at most 1 items");
  CHECK(property(R"({"type":"string"})", "null") != "");
  CHECK(property(R"({"type":"string","nullable":true})", "null") == "");
  CHECK(property(R"({"x-kubernetes-int-or-string":true})", R"("80%")") == "");
  CHECK(property(R"({"x-kubernetes-int-or-string":true})", "true") != "");
  CHECK(property(R"({"type":"object","required":["b"]})", "{}") == "a.b: Required value");
  CHECK(!causes_in_schema(json(R"({"properties":{"a":{"type":"string","pattern":"("}}})"), "schema").empty());
}

}  // namespace
}  // namespace slipway::api
