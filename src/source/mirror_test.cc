// SPDX-License-Identifier: Apache-2.0
#include "source/mirror.h"

#include <doctest/doctest.h>

#include "base/strings.h"
#include "net/server.h"
#include "source/git_http.h"

namespace slipway::source {
namespace {

constexpr const char* token = "a-token-that-nobody-may-see";
const RepositoryName remote_name{"forge", "app"}, here{"default", "app"};

// Two installations in one process: a remote that serves git over HTTP behind a token, and our side.
struct Both {
  TempFolder folder;
  SystemClock clock;
  std::unique_ptr<Executor> executor = make_system_executor();
  PushJournal remote_journal{folder.path() + "/remote-pushes"}, journal{folder.path() + "/pushes"};
  Repositories remote{folder.path() + "/remote", remote_journal, clock}, local{folder.path() + "/local", journal, clock};
  Mirrors mirrors{local, journal, clock};
  GitHttp git{remote, *executor, [](std::string_view given, const RepositoryName&, GitAccess) -> Result<> {
                return given == token ? Result<>{} : fail(ErrorCode::unauthenticated, "a token is needed");
              }};
  std::unique_ptr<net::Server> server = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [this](std::shared_ptr<net::Exchange> e) { git.handle(std::move(e)); }}}).value();
  std::string work = folder.path() + "/work";

  Both() {
    for (const char* name : {"/pushes", "/remote-pushes"}) REQUIRE(make_folders(folder.path() + name));
    REQUIRE(remote.create(remote_name));
  }
  ~Both() { server.reset(); }

  SyncRequest request(std::vector<std::string> branches = {}, std::string with = token) const {
    const std::string url = "http://127.0.0.1:" + std::to_string(server->port(0)) + "/git/forge/app.git";
    return {RemoteUrl::parse(url).value(), {.token = std::move(with)}, std::move(branches)};
  }
  Finished shell(std::vector<std::string> arguments) const {
    return run({.arguments = std::move(arguments),
                .environment = {"HOME=" + folder.path(), "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}}).value();
  }
  // A commit on a branch, in the remote at once.
  std::string commit(const std::string& content, const std::string& branch = "main") const {
    if (!exists(work)) REQUIRE(shell({"git", "init", "-q", "-b", "main", work}).ok());
    shell({"git", "-C", work, "checkout", "-q", "-B", branch});
    REQUIRE(write_file_atomically(work + "/a", content, 0644));
    REQUIRE(shell({"git", "-C", work, "add", "-A"}).ok());
    REQUIRE(shell({"git", "-C", work, "commit", "-q", "-m", content}).ok());
    REQUIRE(shell({"git", "-C", work, "push", "-q", "-f", remote.path_of(remote_name), branch}).ok());
    return std::string(trim(shell({"git", "-C", work, "rev-parse", "HEAD"}).output));
  }
  std::vector<std::string> pushed() const {
    std::vector<std::string> out;
    const auto pending = journal.pending().value();
    for (const Push& push : pending) out.push_back(push.ref + " " + push.before.substr(0, 4) + ">" + push.after.substr(0, 4));
    return out;
  }
};

TEST_CASE("a mirror gets the branches of its remote; the branch that is worked on is the first push") {
  Both both;
  const std::string other = both.commit("1", "old"), main = both.commit("2");
  const auto done = both.mirrors.sync(here, both.request(), {}, {});
  INFO((done ? "" : done.error().to_string()));
  REQUIRE(done);
  CHECK(done->default_branch == "main");
  CHECK(both.local.refs(here).value() == Refs{{"refs/heads/main", main}, {"refs/heads/old", other}});
  CHECK(both.pushed() == std::vector<std::string>{"refs/heads/main >" + main.substr(0, 4)});
  CHECK(!both.mirrors.sync(here, both.request(), {}, {})->changed);
  CHECK(both.local.is_mirror(here));
}

TEST_CASE("a new commit, a new branch and one that is gone become pushes; a told commit in between does too, once") {
  Both both;
  const std::string first = both.commit("1");
  REQUIRE(both.mirrors.sync(here, both.request(), {}, {}));
  const std::string second = both.commit("2"), third = both.commit("3"), topic = both.commit("4", "topic");
  const std::vector<ToldPush> told{{"refs/heads/main", first, second}, {"refs/heads/main", second, topic}, {"refs/heads/main", "", std::string(40, 'e')}};
  REQUIRE(both.mirrors.sync(here, both.request(), told, {})->changed);
  const auto brief = [](const std::string& id) { return id.substr(0, 4); };
  CHECK(both.pushed() == std::vector<std::string>{"refs/heads/main >" + brief(first), "refs/heads/main " + brief(first) + ">" + brief(second),
                                                  "refs/heads/main " + brief(first) + ">" + brief(third), "refs/heads/topic >" + brief(topic)});
  REQUIRE(run_ok(both.remote.git(remote_name, {"update-ref", "-d", "refs/heads/topic"})));
  REQUIRE(both.mirrors.sync(here, both.request(), {}, {})->changed);
  CHECK(both.pushed().back() == "refs/heads/topic " + brief(topic) + ">");
}

TEST_CASE("a sync that was killed after its fetch loses no push, and one killed in its beginning invents none") {
  Both both;
  both.commit("0", "old");
  const std::string main = both.commit("1");
  REQUIRE(both.local.create_mirror(here));  // killed before anything came
  REQUIRE(both.local.record_as_known(here, {{"refs/heads/old", std::string(40, '1')}}));
  REQUIRE(both.local.recover());
  CHECK(both.pushed().empty());
  REQUIRE(both.mirrors.sync(here, both.request(), {}, {}));
  CHECK(both.pushed() == std::vector<std::string>{"refs/heads/main >" + main.substr(0, 4)});
  const std::string next = both.commit("2");
  REQUIRE(both.shell({"git", "--git-dir", both.local.path_of(here), "fetch", "-q", both.remote.path_of(remote_name), "+refs/heads/main:refs/heads/main"}).ok());
  REQUIRE(both.local.recover());
  CHECK(both.pushed().size() == 2);
}

TEST_CASE("git speaks to the address that a name was resolved to") {
  Both both;
  both.commit("1");
  SyncRequest request = both.request();
  request.url = RemoteUrl::parse("http://localhost:" + std::to_string(request.url.port) + request.url.path).value();
  const auto done = both.mirrors.sync(here, request, {}, {});
  INFO((done ? "" : done.error().to_string()));
  CHECK(done);
}

TEST_CASE("only the branches that are asked for come") {
  Both both;
  both.commit("1", "topic");
  const std::string release = both.commit("2", "release/1"), main = both.commit("3");
  REQUIRE(both.mirrors.sync(here, both.request({"main", "release/*"}), {}, {}));
  CHECK(both.local.refs(here).value() == Refs{{"refs/heads/main", main}, {"refs/heads/release/1", release}});
  CHECK(!check_branches({"-x"}));
  CHECK(!check_branches({"a..b"}));
  CHECK(check_branches({"*", "release/*", "main"}));
}

TEST_CASE("a wrong token is told as such; the token is in no message, argument or file") {
  Both both;
  both.commit("1");
  const auto refused = both.mirrors.sync(here, both.request({}, "another-secret-token"), {}, {});
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::unauthenticated);
  CHECK(refused.error().to_string().find("another-secret") == std::string::npos);
  REQUIRE(both.mirrors.sync(here, both.request(), {}, {}));
  const auto found = both.shell({"grep", "-r", "-l", "-e", token, "-e", to_base64(std::string("git:") + token), both.folder.path() + "/local"});
  CHECK(found.output.empty());
}

TEST_CASE("a hosted repository is not written over, nobody pushes to a mirror, and an emptied remote empties nothing") {
  Both both;
  both.commit("1");
  REQUIRE(both.mirrors.sync(here, both.request(), {}, {}));
  REQUIRE(run_ok(both.remote.git(remote_name, {"update-ref", "-d", "refs/heads/main"})));
  CHECK(both.mirrors.sync(here, both.request(), {}, {}).error().message.find("what is here stays") != std::string::npos);
  CHECK(both.local.refs(here)->size() == 1);
  CHECK(both.mirrors.sync(here, {RemoteUrl::parse("http://127.0.0.1:1/x").value(), {}, {}}, {}, {}).error().code == ErrorCode::unavailable);
  const RepositoryName hosted{"default", "hosted"};
  REQUIRE(both.local.create(hosted));
  REQUIRE(both.shell({"git", "-C", both.work, "push", "-q", both.local.path_of(hosted), "main"}).ok());
  CHECK(both.mirrors.sync(hosted, both.request(), {}, {}).error().code == ErrorCode::conflict);
  // The remote itself as a mirror: its server refuses the push.
  REQUIRE(both.remote.create_mirror(remote_name));
  const std::string url = "http://x:" + std::string(token) + "@127.0.0.1:" + std::to_string(both.server->port(0)) + "/git/forge/app.git";
  CHECK(!both.shell({"git", "-C", both.work, "push", "-q", url, "main"}).ok());
}

TEST_CASE("locks and half packs of a git that was killed do not hold up the next fetch") {
  Both both;
  both.commit("1");
  REQUIRE(both.mirrors.sync(here, both.request(), {}, {}));
  const std::string folder = both.local.path_of(here), next = both.commit("2");
  for (const char* left : {"/refs/heads/main.lock", "/packed-refs.lock", "/objects/pack/tmp_pack_abc"}) REQUIRE(write_file_atomically(folder + left, "x", 0600));
  const auto done = both.mirrors.sync(here, both.request(), {}, {});
  INFO((done ? "" : done.error().to_string()));
  CHECK(done);
  CHECK(both.local.head(here, "main").value() == next);
  CHECK(!exists(folder + "/objects/pack/tmp_pack_abc"));
}

TEST_CASE("a redirect is not followed: the host that it leads to hears nothing") {
  Both both;
  std::atomic<int> heard{0};
  const auto elsewhere = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [&](std::shared_ptr<net::Exchange> e) {
                                                ++heard;
                                                e->respond({404, {}, ""});
                                              }}}).value();
  const std::string there = "http://127.0.0.1:" + std::to_string(elsewhere->port(0)) + "/x/info/refs?service=git-upload-pack";
  const auto forge = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [&](std::shared_ptr<net::Exchange> e) { e->respond({302, {{"Location", there}}, ""}); }}}).value();
  const auto refused = both.mirrors.sync(here, {RemoteUrl::parse("http://127.0.0.1:" + std::to_string(forge->port(0)) + "/x").value(), {.token = token}, {}}, {}, {});
  CHECK(refused.error().message.find("redirect") != std::string::npos);
  CHECK(heard == 0);
}

TEST_CASE("refs of hostile names are left out of what a remote lists, and too many of them are refused") {
  const std::string id(40, 'a');
  const auto refs = parse_remote_refs("ref: refs/heads/trunk\tHEAD\n" + id + "\tHEAD\n" + id + "\trefs/heads/trunk\n" + id + "\trefs/heads/-x\n" + id + "\trefs/heads/a..b\n" + id + "\trefs/tags/v1^{}\n" +
                                          id + "\trefs/pull/1/head\n--upload-pack=x\trefs/heads/y\n" + id + "\trefs/tags/v1\n", {});
  CHECK(refs->refs == Refs{{"refs/heads/trunk", id}, {"refs/tags/v1", id}});
  CHECK(refs->default_branch == "trunk");
  std::string many;
  for (std::size_t i = 0; i <= Mirrors::max_refs; ++i) many += id + "\trefs/heads/b" + std::to_string(i) + "\n";
  CHECK(parse_remote_refs(many, {}).error().code == ErrorCode::too_large);
}

}  // namespace
}  // namespace slipway::source
