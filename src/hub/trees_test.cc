// SPDX-License-Identifier: Apache-2.0
#include "hub/trees.h"

#include <doctest/doctest.h>

#include <map>

#include "base/files.h"

using namespace slipway;

namespace {

struct Fixture {
  TempFolder folder;
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path()).value();

  std::string tar(const std::vector<std::pair<std::string, std::string>>& files) {
    std::string bytes;
    store::TarWriter writer([&](std::string_view piece) -> Result<> { return bytes += piece, Result<>{}; });
    for (const auto& [path, content] : files) {
      const bool is_folder = path.ends_with('/');
      REQUIRE(writer.add({.path = path, .type = is_folder ? store::TarType::folder : store::TarType::file, .size = content.size()}));
      if (!content.empty()) REQUIRE(writer.write(content));
    }
    REQUIRE(writer.finish());
    return blobs->put(bytes).value().value;
  }

  std::map<std::string, std::string> content(const store::Digest& digest) {
    std::map<std::string, std::string> out;
    auto reader = blobs->open(digest).value();
    store::TarReader tar(hub::source_of(*reader));
    for (auto entry = tar.next(); entry && *entry; entry = tar.next()) out[(*entry)->path] = (*entry)->size > 0 ? tar.read(1000).value() : "";
    return out;
  }
};

using Files = std::map<std::string, std::string>;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "later tars win, and what they delete is gone with all below it") {
  const std::string base = tar({{"a", "1"}, {"dir/", ""}, {"dir/x", "x"}, {"dir/y", "y"}, {"old/", ""}, {"old/z", "z"}});
  const std::string change = tar({{"a", "2"}, {"dir/", ""}, {"dir/.wh.x", ""}, {".wh.old", ""}, {"new", "n"}});
  const auto flat = hub::flatten(*blobs, {base, change});
  REQUIRE(flat);
  CHECK(content(*flat) == Files{{"a", "2"}, {"dir/", ""}, {"dir/y", "y"}, {"new", "n"}});
  CHECK(*hub::flatten(*blobs, {base, change}) == *flat);
}

TEST_CASE_FIXTURE(Fixture, "what was deleted and made again is there, and a folder that became a file hides what was in it") {
  const std::string base = tar({{"dir/", ""}, {"dir/x", "x"}, {"b", "1"}});
  const auto flat = hub::flatten(*blobs, {base, tar({{".wh.b", ""}, {"dir", "a file"}}), tar({{"b", "2"}})});
  REQUIRE(flat);
  CHECK(content(*flat) == Files{{"dir", "a file"}, {"b", "2"}});
}

TEST_CASE_FIXTURE(Fixture, "a list of one is its blob") {
  const std::string base = tar({{"a", "1"}});
  CHECK(hub::flatten(*blobs, {base})->value == base);
}

TEST_CASE_FIXTURE(Fixture, "a tree can be moved below a folder, never out of its root") {
  const auto digest = store::Digest::parse(tar({{"a", "1"}})).value();
  CHECK(content(*hub::moved_below(*blobs, digest, "src/app")) == Files{{"src/", ""}, {"src/app/", ""}, {"src/app/a", "1"}});
  CHECK(!hub::moved_below(*blobs, digest, "../x"));
}
