// SPDX-License-Identifier: Apache-2.0
#include "cd/plain/render.h"

#include <doctest/doctest.h>

namespace slipway::cd {
namespace {

const PlainOptions in_shop{"shop", {}};

std::string error_of(const Files& files) {
  const auto set = render_plain(files, in_shop);
  return set ? "rendered" : set.error().to_string();
}

TEST_CASE("documents of all files become objects with their place; what is no manifest is passed over") {
  const auto set = render_plain({{"deploy/a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: other}\n"},
                                 {"deploy/b.json", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","namespace":"wrong"}})"},
                                 {"deploy/README.md", "# not this"}}, in_shop).value();
  REQUIRE(set.objects.size() == 3);
  CHECK(set.objects[0].object["kind"].as_string() == "Namespace");
  CHECK(!set.objects[0].object["metadata"].contains("namespace"));
  CHECK(set.objects[1].source == "deploy/a.yaml:5");
  CHECK(set.objects[2].object["metadata"]["namespace"].as_string() == "shop");
}

TEST_CASE("a List is taken apart") {
  CHECK(render_plain({{"l.yaml", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n"}}, in_shop).value().objects.size() == 2);
}

TEST_CASE("an error names file and line, and what is wrong") {
  CHECK(error_of({{"x.yaml", "a: 1\n b: 2\n"}}).starts_with("x.yaml:2:"));
  CHECK(error_of({{"x.yaml", "apiVersion: v1\nmetadata: {name: a}\n"}}) == "x.yaml:1:1: kind is missing");
  CHECK(error_of({{"x.yaml", "\n\napiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n"}}) == "x.yaml:3:1: generateName cannot be synchronised; give the object a name");
  CHECK(error_of({{"x.yaml", "- 1\n"}}).starts_with("x.yaml:1:1: a manifest must be an object"));
  const std::string one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
  CHECK(error_of({{"x.yaml", one}, {"y.yaml", one}}) == "y.yaml:1:1: ConfigMap shop/a stands at x.yaml:1 too");
}

TEST_CASE("the same files give the same bytes") {
  const Files files{{"a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {z: '1', b: '2'}\n"}};
  CHECK(render_plain(files, in_shop).value().to_text() == render_plain(files, in_shop).value().to_text());
}

}  // namespace
}  // namespace slipway::cd
