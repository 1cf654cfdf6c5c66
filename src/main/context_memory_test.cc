// SPDX-License-Identifier: Apache-2.0
#include "main/context_memory.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "base/files.h"

namespace slipway::app {
namespace {

const auto all = [](const std::string&) { return true; };
const auto blob = store::Digest::parse("sha256:" + std::string(64, 'a')).value();

struct Place {
  TempFolder folder;
  std::string context = folder.path() + "/context";
  ContextMemory memory{folder.path() + "/home", context};
  Place() {
    REQUIRE(make_folders(context + "/sub").has_value());
    write("a", "1");
    write("sub/b", "2");
  }
  void write(const std::string& path, std::string_view text) { REQUIRE(write_file_atomically(context + "/" + path, text, 0644).has_value()); }
  ContextMemory::State look() const { return ContextMemory::look(context, all).value(); }
  // What was kept here counts as kept long after the last change.
  void keep() const { memory.keep({look().fingerprint, true}, blob); }
};

TEST_CASE("a folder in which nothing changed is known again") {
  Place here;
  CHECK_FALSE(here.memory.recall(here.look()));
  here.keep();
  CHECK(here.memory.recall(here.look()) == blob);
}

TEST_CASE("another content, mode, name or file makes it another folder") {
  const auto after = [](const std::function<void(Place&)>& change) {
    Place here;
    here.keep();
    change(here);
    return here.memory.recall(here.look());
  };
  CHECK_FALSE(after([](Place& p) { p.write("sub/b", "3"); }));
  CHECK_FALSE(after([](Place& p) { p.write("c", ""); }));
  CHECK_FALSE(after([](Place& p) { ::chmod((p.context + "/a").c_str(), 0755); }));
  CHECK_FALSE(after([](Place& p) { ::rename((p.context + "/a").c_str(), (p.context + "/z").c_str()); }));
}

TEST_CASE("what does not go along may change") {
  Place here;
  const auto look = [&] { return ContextMemory::look(here.context, [](const std::string& path) { return path != "a" && path != "log"; }).value(); };
  here.memory.keep({look().fingerprint, true}, blob);
  here.write("a", "other");
  here.write("log", "more");
  CHECK(here.memory.recall(look()) == blob);
}

TEST_CASE("a file written at the moment of the look may change again unseen: nothing is kept") {
  Place here;
  here.write("a", "now");
  const auto state = here.look();
  CHECK_FALSE(state.is_settled);
  here.memory.keep(state, blob);
  CHECK_FALSE(here.memory.recall(state));
}

}  // namespace
}  // namespace slipway::app
