// SPDX-License-Identifier: Apache-2.0
#include "forge/connected.h"

#include <doctest/doctest.h>

#include "base/digest.h"
#include "base/strings.h"
#include "forge/webhook_routes.h"
#include "kube/testing/fake_client.h"
#include "net/server.h"
#include "source/git_http.h"

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

// The controller over an API in memory, and a remote that serves git over HTTP.
struct Installation {
  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  kube::testing::FakeClient client;
  source::PushJournal remote_journal{folder.path() + "/remote-pushes"}, journal{folder.path() + "/pushes"};
  source::Repositories remote{folder.path() + "/remote", remote_journal, executor->clock()}, local{folder.path() + "/local", journal, executor->clock()};
  source::Mirrors mirrors{local, journal, executor->clock()};
  source::GitHttp git{remote, *executor, [](std::string_view, const source::RepositoryName&, source::GitAccess) -> Result<> { return {}; }};
  std::unique_ptr<net::Server> server = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [this](std::shared_ptr<net::Exchange> e) { git.handle(std::move(e)); }}}).value();
  std::unique_ptr<Deliveries> deliveries = Deliveries::open(folder.path() + "/hooks", executor->clock()).value();
  std::unique_ptr<kube::Manager> manager = std::make_unique<kube::Manager>(client, *executor);
  std::function<void(const kube::ObjectKey&)> wake;

  Installation() {
    for (const char* name : {"/pushes", "/remote-pushes"}) REQUIRE(make_folders(folder.path() + name));
    REQUIRE(remote.create(app));
    wake = register_connected(*manager, {local, mirrors, journal, *deliveries, {}});
    manager->start({});
  }
  ~Installation() {
    manager->stop();
    server.reset();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server->port(0)) + "/git/default/app.git"; }
  void put(const std::string& url) {
    REQUIRE(client.patch(kube::resources::repositories, {"default", "app"}, kube::PatchType::apply, Json::object({{"spec", Json::object({{"connect", Json::object({{"url", url}, {"pollIntervalSeconds", 3600}})}})}})));
  }
  // The next commit of the remote, made of nothing but an empty tree.
  std::string commit(const std::string& message, const std::string& parent) const {
    auto make = remote.git(app, {"commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-m", message});
    if (!parent.empty()) make.arguments.insert(make.arguments.end(), {"-p", parent});
    for (const char* one : {"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}) make.environment.emplace_back(one);
    REQUIRE(run(remote.git(app, {"hash-object", "-t", "tree", "-w", "/dev/null"})));
    const std::string id(trim(run_ok(make).value()));
    REQUIRE(run_ok(remote.git(app, {"update-ref", "refs/heads/main", id})));
    return id;
  }
  Json wait(const std::function<bool(const Json& status)>& holds) {
    Json found;
    (void)client.watch(kube::resources::repositories, {}, [&](const kube::WatchEvent& event) {
      found = event.object["status"];
      return !holds(found);
    }, {});
    return found;
  }
};

TEST_CASE("a repository is fetched when it is connected, when a webhook wakes it, and goes with its object; what is in the way is told") {
  Installation here;
  const std::string first = here.commit("1", "");
  here.put("http://127.0.0.1:1/nobody/listens.git");
  const Json failed = here.wait([](const Json& status) { return status["source"]["failures"].as_int() == 1; });
  CHECK(failed["conditions"][0]["status"].as_string() == "False");
  CHECK(failed["source"]["message"].as_string().find("cannot read http://127.0.0.1:1/") != std::string_view::npos);
  here.put("ssh://git@h/a");
  CHECK(here.wait([](const Json& status) { return status["conditions"][0]["reason"].as_string() == "InvalidSpec"; })["source"]["message"].as_string().find("ssh is not supported") != std::string_view::npos);
  here.put(here.url());
  CHECK(here.wait([](const Json& status) { return status["conditions"][0]["status"].as_string() == "True"; })["source"]["defaultBranch"].as_string() == "main");
  CHECK(here.journal.pending()->size() == 1);
  const std::string second = here.commit("2", first), third = here.commit("3", second);
  Delivery told{.repository = app, .id = "1"};
  told.changes = {{"refs/heads/main", first, second}};
  REQUIRE(here.deliveries->record(told));
  here.wake({"default", "app"});
  here.wait([](const Json& status) { return status["source"]["lastDelivery"]["id"].as_string() == "1"; });
  std::vector<std::string> pushed;
  const auto pending = here.journal.pending().value();
  for (const auto& push : pending) pushed.push_back(push.after);
  CHECK(pushed == std::vector<std::string>{first, second, third});
  CHECK(here.deliveries->pending(app).empty());
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
