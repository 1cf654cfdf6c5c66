// SPDX-License-Identifier: Apache-2.0
#include "source/remote.h"

#include <doctest/doctest.h>

namespace slipway::source {
namespace {

TEST_CASE("an https address is taken, http only where loopback is written out") {
  const auto url = RemoteUrl::parse("https://Git.Example.com/shop/Web.git").value();
  CHECK(url.origin() == "https://git.example.com");
  CHECK(url.to_string() == "https://git.example.com/shop/Web.git");
  CHECK(RemoteUrl::parse("https://git.example.com:8443/a")->origin() == "https://git.example.com:8443");
  CHECK(RemoteUrl::parse("http://127.0.0.1:3000/a/b.git")->loopback);
  CHECK(RemoteUrl::parse("http://[::1]:3000/a")->origin() == "http://[::1]:3000");
  CHECK(RemoteUrl::parse("http://git.example.com/a").error().message.find("use https") != std::string::npos);
}

TEST_CASE("addresses that run a program, read a file, hold a password or look like an option are refused by name") {
  for (const char* bad : {"--upload-pack=/bin/sh", "-x", "ext::sh -c id", "fd::7", "git://host/a", "file:///etc", "/srv/git/a", "../a", "https://", "https:///a", "https://host", "https://host/",
                          "https://host/a b", "https://host/a\n", "https://host/../a", "https://host/a?x=1", "https://host/a#b", "https://-host/a", "https://ho$(id)st/a", "https://host:0/a",
                          "https://host:99999/a", "https://host:/a", "https://[fe80::1]/a", "https://169.254.169.254/latest", "https://0.0.0.0/a", "https://[::ffff:169.254.1.1]/a", "https://h\"/a", "ftp://h/a"})
    CHECK_MESSAGE(!RemoteUrl::parse(bad), bad);
  CHECK(RemoteUrl::parse("git@github.com:a/b.git").error().message.find("https address and a token") != std::string::npos);
  CHECK(RemoteUrl::parse("ssh://git@h/a").error().message.find("https address and a token") != std::string::npos);
  const auto with_password = RemoteUrl::parse("https://me:hunter2@h/a");
  CHECK(with_password.error().message.find("--token-file") != std::string::npos);
  CHECK(with_password.error().message.find("hunter2") == std::string::npos);
}

TEST_CASE("a name that leads to loopback or to a link-local address is refused though it looks public") {
  CHECK(use_of_address("127.9.9.9") == AddressUse::loopback);
  CHECK(use_of_address("::ffff:127.0.0.1") == AddressUse::loopback);
  CHECK(use_of_address("64:ff9b::a9fe:1") == AddressUse::refused);
  CHECK(use_of_address("10.0.0.1") == AddressUse::fine);
  RemoteUrl url = RemoteUrl::parse("https://localhost/a").value();
  CHECK(resolve_remote(url));
  url.loopback = false;  // as a name of somebody's zone that points here
  CHECK(resolve_remote(url).error().code == ErrorCode::forbidden);
}

TEST_CASE("the token goes to its own origin alone, and no redirect is followed") {
  const auto url = RemoteUrl::parse("https://git.example.com/a").value();
  const std::string text = session_configuration(url, {.username = "x", .token = "t\"\\\n[alias]"}, {"192.0.2.1", "2001:db8::1"}, "");
  CHECK(text.find("followRedirects = false") != std::string::npos);
  CHECK(text.find("[http \"https://git.example.com/\"]\n\textraHeader = \"Authorization: Basic ") != std::string::npos);
  CHECK(text.find("\n[alias]") == std::string::npos);
  CHECK(text.find("curloptResolve = \"git.example.com:443:192.0.2.1,2001:db8::1\"") != std::string::npos);
  CHECK(text.find("[protocol \"http\"]") == std::string::npos);
  CHECK(session_configuration(RemoteUrl::parse("https://[2001:db8::1]/a").value(), {}, {"2001:db8::1"}, "").find("curloptResolve") == std::string::npos);
  CHECK(remote_error(url, {.token = "hush"}, "fatal: something with hush in it").message.find("hush") == std::string::npos);
}

TEST_CASE("a forge's names of one repository are the same, those of two are not") {
  CHECK(same_repository("https://github.com/Shop/Web.git", "https://github.com/shop/web"));
  CHECK(same_repository("https://internal:3000/git/shop/web.git", "https://git.example.com/shop/web"));
  CHECK(same_repository("https://github.com/shop/web", "git@github.com:shop/web.git"));
  CHECK(!same_repository("https://github.com/shop/web", "https://github.com/shop/app"));
  CHECK(!same_repository("https://github.com/shop/web", "https://github.com/other/web"));
  CHECK(!same_repository("https://github.com/shop/web", "https://github.com/"));
}

}  // namespace
}  // namespace slipway::source
