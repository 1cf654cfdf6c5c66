// SPDX-License-Identifier: Apache-2.0
#include "main/node_logs.h"

#include <doctest/doctest.h>

#include "main/testing/recording_exchange.h"

namespace slipway::app {
namespace {

class OneLine final : public cluster::NodeAgent {
 public:
  Result<> read_logs(const kube::ObjectKey& pod, const std::string& container, const cluster::PodLogOptions&, const sandbox::LogSink& sink, std::stop_token) override {
    (void)sink(pod.to_string() + " " + container + "\n");
    return {};
  }
};

net::RequestHead request(std::string_view authorization, std::string certificate) {
  net::RequestHead head{.method = "GET", .url = net::Url::parse_target("/containerLogs/shop/web/main").value()};
  if (!authorization.empty()) head.headers.set("Authorization", std::string(authorization));
  head.client_certificate_cn = std::move(certificate);
  return head;
}

// The answer, once the thread that gives it has ended.
testing::RecordingExchange answer(net::RequestHead head, NodeLogs::MayRead may_read) {
  const auto executor = make_system_executor();
  OneLine agent;
  const auto exchange = std::make_shared<testing::RecordingExchange>(std::move(head));
  {
    NodeLogs logs(agent, *executor, "secret", std::move(may_read));
    logs.handle(exchange);
  }
  return *exchange;
}

Result<> only_the_api_server(const auth::Identity& identity) {
  return identity.user == "kube-apiserver" ? Result<>() : fail(ErrorCode::forbidden, identity.user + " may not");
}

TEST_CASE("the node's logs are given to whoever shows the token") {
  CHECK(answer(request("Bearer secret", ""), {}).body == "shop/web main\n");
  CHECK(answer(request("Bearer other", ""), {}).status == 401);
  CHECK(answer(request("", ""), only_the_api_server).status == 401);
}

TEST_CASE("a client certificate is enough where the plane says that its owner may, and nowhere else") {
  CHECK(answer(request("", "kube-apiserver"), only_the_api_server).body == "shop/web main\n");
  CHECK(answer(request("", "ada"), only_the_api_server).status == 403);
  CHECK(answer(request("", "kube-apiserver"), {}).status == 401);
}

TEST_CASE("a plane that cannot be asked lets no certificate in") {
  CHECK(answer(request("", "kube-apiserver"), [](const auth::Identity&) -> Result<> { return fail(ErrorCode::unavailable, "away"); }).status == 503);
}

}  // namespace
}  // namespace slipway::app
