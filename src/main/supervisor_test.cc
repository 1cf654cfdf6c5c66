// SPDX-License-Identifier: Apache-2.0
#include "main/supervisor.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "auth/tokens.h"
#include "kube/client.h"

namespace slipway::app {
namespace {

using std::chrono::milliseconds;

TEST_CASE("a process that keeps ending is started ever more slowly, one that lived long at once") {
  RestartBackOff back_off;
  CHECK(back_off.after(milliseconds(5)) == milliseconds(100));
  CHECK(back_off.after(milliseconds(5)) == milliseconds(200));
  for (int i = 0; i < 20; ++i) back_off.after(milliseconds(5));
  CHECK(back_off.after(milliseconds(5)) == milliseconds(30'000));
  CHECK(back_off.after(milliseconds(60'000)) == milliseconds(100));
}

TEST_CASE("a data folder that the server's user could not reach is refused with what to do") {
  if (!has_own_serve_user()) return;
  TempFolder folder;  // nobody else may pass it
  const auto refused = prepare({folder.path() + "/data"});
  REQUIRE(!refused);
  CHECK(refused.error().message.find("chmod o+x " + folder.path()) != std::string::npos);
}

TEST_CASE("credentials are made once and stay; the token of the kubeconfig is known by its hash alone") {
  TempFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0711) == 0);
  const DataFolder data{folder.path() + "/data"};
  REQUIRE(prepare(data));
  REQUIRE(ensure_credentials(data, {}, ""));
  const std::string before = read_file(data.kubeconfig()).value();
  const std::string token = read_admin_token(data).value();
  REQUIRE(ensure_credentials(data, {}, ""));
  CHECK(read_file(data.kubeconfig()).value() == before);
  CHECK(read_file(data.tokens()).value().find(token) == std::string::npos);
  CHECK(auth::TokenFile::open(data.tokens()).value()->authenticate(token).value().in_group("system:masters"));
  struct stat info{};
  REQUIRE(::stat(data.kubeconfig().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(read_credentials(data).value().server_pin.size() == 64);
}

constexpr const char* foreign_kubeconfig =
    "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: k, cluster: {server: \"https://127.0.0.1:7443\", certificate-authority: ca.pem}}]\n"
    "users: [{name: u, user: {token: abc}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";

TEST_CASE("of a foreign plane serve gets a kubeconfig that names no file, and no token of ours is made") {
  TempFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0711) == 0);
  const DataFolder data{folder.path() + "/data"};
  REQUIRE(prepare(data));
  REQUIRE(write_file_atomically(folder.path() + "/ca.pem", "an authority\n"));
  REQUIRE(write_file_atomically(folder.path() + "/foreign", foreign_kubeconfig));
  REQUIRE(ensure_credentials(data, {}, folder.path() + "/foreign"));
  for (const std::string& copy : {data.plane_kubeconfig(), data.kubeconfig()}) {
    const auto config = kube::load_kubeconfig(copy);
    REQUIRE(config);
    CHECK(config->origin.to_string() == "https://127.0.0.1:7443");
    CHECK(config->tls.ca_pem == "an authority\n");
    CHECK(config->bearer_token == "abc");
  }
  CHECK(!exists(data.node_kubeconfig()));
  CHECK(!exists(data.tokens()));
}

TEST_CASE("a data folder stays with the kind of plane that it began with") {
  TempFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0711) == 0);
  REQUIRE(write_file_atomically(folder.path() + "/ca.pem", "an authority\n"));
  REQUIRE(write_file_atomically(folder.path() + "/foreign", foreign_kubeconfig));
  const DataFolder embedded{folder.path() + "/embedded"}, foreign{folder.path() + "/foreign-data"};
  for (const DataFolder& data : {embedded, foreign}) REQUIRE(prepare(data));
  REQUIRE(ensure_credentials(embedded, {}, ""));
  REQUIRE(ensure_credentials(foreign, {}, folder.path() + "/foreign"));
  CHECK(ensure_credentials(embedded, {}, folder.path() + "/foreign").error().code == ErrorCode::conflict);
  CHECK(ensure_credentials(foreign, {}, "").error().code == ErrorCode::conflict);
  CHECK(ensure_credentials(foreign, {}, folder.path() + "/foreign"));
}

TEST_CASE("two supervisors cannot hold one data folder") {
  TempFolder folder;
  const DataFolder data{folder.path()};
  const auto first = lock(data);
  REQUIRE(first);
  CHECK(lock(data).error().code == ErrorCode::conflict);
}

}  // namespace
}  // namespace slipway::app
