// SPDX-License-Identifier: Apache-2.0
#include "text/yaml.h"

#include <doctest/doctest.h>

namespace slipway::text {
namespace {

std::string json_of(std::string_view yaml) {
  const auto value = parse_yaml(yaml, "f.yaml");
  return value ? to_json(*value) : value.error().to_string();
}

TEST_CASE("plain scalars mean what YAML 1.1 and Kubernetes' tools say") {
  CHECK(json_of("[y, Yes, on, TRUE, n, No, off, False]") == "[true,true,true,true,false,false,false,false]");
  CHECK(json_of("[~, null, Null, '', \"~\", nUll]") == R"([null,null,null,"","~","nUll"])");
  CHECK(json_of("[0777, 0o17, 0x1F, 0b101, -0x10, 1_000, +5, 08, 0x, 1__0]") == R"([511,15,31,5,-16,1000,5,8,"0x",10])");
  CHECK(json_of("[1.0, 1e3, .5, -.5, 1., 1e400, 1.5e-9, ., 6.02_3]") == R"([1,1000,0.5,-0.5,1,"1e400",1.5e-9,".",6.023])");
  CHECK(json_of("[9223372036854775808, -9223372036854775808, 99999999999999999999]") ==
        "[9223372036854775808,-9223372036854775808,100000000000000000000]");
  CHECK(json_of("[1:20, 2001-01-01, 2001-01-01T00:00:00Z, '1', a:b, <<]") ==
        R"(["1:20","2001-01-01","2001-01-01T00:00:00Z","1","a:b","<<"])");
  CHECK(json_of("[!!str 1, !!int '7', !!binary aGk=, !foo 1, !!float 2]") == R"(["1",7,"hi","1",2])");
  CHECK(json_of("a: .nan") == "f.yaml:1:4: JSON has no value for .nan");
}

TEST_CASE("keys become strings, merges fill in what is not set, duplicates are refused") {
  CHECK(json_of("{1: a, true: b, 1.5: c, x: d}") == R"({"1":"a","true":"b","1.5":"c","x":"d"})");
  CHECK(json_of("b: &b {x: 1, w: 2}\nc: {<<: *b, w: 3}\nd: {w: 4, <<: [*b, {z: 5, x: 9}]}") ==
        R"({"b":{"x":1,"w":2},"c":{"w":3,"x":1},"d":{"w":4,"x":1,"z":5}})");
  CHECK(json_of("y: 1") == R"({"true":1})");  // a boolean of YAML 1.1, also as a key
  CHECK(json_of("a: 1\nb: 2\na: 3\n") == "f.yaml:3:1: key \"a\" already set in map");
  CHECK(json_of("~: 1").starts_with("f.yaml:1:1: unsupported map key"));
  CHECK(json_of("? [a]\n: 1").starts_with("f.yaml:1:3: a map or a sequence cannot be a key"));
  CHECK(json_of("a: {<<: 1}").starts_with("f.yaml:1:9: map merge requires"));
}

TEST_CASE("an error names file, line and column") {
  CHECK(json_of("a: 1\n b: 2\n").starts_with("f.yaml:2:3: "));
  CHECK(json_of("a: *nothing") == "f.yaml:1:4: unknown anchor 'nothing' referenced");
  CHECK(json_of("a: &a [*a]") == "f.yaml:1:8: anchor 'a' value contains itself");
  CHECK(json_of("ok: 1\nbad: \xff\n").starts_with("f.yaml:2:6: "));
  CHECK(json_of("a: 1\n---\nb: 2\n") == "f.yaml:3:1: expected one document");
}

TEST_CASE("documents without content are left out, the others know where they start") {
  const auto documents = parse_yaml_documents("---\n---\n# only this\n---\na: 1\n---\n- 2\n...\n", "f.yaml");
  REQUIRE(documents);
  REQUIRE(documents->size() == 2);
  CHECK((*documents)[0].line == 5);
  CHECK((*documents)[1].line == 7);
  CHECK(parse_yaml_documents("", "f.yaml")->empty());
}

TEST_CASE("the position of a value is found by its path") {
  const auto documents = parse_yaml_documents(
      "metadata:\n  labels:\n    a.b/c: x\nspec:\n  containers:\n  - name: one\n  - {name: two, image: i}\n  base: &b {deep: 1}\n  copy: *b\n", "f.yaml");
  REQUIRE(documents);
  const auto& document = documents->front();
  CHECK(document.position("spec.containers[1].image") == YamlMark{7, 24});
  CHECK(document.position("metadata.labels[a.b/c]") == YamlMark{3, 12});
  CHECK(document.position("metadata.labels.a.b/c") == YamlMark{3, 12});
  CHECK(document.position("spec.containers[0].nothing") == YamlMark{6, 5});
  CHECK(document.position("spec.copy.deep") == YamlMark{9, 9});
  CHECK(document.position("") == YamlMark{1, 1});
}

TEST_CASE("an alias bomb of nine levels is refused after a bounded count of values") {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    bomb += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 9; ++i) bomb += std::string(i == 0 ? "*" : ", *") + static_cast<char>(c - 1);
    bomb += "]\n";
  }
  const auto result = parse_yaml(bomb, "bomb.yaml");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::too_large);
  CHECK(result.error().message.starts_with("bomb.yaml:"));
}

TEST_CASE("depth and the number of values are bounded, aliases counted") {
  CHECK(parse_yaml(std::string(100, '[') + std::string(100, ']'), "f"));
  CHECK_FALSE(parse_yaml(std::string(102, '[') + "1" + std::string(102, ']'), "f"));
  CHECK_FALSE(parse_yaml("[1, 2, 3]", "f", {.nodes = 3}));
  CHECK_FALSE(parse_yaml("a: &a [[[1]]]\nb: [[*a]]", "f", {.depth = 5}));
}

TEST_CASE("YAML is written as kubectl writes it") {
  const auto value = parse_json(R"({"n":1,"k10":"1","k9":"y","A":".inf","b":"l1\nl2\n","h":"tail  \nx","i":"a: b","l":"",
      "g":"1:20","d":"2001-01-01","list":[{"name":"a","v":[1,[2]]},{}],"e":[],"f":1.5,"big":1e21,"m":1234567.5,"nul":null})");
  CHECK(to_yaml(*value) == R"(A: ".inf"
b: |
  l1
  l2
big: 1e+21
d: "2001-01-01"
e: []
f: 1.5
g: "1:20"
h: "tail  \nx"
i: 'a: b'
k9: "y"
k10: "1"
l: ""
list:
- name: a
  v:
  - 1
  - - 2
- {}
m: 1.2345675e+06
"n": 1
nul: null
)");
  CHECK(to_yaml(Json("x")) == "x\n");
  CHECK(to_yaml(Json::object()) == "{}\n");
}

}  // namespace
}  // namespace slipway::text
