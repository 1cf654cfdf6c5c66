// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway {
namespace {

TEST_CASE("an atomic write replaces the whole content and leaves no temporary file") {
  TempFolder folder;
  const std::string path = folder.path() + "/state";
  REQUIRE(write_file_atomically(path, "old"));
  REQUIRE(write_file_atomically(path, "new"));
  CHECK(read_file(path).value() == "new");
  CHECK(list_folder(folder.path()).value() == std::vector<std::string>{"state"});
}

TEST_CASE("a file beyond the limit is too large, a missing one is not found, both by name") {
  TempFolder folder;
  REQUIRE(write_file_atomically(folder.path() + "/x", "12345"));
  CHECK(read_file(folder.path() + "/x", 4).error().code == ErrorCode::too_large);
  const auto missing = read_file(folder.path() + "/y");
  CHECK(missing.error().code == ErrorCode::not_found);
  CHECK(missing.error().message.find("/y: No such file") != std::string::npos);
}

TEST_CASE("no path leaves a root: dots, absolute paths and links end inside it or are refused") {
  TempFolder folder;
  const std::string inside = folder.path() + "/root";
  REQUIRE(make_folders(inside));
  REQUIRE(write_file_atomically(folder.path() + "/canary", "secret"));
  REQUIRE(::symlink("../canary", (inside + "/up").c_str()) == 0);
  REQUIRE(::symlink(("/proc/self/root" + folder.path() + "/canary").c_str(), (inside + "/magic").c_str()) == 0);
  const Root root = Root::open(inside).value();
  for (const std::string& path : {std::string("../canary"), folder.path() + "/canary", std::string("up"), std::string("magic"),
                                 std::string("a/../../canary"), std::string("up\0x", 4)}) {
    CHECK(!root.read(path, 100, Root::Links::in_root));
    CHECK(!root.read(path, 100, Root::Links::refuse));
  }
}

TEST_CASE("a link inside a root is followed in it, as in a container") {
  TempFolder folder;
  REQUIRE(write_file_atomically(folder.path() + "/passwd", "root:x:0"));
  REQUIRE(::symlink("/passwd", (folder.path() + "/link").c_str()) == 0);
  const Root root = Root::open(folder.path()).value();
  CHECK(root.read("link", 100).value() == "root:x:0");
  CHECK(!root.read("link", 100, Root::Links::refuse));
}

TEST_CASE("a device or a pipe is not read as a file") {
  TempFolder folder;
  REQUIRE(::mkfifo((folder.path() + "/pipe").c_str(), 0600) == 0);
  CHECK(!Root::open(folder.path()).value().read("pipe", 100));
}

TEST_CASE("removing a tree follows no link") {
  TempFolder folder;
  REQUIRE(write_file_atomically(folder.path() + "/keep", "x"));
  REQUIRE(make_folders(folder.path() + "/tree/a/b"));
  REQUIRE(::symlink(folder.path().c_str(), (folder.path() + "/tree/a/out").c_str()) == 0);
  REQUIRE(remove_tree(folder.path() + "/tree"));
  CHECK(!exists(folder.path() + "/tree"));
  CHECK(exists(folder.path() + "/keep"));
}

}  // namespace
}  // namespace slipway
