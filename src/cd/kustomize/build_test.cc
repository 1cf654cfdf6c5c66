// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/build.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "base/files.h"
#include "cd/kustomize/merge.h"
#include "text/yaml_node.h"

namespace slipway::cd::kustomize {
namespace {

using Tree = std::map<std::string, std::string>;

std::string built(const Tree& files, const std::string& folder = "/app") {
  const auto out = build(MemoryTree(files), folder);
  return out ? to_yaml(*out) : "error: " + out.error().to_string();
}

bool refuses(const Tree& files, std::string_view why, const std::string& folder = "/app") {
  const std::string text = built(files, folder);
  const bool refused = text.starts_with("error: ") && text.find(why) != text.npos;
  if (!refused) MESSAGE(text);
  return refused;
}

const std::string deployment = R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: shop/web:1.0
        envFrom: [{configMapRef: {name: settings}}]
)";

TEST_CASE("an overlay renames, labels, patches and points to what it generates") {
  CHECK(built({{"/base/kustomization.yaml", "resources: [web.yaml]\nconfigMapGenerator: [{name: settings, literals: [colour=red]}]\n"},
               {"/base/web.yaml", deployment},
               {"/app/kustomization.yaml", "resources: [../base]\nnamePrefix: x-\nnamespace: prod\nimages: [{name: shop/web, newTag: '2'}]\n"
                                           "patches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n"
                                           "    spec: {template: {spec: {containers: [{name: c, env: [{name: A, value: b}]}]}}}\n"}}) ==
        R"(apiVersion: v1
data:
  colour: red
kind: ConfigMap
metadata:
  name: x-settings-5k9ch927gb
  namespace: prod
---
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    app: web
  name: x-web
  namespace: prod
spec:
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
      - env:
        - name: A
          value: b
        envFrom:
        - configMapRef:
            name: x-settings-5k9ch927gb
        image: shop/web:2
        name: c
)");
}

TEST_CASE("numbers, words and dates keep the meaning that YAML 1.2 gives them") {
  CHECK(built({{"/app/kustomization.yaml", "resources: [r.yaml]\n"},
               {"/app/r.yaml", "kind: Thing\napiVersion: a/v1\nmetadata: {name: x, annotations: {n: 1, y: yes}}\n"
                               "v: {word: yes, octal: 0777, big: 1e3, float: 1.10, day: 2020-01-02, text: '5', none: ~}\n"}}) ==
        R"(apiVersion: a/v1
kind: Thing
metadata:
  annotations:
    "n": "1"
    "y": "yes"
  name: x
v:
  big: 1000
  day: "2020-01-02T00:00:00Z"
  float: 1.1
  none: null
  octal: 511
  text: "5"
  word: "yes"
)");
}

TEST_CASE("a strategic merge knows which lists merge, by which keys") {
  const std::string service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1, protocol: TCP, name: a}, {port: 1, protocol: UDP}]}\n";
  const std::string text = built({{"/app/kustomization.yaml", "resources: [s.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: Service\n    metadata: {name: s}\n"
                                                             "    spec: {ports: [{port: 1, protocol: UDP, name: b}, {port: 1, protocol: TCP, $patch: delete}]}\n"},
                                  {"/app/s.yaml", service}});
  CHECK(text.ends_with("spec:\n  ports:\n  - name: b\n    port: 1\n    protocol: UDP\n"));
}

TEST_CASE("a JSON patch needs a target; a target selects by expressions") {
  const std::string patch = "patches:\n- patch: '[{\"op\": \"add\", \"path\": \"/spec/replicas\", \"value\": 3}]'\n";
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [web.yaml]\n" + patch}, {"/app/web.yaml", deployment}}, "must specify a target for JSON patch"));
  CHECK(built({{"/app/kustomization.yaml", "resources: [web.yaml]\n" + patch + "  target: {kind: Deploy.*, name: w.b, labelSelector: app in (web)}\n"}, {"/app/web.yaml", deployment}})
            .find("replicas: 3\n") != std::string::npos);
}

TEST_CASE("a generator merges into what a base generated and gives it a new hash") {
  const Tree files = {{"/base/kustomization.yaml", "configMapGenerator: [{name: a, literals: [x=1, y=2]}]\n"},
                      {"/app/kustomization.yaml", "resources: [../base]\nconfigMapGenerator: [{name: a, behavior: merge, literals: [y=3]}]\n"}};
  CHECK(built(files).find("data:\n  x: \"1\"\n  \"y\": \"3\"\nkind: ConfigMap\nmetadata:\n  name: a-7d2fh874t9\n") != std::string::npos);
  CHECK(refuses({{"/app/kustomization.yaml", "configMapGenerator: [{name: a, behavior: merge, literals: [y=3]}]\n"}}, "does not exist; cannot merge or replace"));
}

TEST_CASE("a replacement copies a part of a value into a part of another") {
  const std::string text = built({{"/app/kustomization.yaml", "resources: [web.yaml]\nreplacements:\n- source: {kind: Deployment, fieldPath: metadata.labels.app}\n"
                                                             "  targets:\n  - select: {kind: Deployment}\n    options: {delimiter: /, index: 0}\n"
                                                             "    fieldPaths: ['spec.template.spec.containers.[name=c].image']\n"},
                                  {"/app/web.yaml", deployment}});
  CHECK(text.find("image: web/web:1.0\n") != std::string::npos);
}

TEST_CASE("what cannot be done is refused by name") {
  CHECK(refuses({{"/app/kustomization.yaml", "helmCharts: [{name: minecraft}]\n"}}, "Needs{chart}"));
  CHECK(refuses({{"/app/kustomization.yaml", "resources: ['https://github.com/a/b?ref=v1']\n"}}, "Needs{ref}"));
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [web.yaml]\ntransformers: ['{apiVersion: x/v1, kind: Mine, metadata: {name: a}}']\n"}, {"/app/web.yaml", deployment}},
                "unable to load external plugin 'Mine'"));
  CHECK(refuses({{"/app/kustomization.yaml", "resorces: [a]\n"}}, "unknown field \"resorces\""));
  CHECK(refuses({{"/app/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\n"}}, "kustomization.yaml is empty"));
  CHECK(refuses({{"/app/other", ""}}, "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '/app'"));
}

TEST_CASE("an error names the file and the place in it") {
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [r.yaml]\n"}, {"/app/r.yaml", "kind: A\n---\nb: c\nd: e: f\n"}},
                "accumulating resources from 'r.yaml': MalformedYAMLError: yaml: line 2: mapping values are not allowed in this context in File: r.yaml (/app/r.yaml:4:5)"));
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [r.yaml]\n"}, {"/app/r.yaml", "apiVersion: v1\nkind: A\n"}}, "missing metadata.name in object {{v1 A} {{ } map[] map[]}}"));
}

TEST_CASE("a JSON patch counts from the end and adds what it replaces, as upstream's does") {
  const std::string text = built({{"/app/kustomization.yaml", "resources: [r.yaml]\npatches:\n- target: {kind: Thing}\n  patch: |\n    - {op: replace, path: /list/-1, value: 9}\n"
                                                             "    - {op: add, path: /list/-1, value: 8}\n    - {op: replace, path: /fresh, value: 9007199254740993}\n"},
                                  {"/app/r.yaml", "apiVersion: a/v1\nkind: Thing\nmetadata: {name: x}\nlist: [1, 2, 3]\n"}});
  CHECK(text == "apiVersion: a/v1\nfresh: 9007199254740992\nkind: Thing\nlist:\n- 1\n- 2\n- 9\n- 8\nmetadata:\n  name: x\n");
}

TEST_CASE("nulls of a patch delete, also in what it adds; a map of its own is replaced where it says so") {
  const std::string text = built({{"/app/kustomization.yaml", "resources: [r.yaml]\npatches:\n- patch: |\n    apiVersion: a/v1\n    kind: Thing\n    metadata: {name: x}\n"
                                                             "    a: {b: null, d: {e: null, f: 1}}\n    list: [{n: 2}]\n    r: {$patch: replace, z: 1}\n"},
                                  {"/app/r.yaml", "apiVersion: a/v1\nkind: Thing\nmetadata: {name: x}\na: {b: 1, c: ~}\nlist: [{n: 1}]\nr: {y: 1}\n"}});
  CHECK(text == "a:\n  c: null\n  d:\n    f: 1\napiVersion: a/v1\nkind: Thing\nlist:\n- \"n\": 2\nmetadata:\n  name: x\nr:\n  z: 1\n");
}

TEST_CASE("a kustomization that contains itself is refused") {
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [b]\n"}, {"/app/b/kustomization.yaml", "resources: [..]\n"}}, "cycle detected: candidate root '/app' contains visited root"));
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [.]\n"}}, "cycle detected"));
}

TEST_CASE("an alias bomb is refused early (B2)") {
  std::string bomb = "kind: A\napiVersion: v1\nmetadata: {name: x}\nl0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "l" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 8; ++j) bomb += ", " + before;
    bomb += "]\n";
  }
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [r.yaml]\n"}, {"/app/r.yaml", bomb}}, "excessive aliasing"));
  text::YamlPool pool;
  CHECK(!text::parse_yaml_node(pool, bomb));
  CHECK(pool.size() < 200'000);
}

TEST_CASE("nesting beyond 100 levels is refused (B3)") {
  CHECK(refuses({{"/app/kustomization.yaml", "resources: [r.yaml]\n"}, {"/app/r.yaml", "a: " + std::string(200, '[') + std::string(200, ']')}}, "levels deep"));
}

TEST_CASE("files outside of a kustomization's folder are not read (T1, T15)") {
  const TempFolder folder;
  const std::string root = folder.path();
  REQUIRE(make_folders(root + "/app"));
  REQUIRE(write_file_atomically(root + "/canary.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: canary}\n"));
  REQUIRE(::symlink("../canary.yaml", (root + "/app/link.yaml").c_str()) == 0);
  REQUIRE(::symlink("/dev/zero", (root + "/app/zero.yaml").c_str()) == 0);
  for (const std::string path : {"../canary.yaml", "link.yaml", "zero.yaml", "./../app/../canary.yaml", "/etc/passwd", "/proc/self/root/etc/passwd"}) {
    REQUIRE(write_file_atomically(root + "/app/kustomization.yaml", "resources: ['" + path + "']\n"));
    const auto out = build(DiskTree(), root + "/app");
    REQUIRE_FALSE(out);
    CHECK(out.error().message.find("canary}") == std::string::npos);
  }
  REQUIRE(write_file_atomically(root + "/app/kustomization.yaml", "resources: ['../canary.yaml']\n"));
  CHECK(build(DiskTree(), root + "/app", {Restriction::none, false}));
  CHECK_FALSE(build(DiskTree(root + "/app"), root + "/app", {Restriction::none, false}));  // a boundary holds whatever is asked for
  REQUIRE(write_file_atomically(root + "/app/kustomization.yaml", "configMapGenerator: [{name: a, files: [link.yaml]}]\n"));
  CHECK_FALSE(build(DiskTree(), root + "/app"));
}

TEST_CASE("deletions of nothing, empty lists and nulls are what upstream makes of them") {
  CHECK(built({{"/app/kustomization.yaml", "resources: [web.yaml]\npatches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    $patch: delete\n"},
               {"/app/web.yaml", deployment}}) == "");
}

}  // namespace
}  // namespace slipway::cd::kustomize
