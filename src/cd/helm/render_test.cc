// SPDX-License-Identifier: Apache-2.0
#include "cd/helm/render.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "base/files.h"
#include "cd/helm/files.h"
#include "cd/helm/schema.h"

namespace slipway::cd::helm {
namespace {

struct TestChart {
  TempFolder folder;
  std::string path = folder.path() + "/app";
  TestChart() { write("Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.1.0\n"); }
  void write(const std::string& name, std::string_view text) {
    REQUIRE(make_folders(parent_path(path + "/" + name)));
    REQUIRE(write_file_atomically(path + "/" + name, text, 0644));
  }
  void link(const std::string& target, const std::string& name) { REQUIRE(::symlink(target.c_str(), (path + "/" + name).c_str()) == 0); }
  std::string render(const Map& values = {}, RenderOptions options = {}, const ChartLimits& limits = {}) {
    auto chart = load_chart(path, limits);
    if (!chart) return "error: " + chart.error().to_string();
    auto text = render_chart(std::move(*chart), values, options);
    return text ? *text : "error: " + text.error().to_string();
  }
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

TEST_CASE("a chart's values and those given are rendered, in the order of installation") {
  TestChart chart;
  chart.write("values.yaml", "who: world\nkeep: 1\n");
  chart.write("templates/a.yaml", "kind: Deployment\nhello: {{ .Values.who }}\n---\nkind: Namespace\nrelease: {{ .Release.Name }}\n");
  CHECK(chart.render({{"who", "you"}}) == "---\n# Source: app/templates/a.yaml\nkind: Namespace\nrelease: release-name\n\n---\n# Source: app/templates/a.yaml\nkind: Deployment\nhello: you\n");
}

TEST_CASE("a link inside a chart is followed and one that leads out is refused") {
  TestChart chart;
  chart.write("inner.txt", "inside");
  chart.write("templates/a.yaml", "kind: A\ntext: {{ .Files.Get \"linked.txt\" }}\n");
  chart.link("inner.txt", "linked.txt");
  CHECK(has(chart.render(), "text: inside"));
  chart.link("../../../../../../etc/hostname", "outside.txt");
  CHECK(has(chart.render(), "outside.txt: the link leads out of the chart"));
  chart.write(".helmignore", "outside.txt\n");
  CHECK(has(chart.render(), "text: inside"));
  chart.link("/etc", "absolute");
  CHECK(has(chart.render(), "absolute: the link leads out of the chart"));
}

TEST_CASE("a chart has limits on its files, their sizes and folders that contain themselves") {
  TestChart chart;
  chart.write("big.txt", std::string(200, 'x'));
  CHECK(has(chart.render({}, {}, {.file_bytes = 100}), "big.txt"));
  CHECK(has(chart.render({}, {}, {.total_bytes = 150}), "more than 150 bytes"));
  CHECK(has(chart.render({}, {}, {.files = 1}), "more than 1 files"));
  chart.write("sub/x", "");
  chart.link("..", "sub/up");
  CHECK(chart.render({}, {}, {.files = 500, .folders = 30}).starts_with("error: "));
}

TEST_CASE(".helmignore names files, folders and paths as helm's does") {
  const auto rules = IgnoreRules::parse("# comment\n*.bak\nci/\n/top.txt\nsub/*.md\n");
  REQUIRE(rules);
  CHECK(rules->ignores("deep/x.bak", false));
  CHECK(rules->ignores("ci", true));
  CHECK_FALSE(rules->ignores("ci", false));
  CHECK(rules->ignores("top.txt", false));
  CHECK(rules->ignores("sub/a.md", false));
  CHECK_FALSE(rules->ignores("deep/sub/a.md", false));
  CHECK(rules->ignores("templates/.hidden", false));
  CHECK_FALSE(IgnoreRules::parse("a/**/b"));
}

TEST_CASE("a manifest whose hook helm does not know is left out") {
  TestChart chart;
  for (auto [name, hook] : {std::pair{"known", "pre-install"}, {"odd", "bogus"}, {"mixed", "bogus, pre-install"}, {"check", "post-install,test"}})
    chart.write(std::string("templates/") + name + ".yaml", std::string("kind: Job\nname: ") + name + "\nmetadata: {annotations: {helm.sh/hook: \"" + hook + "\"}}\n");
  const std::string all = chart.render(), some = chart.render({}, {.tests = false});
  CHECK((has(all, "name: known") && has(all, "name: check") && !has(all, "name: odd") && !has(all, "name: mixed")));
  CHECK((has(some, "name: known") && !has(some, "name: check")));
}

TEST_CASE("a null removes the defaults of a chart and its subcharts, and stays where there is none") {
  TestChart chart;
  chart.write("values.yaml", "a: 1\nm: null\nsub: {x: 7, w: null}\n");
  chart.write("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n");
  chart.write("charts/sub/values.yaml", "x: 5\nw: 6\n");
  chart.write("templates/a.yaml", "kind: A\nv: {{ .Values | toJson }}\n");
  CHECK(has(chart.render(), R"(v: {"a":1,"sub":{"global":{},"w":6,"x":7}})"));
  const Map given{{"a", Value()}, {"m", Value()}, {"t", Value()}, {"sub", Map{{"x", Value()}}}};
  CHECK(has(chart.render(given), R"(v: {"sub":{"global":{},"w":6},"t":null})"));
}

TEST_CASE("the CRDs of subcharts are printed with those of the chart") {
  TestChart chart;
  chart.write("crds/a.yaml", "kind: X");
  chart.write("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n");
  chart.write("charts/sub/crds/b.yaml", "kind: Y");
  CHECK(has(chart.render({}, {.include_crds = true}), "---\n# Source: app/crds/a.yaml\nkind: X\n---\n# Source: app/charts/sub/crds/b.yaml\nkind: Y\n"));
}

TEST_CASE("values are checked against values.schema.json") {
  TestChart chart;
  chart.write("values.schema.json", R"({"type":"object","required":["port"],"properties":{"port":{"type":"integer","minimum":1}}})");
  CHECK(has(chart.render({{"port", 0}}), "at '/port': 0 is too small"));
  CHECK(has(chart.render(), "app:\n- at '': missing property 'port'"));
  CHECK_FALSE(has(chart.render({{"port", 80.0}}), "error"));
  CHECK_FALSE(has(chart.render({}, {.check_schema = false}), "error"));
}

std::string problem(std::string_view schema, std::string_view value) {
  auto checked = check_schema(*text::parse_json(schema), *text::parse_json(value));
  return checked ? "" : checked.error().message;
}

TEST_CASE("a schema's keywords combine") {
  CHECK(problem(R"({"$ref":"#/definitions/a","definitions":{"a":{"enum":[1,"x"]}}})", "1.0").empty());
  CHECK_FALSE(problem(R"({"oneOf":[{"type":"number"},{"minimum":0}]})", "1").empty());
  CHECK(problem(R"({"if":{"type":"string"},"then":{"maxLength":2},"else":{"const":3}})", "\"éé\"").empty());
  CHECK_FALSE(problem(R"({"if":{"type":"string"},"then":{"maxLength":2},"else":{"const":3}})", "4").empty());
  CHECK_FALSE(problem(R"({"properties":{"a":{}},"patternProperties":{"^x-":{}},"additionalProperties":false})", R"({"a":1,"x-b":1,"c":1})").empty());
  CHECK(problem(R"({"items":{"type":["string","null"]},"not":{"maxItems":1}})", R"(["a",null])").empty());
}

TEST_CASE("a schema that cannot be checked is an error that says why") {
  CHECK(has(problem(R"({"$ref":"https://example.com/x.json"})", "1"), "https://example.com/x.json is not supported"));
  CHECK(has(problem(R"({"$ref":"#"})", "1"), "too many steps"));
  CHECK(has(problem(R"({"unevaluatedProperties":false})", "{}"), "unevaluatedProperties is not supported"));
  CHECK(has(problem(R"j({"pattern":"(?=a)"})j", "\"a\""), "pattern"));
}

}  // namespace
}  // namespace slipway::cd::helm
