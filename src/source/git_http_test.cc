// SPDX-License-Identifier: Apache-2.0
#include "source/git_http.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "base/random.h"
#include "net/server.h"

namespace slipway::source {
namespace {

struct Host {
  TempFolder folder;
  SystemClock clock;
  std::unique_ptr<Executor> executor = make_system_executor();
  PushJournal journal{folder.path() + "/pushes"};
  Repositories repositories{folder.path() + "/git", journal, clock};
  std::unique_ptr<GitHttp> git;
  std::unique_ptr<net::Server> server;
  std::string work = folder.path() + "/work";

  Host() {
    REQUIRE(make_folders(folder.path() + "/pushes"));
    git = std::make_unique<GitHttp>(repositories, *executor, [](std::string_view token, const RepositoryName&, GitAccess) -> Result<> {
      if (token.empty()) return fail(ErrorCode::unauthenticated, "a token is needed");
      return token == "secret" ? Result<>{} : fail(ErrorCode::forbidden, "not with this token");
    });
    server = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [this](std::shared_ptr<net::Exchange> e) { git->handle(std::move(e)); }}}).value();
  }
  ~Host() {
    server.reset();
    git.reset();
  }
  std::string url(std::string_view path, std::string_view token = "secret") const {
    return "http://x:" + std::string(token) + "@127.0.0.1:" + std::to_string(server->port(0)) + "/git/" + std::string(path);
  }
  Finished shell(std::vector<std::string> arguments) const {
    return run({.arguments = std::move(arguments),
                .environment = {"HOME=" + folder.path(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b",
                                "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}}).value();
  }
  std::string commit(const std::string& file, const std::string& content) const {
    REQUIRE(make_folders(parent_path(work + "/" + file)));
    REQUIRE(write_file_atomically(work + "/" + file, content, 0644));
    if (!exists(work + "/.git")) REQUIRE(shell({"git", "-C", work, "init", "-q", "-b", "main"}).ok());
    REQUIRE(shell({"git", "-C", work, "add", "-A"}).ok());
    REQUIRE(shell({"git", "-C", work, "commit", "-q", "-m", "change " + file}).ok());
    return std::string(shell({"git", "-C", work, "rev-parse", "HEAD"}).output.substr(0, 40));
  }
};

const RepositoryName hello{"default", "hello"};

TEST_CASE("an ordinary git push arrives, is journalled before it is acknowledged, and its files can be read") {
  Host host;
  REQUIRE(host.repositories.create(hello));
  const std::string commit = host.commit("deploy/web.yaml", "kind: Service\n");
  const auto pushed = host.shell({"git", "-C", host.work, "push", "-q", host.url("hello.git"), "main"});
  INFO(pushed.errors);
  REQUIRE(pushed.ok());
  const auto pending = host.journal.pending().value();
  REQUIRE(pending.size() == 1);
  CHECK(pending[0].ref == "refs/heads/main");
  CHECK(pending[0].after == commit);
  CHECK(host.repositories.head(hello, "main").value() == commit);
  CHECK(host.repositories.files(hello, commit, "deploy").value() == Files{{"deploy/web.yaml", "kind: Service\n"}});
  CHECK(host.repositories.describe(hello, commit).value() == "change deploy/web.yaml");
  REQUIRE(host.journal.remove(pending[0].id));
  CHECK(host.journal.pending().value().empty());
}

TEST_CASE("a large push and a clone carry every byte") {
  Host host;
  REQUIRE(host.repositories.create(hello));
  host.commit("big", SystemRandom().bytes(3'000'000));
  REQUIRE(host.shell({"git", "-C", host.work, "push", "-q", host.url("default/hello.git"), "main"}).ok());
  REQUIRE(host.shell({"git", "clone", "-q", host.url("hello.git"), host.folder.path() + "/copy"}).ok());
  CHECK(read_file(host.folder.path() + "/copy/big").value() == read_file(host.work + "/big").value());
}

TEST_CASE("a push that was received while nobody could write it down is found at the next start") {
  Host host;
  REQUIRE(host.repositories.create(hello));
  const std::string commit = host.commit("a", "1");
  // As after a kill between receive-pack and the journal: the ref is there, the entry is not.
  REQUIRE(host.shell({"git", "-C", host.work, "push", "-q", host.repositories.path_of(hello), "main"}).ok());
  CHECK(host.journal.pending().value().empty());
  REQUIRE(host.repositories.recover());
  CHECK(host.journal.pending().value().at(0).after == commit);
  REQUIRE(host.repositories.recover());
  CHECK(host.journal.pending().value().size() == 1);
}

TEST_CASE("without a token, with a wrong one, to no repository and to hostile paths nothing is served") {
  Host host;
  REQUIRE(host.repositories.create(hello));
  host.commit("a", "1");
  for (const std::string& url : {host.url("hello.git", "wrong"), host.url("missing.git"), host.url("a/b/hello.git"),
                                 "http://127.0.0.1:" + std::to_string(host.server->port(0)) + "/git/hello.git"})
    CHECK(!host.shell({"git", "-C", host.work, "push", "-q", url, "main"}).ok());
  CHECK(host.repositories.refs(hello).value().empty());
  for (const char* name : {"", "..", "a..b", "-x", "a/b", "A", "x.git", ".hidden"}) CHECK(!RepositoryName::parse("default", name));
}

TEST_CASE("hooks of a repository never run") {
  Host host;
  REQUIRE(host.repositories.create(hello));
  const std::string hook = host.repositories.path_of(hello) + "/hooks/pre-receive", canary = host.folder.path() + "/canary";
  REQUIRE(make_folders(parent_path(hook)));
  REQUIRE(write_file_atomically(hook, "#!/bin/sh\ntouch " + canary + "\nexit 1\n", 0755));
  host.commit("a", "1");
  CHECK(host.shell({"git", "-C", host.work, "push", "-q", host.url("hello.git"), "main"}).ok());
  CHECK(!exists(canary));
}

TEST_CASE("the tree of a commit is the same blob each time; a symlink is not read as a file") {
  Host host;
  REQUIRE(host.repositories.create(hello));
  REQUIRE(make_folders(host.work));
  REQUIRE(::symlink("/etc/passwd", (host.work + "/link").c_str()) == 0);
  const std::string commit = host.commit("a", "1");
  REQUIRE(host.shell({"git", "-C", host.work, "push", "-q", host.url("hello.git"), "main"}).ok());
  const auto blobs = store::BlobStore::open_folder(host.folder.path() + "/blobs").value();
  CHECK(host.repositories.tree(hello, commit, *blobs).value() == host.repositories.tree(hello, commit, *blobs).value());
  CHECK(host.repositories.files(hello, commit, "").value() == Files{{"a", "1"}});
  CHECK(!host.repositories.tree(hello, std::string(40, '0'), *blobs));
  CHECK(!host.repositories.files(hello, "--output=/x", ""));
}

TEST_CASE("refs that git or a path could misread are not refs") {
  CHECK(is_safe_ref("refs/heads/feature/x-1"));
  for (const char* bad : {"main", "refs/heads/-x", "refs/heads/a..b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a b", "refs/heads/", "refs/heads/a\nb"}) CHECK(!is_safe_ref(bad));
}

}  // namespace
}  // namespace slipway::source
