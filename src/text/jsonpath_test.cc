// SPDX-License-Identifier: Apache-2.0
#include "text/jsonpath.h"

#include <doctest/doctest.h>

using namespace slipway;
using text::JsonPath;

namespace {

const char* const sample = R"json({"kind":"List","items":[
  {"kind":"Pod","metadata":{"name":"a","labels":{"app.kubernetes.io/name":"x"}},"ready":true,"n":1},
  {"kind":"Service","metadata":{"name":"b"},"ready":false,"n":2},
  {"kind":"Pod","metadata":{"name":"c"},"n":3}]})json";

std::string print(std::string_view text) {
  const auto path = JsonPath::parse(text);
  if (!path) return path.error().message;
  return path->print(text::parse_json(sample).value()).value();
}

}  // namespace

TEST_CASE("a path prints its values with blanks between, strings as they are, the rest as JSON") {
  CHECK(print("{.kind}") == "List");
  CHECK(print("{.items[*].metadata.name}") == "a b c");
  CHECK(print("{.items[0].metadata}") == R"({"name":"a","labels":{"app.kubernetes.io/name":"x"}})");
  CHECK(print("names: {.items[*].n}!") == "names: 1 2 3!");
  CHECK(print("{.none.at.all}") == "");
}

TEST_CASE("indices and slices count from either end") {
  CHECK(print("{.items[-1].metadata.name}") == "c");
  CHECK(print("{.items[0:2].metadata.name}") == "a b");
  CHECK(print("{.items[1:].metadata.name}") == "b c");
  CHECK(print("{.items[::2].metadata.name}") == "a c");
  CHECK(print("{.items[7].metadata.name}") == "");
}

TEST_CASE("filters compare fields, literals and existence") {
  CHECK(print(R"({.items[?(@.kind=="Pod")].metadata.name})") == "a c");
  CHECK(print(R"({.items[?(@.kind != 'Pod')].metadata.name})") == "b");
  CHECK(print("{.items[?(@.n>1)].metadata.name}") == "b c");
  CHECK(print("{.items[?(@.ready)].metadata.name}") == "a b");
  CHECK(print("{.items[?(@.ready==true)].metadata.name}") == "a");
}

TEST_CASE("names with dots are escaped or quoted, unions and recursion take several") {
  CHECK(print(R"({.items[0].metadata.labels.app\.kubernetes\.io/name})") == "x");
  CHECK(print("{.items[0].metadata.labels['app.kubernetes.io/name']}") == "x");
  CHECK(print("{.items[0]['kind','n']}") == "Pod 1");
  CHECK(print("{..name}") == "a b c");
  CHECK(print("{$.kind} {@.kind}") == "List List");
}

TEST_CASE("a range repeats its body for each value") {
  CHECK(print(R"({range .items[*]}{.metadata.name}={.n}{"\n"}{end}done)") == "a=1\nb=2\nc=3\ndone");
  CHECK(print(R"({range .items[?(@.kind=="Pod")]}{@.metadata.name},{end})") == "a,c,");
}

TEST_CASE("what is malformed is refused with its column") {
  CHECK(print("{.items[}") == "jsonpath: column 9: an index, a slice, a name in quotes, * or ?() is expected");
  CHECK(print("{.a") == "jsonpath: column 4: unclosed action: } is missing");
  CHECK(print("{range .items[*]}{.a}") == "jsonpath: column 22: range without end");
  CHECK(print("{end}") == "jsonpath: column 5: end without range");
  CHECK(print(R"({.a["x})").find("unterminated") != std::string::npos);
  CHECK(!JsonPath::parse(std::string(text::max_json_path + 1, 'x')));
}

TEST_CASE("nesting has a limit") {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{range .a}";
  CHECK(print(deep).find("nested too deeply") != std::string::npos);
}
