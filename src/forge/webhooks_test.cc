// SPDX-License-Identifier: Apache-2.0
#include "forge/webhooks.h"

#include <doctest/doctest.h>

#include "base/digest.h"
#include "base/random.h"
#include "base/strings.h"

namespace slipway::forge {
namespace {

constexpr std::string_view documented = "It's a Secret to Everybody";  // of GitHub's and Bitbucket's documentation
const Wall now{std::chrono::seconds(1'614'265'330)};
const std::string a(40, 'a'), b(40, 'b'), zeros(40, '0');

Result<> verify(const net::Headers& headers, std::string_view body, std::string_view secret, Wall when = now) {
  return verify_webhook(TRY(read_webhook_head(headers, {})), headers, body, secret, when);
}

TEST_CASE("the signatures that the forges document are accepted, and those of any other body or secret are not") {
  const net::Headers github{{"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", "1"}, {"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}};
  CHECK(verify(github, "Hello, World!", documented));
  CHECK(verify(github, "Hello, World?", documented).error().code == ErrorCode::unauthenticated);
  CHECK(!verify(github, "Hello, World!", "It's a secret to Everybody"));
  const net::Headers bitbucket{{"X-Event-Key", "repo:push"}, {"X-Request-UUID", "1"}, {"X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"}};
  CHECK(verify(bitbucket, "Hello World!", documented));
  CHECK(!verify(bitbucket, "Hello World", documented));
  const net::Headers gitea{{"X-Gitea-Event", "push"}, {"X-GitHub-Event", "push"}, {"X-Gitea-Delivery", "1"},
                           {"X-Gitea-Signature", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}};
  CHECK(verify(gitea, "Hello, World!", documented));
  CHECK(!verify(gitea, "Hello", documented));
}

TEST_CASE("GitLab's signed form is the one of Standard Webhooks, and its time may be five minutes off") {
  constexpr std::string_view secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", body = R"({"test": 2432232314})";
  const auto headers = [](std::string signature) {
    return net::Headers{{"X-Gitlab-Event", "Push Hook"}, {"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"}, {"webhook-timestamp", "1614265330"}, {"webhook-signature", std::move(signature)}};
  };
  const std::string good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
  CHECK(verify(headers(good), body, secret));
  CHECK(verify(headers("v1a,AAAA v1,AAAA " + good), body, secret));
  CHECK(verify(headers(good), body, secret, now + std::chrono::seconds(300)));
  CHECK(!verify(headers(good), body, secret, now + std::chrono::seconds(301)));
  CHECK(!verify(headers(good), body, secret, now - std::chrono::seconds(301)));
  CHECK(!verify(headers("v2," + good.substr(3)), body, secret));
  CHECK(!verify(headers(""), body, secret));
  net::Headers with_token = headers("v1,AAAA");  // a plain token does not stand in for a signature that is wrong
  with_token.add("X-Gitlab-Token", std::string(secret));
  CHECK(!verify(with_token, body, secret));
}

TEST_CASE("GitLab's plain token is compared whole") {
  const auto headers = [](std::string token) { return net::Headers{{"X-Gitlab-Event", "Push Hook"}, {"Idempotency-Key", "1"}, {"X-Gitlab-Token", std::move(token)}}; };
  CHECK(verify(headers("a-secret-of-some-length"), "{}", "a-secret-of-some-length"));
  for (const char* bad : {"", "a", "a-secret-of-some-lengt", "a-secret-of-some-lengthX", "A-secret-of-some-length"}) CHECK(!verify(headers(bad), "{}", "a-secret-of-some-length"));
}

TEST_CASE("an unsigned delivery, SHA-1, a short secret and a header of another forge are refused") {
  const std::string secret(16, 's'), mac = to_hex(hmac_sha256(secret, "{}"));
  const auto github = [&](std::string header, std::string value) { return net::Headers{{"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", "1"}, {std::move(header), std::move(value)}}; };
  CHECK(verify(github("X-Hub-Signature-256", "sha256=" + mac), "{}", secret));
  CHECK(!verify(github("X-Nothing", ""), "{}", secret));
  CHECK(!verify(github("X-Hub-Signature", "sha256=" + mac), "{}", secret));
  CHECK(!verify(github("X-Hub-Signature-256", mac), "{}", secret));
  CHECK(!verify(github("X-Hub-Signature-256", "sha256="), "{}", secret));
  CHECK(!verify(github("X-Hub-Signature-256", "sha256=" + to_hex(hmac_sha256("", "{}"))), "{}", ""));
  CHECK(!verify(github("X-Hub-Signature-256", "sha256=" + to_hex(hmac_sha256("short", "{}"))), "{}", "short"));
}

TEST_CASE("what is no webhook, has no id or comes from another forge than expected is refused by name") {
  CHECK(!read_webhook_head({}, {}));
  CHECK(!read_webhook_head({{"X-GitHub-Event", "push"}}, {}));
  CHECK(!read_webhook_head({{"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", "a b"}}, {}));
  CHECK(!read_webhook_head({{"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", std::string(201, 'x')}}, {}));
  CHECK(read_webhook_head({{"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", "1"}}, Provider::gitlab).error().message.find("of gitlab alone") != std::string::npos);
  CHECK(read_webhook_head({{"X-GitHub-Event", "ping"}, {"X-GitHub-Delivery", "1"}}, {})->kind == WebhookKind::ping);
  CHECK(read_webhook_head({{"X-GitHub-Event", "issues"}, {"X-GitHub-Delivery", "1"}}, {})->kind == WebhookKind::other);
  CHECK(has_json_content({{"Content-Type", "Application/JSON; charset=utf-8"}}));
  CHECK(!has_json_content({{"Content-Type", "application/x-www-form-urlencoded"}}));
}

Result<PushEventBody> parse(Provider provider, std::string event, const std::string& body) { return parse_push({provider, WebhookKind::push, std::move(event), "1"}, body); }

TEST_CASE("pushes of GitHub, Gitea and GitLab name a ref, its commits and the repository; zeros are no commit") {
  const auto github = parse(Provider::github, "push", R"({"ref":"refs/heads/main","before":")" + zeros + R"(","after":")" + a + R"(","repository":{"clone_url":"https://github.com/shop/web.git"}})").value();
  CHECK(github.urls == std::vector<std::string>{"https://github.com/shop/web.git"});
  CHECK(github.changes[0].before.empty());
  CHECK(github.changes[0].after == a);
  const auto gitlab = parse(Provider::gitlab, "Push Hook", R"({"ref":"refs/heads/main","before":")" + a + R"(","after":")" + zeros + R"(","project":{"git_http_url":"https://gitlab.com/shop/web.git"}})").value();
  CHECK(gitlab.changes[0].before == a);
  CHECK(gitlab.changes[0].after.empty());
}

TEST_CASE("Bitbucket's cloud and data center each name several changes") {
  const auto cloud = parse(Provider::bitbucket, "repo:push", R"({"repository":{"links":{"html":{"href":"https://bitbucket.org/shop/web"}}},"push":{"changes":[
    {"old":{"type":"branch","name":"main","target":{"hash":")" + a + R"("}},"new":{"type":"branch","name":"main","target":{"hash":")" + b + R"("}}},
    {"old":{"type":"tag","name":"v1","target":{"hash":")" + a + R"("}},"new":null}]}})").value();
  REQUIRE(cloud.changes.size() == 2);
  CHECK(cloud.changes[0].ref == "refs/heads/main");
  CHECK(cloud.changes[0].after == b);
  CHECK(cloud.changes[1].ref == "refs/tags/v1");
  CHECK(cloud.changes[1].after.empty());
  const auto server = parse(Provider::bitbucket, "repo:refs_changed", R"({"repository":{"links":{"clone":[{"href":"https://bb/scm/shop/web.git","name":"http"}]}},
    "changes":[{"ref":{"id":"refs/heads/main"},"fromHash":")" + a + R"(","toHash":")" + b + R"("}]})").value();
  CHECK(server.urls[0] == "https://bb/scm/shop/web.git");
  CHECK(server.changes[0].before == a);
}

TEST_CASE("a body that is malformed, too deep or hostile is refused and nothing else") {
  const std::string repository = R"("repository":{"clone_url":"https://h/a"})";
  for (const std::string& bad : {std::string(), std::string("[]"), std::string("null"), std::string("{"), std::string("{}"), "{" + repository + "}", R"({"ref":5,)" + repository + "}",
                                 R"({"ref":"refs/heads/--x","after":")" + a + R"(",)" + repository + "}", R"({"ref":"refs/heads/x","after":"--output=x",)" + repository + "}",
                                 R"({"ref":"refs/heads/x","after":")" + a + "\"}", std::string(200, '[') + std::string(200, ']')})
    for (const auto& [provider, event] : {std::pair{Provider::github, "push"}, {Provider::gitlab, "Push Hook"}, {Provider::gitea, "push"}, {Provider::bitbucket, "repo:push"}, {Provider::bitbucket, "repo:refs_changed"}})
      CHECK_MESSAGE(!parse(provider, event, bad), bad);
}

TEST_CASE("whatever a body is made into, it is parsed or refused, and what is parsed names refs and commits alone") {
  SeededRandom random(7);
  const std::string good = R"({"ref":"refs/heads/main","before":")" + a + R"(","after":")" + b + R"(","repository":{"clone_url":"https://h/a","links":{"html":{"href":"https://h/a"},"clone":[{"href":"https://h/a"}]}},
    "push":{"changes":[{"old":null,"new":{"type":"branch","name":"main","target":{"hash":")" + b + R"("}}}]},"changes":[{"ref":{"id":"refs/heads/main"},"fromHash":")" + a + R"(","toHash":")" + b + R"("}],"project":{"git_http_url":"https://h/a"}})";
  constexpr std::string_view pieces[] = {"null", "[]", "{}", "\"", "0", "-", "..", "\\u0000", "\\n", "refs/", "true", "1e999"};
  int parsed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string body = good;
    for (std::uint64_t changes = random.below(3); changes > 0; --changes) {
      const auto at = random.below(body.size()), length = random.below(8);
      body.replace(at, length, pieces[random.below(std::size(pieces))]);
    }
    for (const auto& [provider, event] : {std::pair{Provider::github, "push"}, {Provider::gitlab, "Push Hook"}, {Provider::bitbucket, "repo:push"}, {Provider::bitbucket, "repo:refs_changed"}}) {
      const auto push = parse(provider, event, body);
      if (!push) continue;
      ++parsed;
      for (const RefChange& one : push->changes) REQUIRE((one.ref.starts_with("refs/") && (one.after.empty() || one.after.size() == 40) && one.ref.find("..") == std::string::npos));
    }
  }
  CHECK(parsed > 20'000);  // the loop is not idle
}

}  // namespace
}  // namespace slipway::forge
