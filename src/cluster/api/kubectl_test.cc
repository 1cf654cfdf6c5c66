// SPDX-License-Identifier: Apache-2.0
// Stock kubectl against the API over TLS. Where it is not installed, the test says so and passes.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include "auth/certificates.h"
#include "base/files.h"
#include "base/process.h"
#include "cluster/api/api.h"
#include "net/server.h"
#include "store/file.h"

namespace slipway::api {
namespace {

constexpr const char* kubectl = "/usr/local/bin/kubectl-oracle";

struct Plane {
  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  std::unique_ptr<store::FileSystem> files = store::make_system_files();
  std::unique_ptr<auth::TokenFile> tokens = auth::TokenFile::open(folder.path() + "/tokens").value();
  std::unique_ptr<Api> api;
  std::unique_ptr<net::Server> server;

  Plane() {
    const std::string token = auth::make_token();
    REQUIRE(tokens->add(token, auth::administrator()));
    const auto authority = auth::make_authority("test").value();
    const auto pair = auth::make_certificate(authority, {.common_name = "api", .names = {"localhost"}, .addresses = {"127.0.0.1"}}).value();
    api = Api::open(*files, *executor, {.folder = folder.path() + "/store", .tokens = tokens.get()}).value();
    server = net::Server::start({{{.port = 0, .tls = true}, {pair.certificate_pem, pair.private_key_pem, authority.certificate_pem},
                                  [this](std::shared_ptr<net::Exchange> exchange) { api->handle(std::move(exchange)); }}}).value();
    REQUIRE(write_file_atomically(folder.path() + "/ca.pem", authority.certificate_pem));
    REQUIRE(write_file_atomically(folder.path() + "/config", fmt::format(
        "apiVersion: v1\nkind: Config\ncurrent-context: t\nclusters: [{{name: t, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: {}/ca.pem}}}}]\n"
        "users: [{{name: t, user: {{token: {}}}}}]\ncontexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n", server->port(0), folder.path(), token)));
  }
  ~Plane() {
    api->stop();
    server.reset();
  }

  Finished run(std::vector<std::string> arguments, std::string input = {}) {
    arguments.insert(arguments.begin(), {kubectl, "--kubeconfig", folder.path() + "/config", "--cache-dir", folder.path() + "/cache"});
    auto finished = slipway::run({.arguments = std::move(arguments), .input = std::move(input)});
    REQUIRE(finished);
    return *finished;
  }
};

TEST_CASE("stock kubectl creates, gets, scales, patches, waits and deletes") {
  if (!exists(kubectl)) {
    MESSAGE("kubectl is not installed: not run");
    return;
  }
  Plane plane;
  const auto all_right = [&](std::vector<std::string> arguments, std::string_view wanted) {
    const std::string what = arguments[0] + " " + (arguments.size() > 1 ? arguments[1] : "");
    const Finished done = plane.run(std::move(arguments));
    CHECK_MESSAGE(done.ok(), what << ": " << done.errors);
    CHECK_MESSAGE(done.output.find(wanted) != std::string::npos, what << ": " << done.output << done.errors);
  };
  all_right({"version"}, "Server Version: v1.36.3");
  all_right({"get", "namespaces"}, "kube-system");
  const Finished made = plane.run({"create", "-f", "-"}, R"({"apiVersion":"v1","kind":"List","items":[
    {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"b"}},
    {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"a":"b"}},
     "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"web:1"}]}}}}]})");
  CHECK_MESSAGE(made.ok(), made.errors);
  all_right({"get", "all"}, "deployment.apps/web");
  all_right({"scale", "deployment/web", "--replicas=3"}, "scaled");
  all_right({"get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"}, "3");
  all_right({"patch", "configmap", "c", "--type=merge", "-p", R"({"data":{"a":"c"}})"}, "patched");
  all_right({"wait", "configmap/c", "--for=jsonpath={.data.a}=c", "--timeout=5s"}, "condition met");
  all_right({"describe", "deployment", "web"}, "web:1");
  all_right({"create", "deployment", "typed", "--image=web:1", "--replicas=2"}, "created");  // kubectl sends protobuf here
  all_right({"create", "configmap", "typed", "--from-literal=a=b"}, "created");
  all_right({"create", "secret", "generic", "typed", "--from-literal=a=b"}, "created");
  all_right({"create", "namespace", "shop"}, "created");
  all_right({"create", "serviceaccount", "typed"}, "created");
  all_right({"run", "one", "--image=web:1"}, "created");
  all_right({"expose", "deployment", "typed", "--port=80"}, "exposed");
  all_right({"set", "image", "deployment/typed", "web=web:2"}, "image updated");
  all_right({"label", "deployment", "typed", "x=y"}, "labeled");
  all_right({"explain", "pod.spec.containers.image"}, "Container image name");
  all_right({"get", "deployment", "typed", "-o", "wide"}, "typed   0/2     0            0");
  all_right({"get", "secret", "typed", "-o", "jsonpath={.data.a}"}, "Yg==");
  all_right({"delete", "deployment", "web"}, "deleted");
  const Finished unknown = plane.run({"create", "-f", "-"}, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"u"},"dat":{}})");
  CHECK_MESSAGE(unknown.errors.find("strict decoding error: unknown field \"dat\"") != std::string::npos, unknown.errors);
  CHECK(plane.run({"get", "pods", "none"}).errors.find("pods \"none\" not found") != std::string::npos);
}

}  // namespace
}  // namespace slipway::api
