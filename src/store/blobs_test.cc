// SPDX-License-Identifier: Apache-2.0
#include "store/blobs.h"

#include <doctest/doctest.h>

#include "base/files.h"

namespace slipway::store {
namespace {

using std::chrono::seconds;

TEST_CASE("a blob is read back by its digest, whole and in pieces") {
  TempFolder folder;
  const auto store = BlobStore::open_folder(folder.path()).value();
  const Digest digest = store->put("hello").value();
  CHECK(digest.value == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  CHECK(store->get(digest, 5).value() == "hello");
  CHECK(store->get(digest, 4).error().code == ErrorCode::too_large);
  CHECK(store->open(digest).value()->read_at(3, 100).value() == "lo");
  CHECK(store->get(Digest::of("other"), 5).error().code == ErrorCode::not_found);
}

TEST_CASE("a blob with another digest than expected, or without a commit, leaves nothing") {
  TempFolder folder;
  const auto store = BlobStore::open_folder(folder.path()).value();
  {
    auto writer = store->create().value();
    REQUIRE(writer->write("hello"));
    const Digest other = Digest::of("other");
    CHECK(writer->commit(&other).error().code == ErrorCode::invalid);
    auto dropped = store->create().value();
    REQUIRE(dropped->write("hello"));
  }
  CHECK(!store->has(Digest::of("hello")));
  CHECK(list_folder(folder.path() + "/tmp").value().empty());
}

TEST_CASE("temporary files of a process that died are removed at open, those of one that lives stay") {
  TempFolder folder;
  (void)BlobStore::open_folder(folder.path()).value();
  REQUIRE(write_file_atomically(folder.path() + "/tmp/999999999-left", "x"));
  REQUIRE(write_file_atomically(folder.path() + "/tmp/1-in-use", "x"));
  (void)BlobStore::open_folder(folder.path()).value();
  CHECK(list_folder(folder.path() + "/tmp").value() == std::vector<std::string>{"1-in-use"});
}

TEST_CASE("collect keeps roots, leased and young blobs, and only the owner collects") {
  TempFolder folder;
  const auto store = BlobStore::open_folder(folder.path()).value();
  const auto other = BlobStore::open_folder(folder.path()).value();
  const Digest root = store->put("root").value(), leased = store->put("leased").value(), loose = store->put("loose").value();
  REQUIRE(store->lease("up/../load 1\n", leased, seconds(100)));
  const auto is_root = [&](const Digest& digest) { return digest == root; };
  CHECK(other->collect(is_root, seconds(-10)).error().code == ErrorCode::forbidden);
  CHECK(store->collect(is_root, seconds(100)).value().blobs == 0);
  CHECK(store->collect(is_root, seconds(-10)).value().blobs == 1);
  CHECK(!store->has(loose));
  CHECK(store->has(leased));
  REQUIRE(store->release("up/../load 1\n"));
  CHECK(store->collect(is_root, seconds(-10)).value().bytes == 6);
  CHECK(store->has(root));
}

TEST_CASE("a lease ends with its time") {
  TempFolder folder;
  const auto store = BlobStore::open_folder(folder.path()).value();
  const Digest digest = store->put("x").value();
  REQUIRE(store->lease("l", digest, seconds(-1)));
  CHECK(store->collect([](const Digest&) { return false; }, seconds(-10)).value().blobs == 1);
}

TEST_CASE("a changed byte is found by verify, which names the file") {
  TempFolder folder;
  const auto store = BlobStore::open_folder(folder.path()).value();
  const Digest digest = store->put("hello").value();
  CHECK(store->verify(digest));
  REQUIRE(write_file_atomically(store->path_of(digest), "hellp"));
  CHECK(store->verify(digest).error().message.find(store->path_of(digest)) == 0);
}

TEST_CASE("what is not sha256 and 64 lower-case hex digits is no digest") {
  const std::string hex(64, 'a');
  CHECK(Digest::parse("sha256:" + hex));
  for (const std::string& bad : {hex, "sha512:" + hex, "sha256:" + hex + "a", "sha256:../" + hex.substr(3),
                                 "sha256:" + std::string(64, 'A')})
    CHECK(Digest::parse(bad).error().code == ErrorCode::invalid);
}

}  // namespace
}  // namespace slipway::store
