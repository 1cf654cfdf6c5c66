// SPDX-License-Identifier: Apache-2.0
#include "forge/connected.h"

#include <doctest/doctest.h>

#include "base/digest.h"
#include "base/strings.h"
#include "forge/webhook_routes.h"
#include "kube/testing/fake_client.h"

namespace slipway::forge {
namespace {

using namespace std::chrono_literals;

const std::string secret = "a-secret-of-some-length", commit(40, 'a');
const source::RepositoryName app{"default", "app"};

Json connect(Json::Object members) { return Json::object({{"spec", Json::object({{"connect", Json::object(members)}})}}); }

TEST_CASE("spec.connect is read, and what is wrong in it is named by its field") {
  const auto spec = parse_connect(connect({{"url", "https://git.example.com/shop/web.git"}, {"branches", Json::array({"main"})}, {"pollIntervalSeconds", 5}, {"provider", "gitea"},
                                           {"credentialsRef", Json::object({{"name", "s"}})}})).value();
  CHECK(spec.url.to_string() == "https://git.example.com/shop/web.git");
  CHECK(spec.poll == 5s);
  CHECK(spec.provider == Provider::gitea);
  const auto why = [](const Json& object) { return parse_connect(object).error().to_string(); };
  CHECK(why(connect({})).find("spec.connect.url") != std::string::npos);
  CHECK(why(connect({{"url", "git@h:a/b"}})).find("https address") != std::string::npos);
  CHECK(why(connect({{"url", "https://h/a"}, {"pollIntervalSeconds", 1}})).find("pollIntervalSeconds must be from 5") != std::string::npos);
  CHECK(why(connect({{"url", "https://h/a"}, {"provider", "sourcehut"}})).find("provider") != std::string::npos);
  CHECK(why(connect({{"url", "https://h/a"}, {"branches", Json::array({"--upload-pack=x"})}})).find("branches") != std::string::npos);
}

TEST_CASE("polling backs off on failures, comes sooner where a push is waited for, and is spread") {
  CHECK(next_look(60s, 0, false, 0) == 54s);
  CHECK(next_look(60s, 0, false, 999'999'999) <= 66s);
  CHECK(next_look(60s, 2, false, 0) == 216s);
  CHECK(next_look(60s, 40, false, 0) == 810s);
  CHECK(next_look(3600s, 40, false, 0) == 3240s);  // never more often than was asked for
  CHECK(next_look(60s, 1, true, 0) == 9s);
  CHECK(next_look(60s, 40, true, 0) == 270s);
}

TEST_CASE("a token is sent to the origin that its Secret names and to no other") {
  kube::testing::FakeClient client;
  const auto url = source::RemoteUrl::parse("https://git.example.com/a").value();
  const kube::ObjectKey key{"default", "s"};
  const auto put = [&](const std::string& origin, const std::string& token) {
    (void)client.remove(kube::resources::secrets, key);
    REQUIRE(client.create(kube::resources::secrets, Json::object({{"metadata", Json::object({{"name", "s"}, {"namespace", "default"}, {"annotations", Json::object({{origin_annotation, origin}})}})},
                                                                  {"data", Json::object({{"token", to_base64(token)}})}})));
  };
  CHECK(read_credential(client, key, url, {}).error().code == ErrorCode::unauthenticated);
  put("https://git.example.com", "t\n");
  CHECK(read_credential(client, key, url, Provider::github)->token == "t");
  CHECK(read_credential(client, key, url, Provider::github)->username == "x-access-token");
  put("https://git.example.com:444", "t");
  CHECK(read_credential(client, key, url, {}).error().code == ErrorCode::forbidden);
  put("https://git.example.com", "a\r\nX-Injected: b");
  CHECK(!read_credential(client, key, url, {}));
}

struct Hooks {
  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  std::unique_ptr<Deliveries> deliveries = Deliveries::open(folder.path(), executor->clock()).value();
  Metrics metrics;
  std::vector<std::string> woken;
  WebhookRoutes routes{{*executor, *deliveries, metrics,
                        [](const source::RepositoryName& name) -> Result<WebhookTarget> {
                          return name == app ? Result<WebhookTarget>(WebhookTarget{"https://git.example.com/shop/web.git", {}, secret}) : fail(ErrorCode::not_found, "no");
                        },
                        [this](const kube::ObjectKey& key) { woken.push_back(key.to_string()); }}};

  int send(std::string event, std::string id, const std::string& body, const std::string& key = secret, const source::RepositoryName& to = app) {
    return routes.receive(to, {{"X-GitHub-Event", std::move(event)}, {"X-GitHub-Delivery", std::move(id)}, {"X-Hub-Signature-256", "sha256=" + to_hex(hmac_sha256(key, body))}}, body).status;
  }
};

std::string push_body(const std::string& url = "https://git.example.com/shop/web.git", const std::string& note = "") {
  return R"({"ref":"refs/heads/main","after":")" + commit + R"(","note":")" + note + R"(","repository":{"clone_url":")" + url + "\"}}";
}

TEST_CASE("a push is recorded before it is accepted; a replay, a wrong signature and another repository's push are not") {
  Hooks hooks;
  CHECK(hooks.send("push", "1", push_body(), "another-secret-of-length") == 401);
  CHECK(hooks.send("push", "1", push_body("https://git.example.com/shop/other")) == 422);
  CHECK(hooks.woken.empty());
  CHECK(hooks.send("push", "1", push_body()) == 202);
  CHECK(hooks.woken == std::vector<std::string>{"default/app"});
  CHECK(Deliveries::open(hooks.folder.path(), hooks.executor->clock()).value()->pending(app).size() == 1);  // as after kill -9
  CHECK(hooks.send("push", "1", push_body("https://git.example.com/shop/web", "x")) == 409);
  CHECK(hooks.send("push", "2", push_body()) == 409);  // the id is not signed: the body is known
  CHECK(hooks.send("push", "2", push_body("https://git.example.com/shop/web", "y")) == 202);
  CHECK(hooks.woken.size() == 2);
}

TEST_CASE("pings and other events answer 200 and start nothing; what is malformed answers 400; an unknown address 401") {
  Hooks hooks;
  CHECK(hooks.send("ping", "1", "{}") == 200);
  CHECK(hooks.send("ping", "1", "{}", "another-secret-of-length") == 401);
  CHECK(hooks.send("issues", "1", "{}") == 200);
  CHECK(hooks.send("push", "1", "{") == 400);
  CHECK(hooks.send("push", "", push_body()) == 400);
  CHECK(hooks.send("push", "1", push_body(), secret, {"default", "none"}) == 401);
  CHECK(hooks.routes.receive(app, {}, "{}").status == 400);
  CHECK(hooks.woken.empty());
}

TEST_CASE("one peer may send a burst and then at a rate; another is not held up by it") {
  PeerLimit limit;
  Steady now{std::chrono::hours(1)};
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += limit.admit("192.0.2.1", now);
  CHECK(admitted == 120);
  CHECK(limit.admit("192.0.2.2", now));
  CHECK(limit.admit("192.0.2.1", now + 1s));
  for (std::size_t i = 0; i < 3 * PeerLimit::max_peers; ++i) CHECK(limit.admit(std::to_string(i), now));
}

}  // namespace
}  // namespace slipway::forge
