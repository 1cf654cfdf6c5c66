// SPDX-License-Identifier: Apache-2.0
#include "store/objects.h"

#include <doctest/doctest.h>

#include <map>

#include "base/files.h"
#include "base/random.h"
#include "store/recording_file.h"

namespace slipway::store {
namespace {

ObjectStoreConfig small(std::uint64_t segment = 4096) { return {.folder = "/s", .segment_bytes = segment}; }

Write put(std::string key, std::string value, std::optional<std::uint64_t> expected = {}) {
  return {Change::put, std::move(key), std::move(value), std::string::npos, expected};
}

std::map<std::string, std::string> contents(const ObjectStore& store) {
  std::map<std::string, std::string> out;
  store.pin().objects.scan("", [&](const std::string& key, const ObjectPointer& object) {
    out[key] = object->value;
    return true;
  });
  return out;
}

struct Fixture {
  std::unique_ptr<Executor> executor = make_system_executor();
  RecordingFiles files;
  std::unique_ptr<ObjectStore> store;
  void open(ObjectStoreConfig config = small()) {
    store.reset();
    auto opened = ObjectStore::open(files, *executor, std::move(config));
    REQUIRE_MESSAGE(opened.has_value(), opened.error().to_string());
    store = std::move(*opened);
  }
};

TEST_CASE("a write is conditional on the revision that its key has") {
  Fixture f;
  f.open();
  const auto first = f.store->write(put("a", "1", 0));
  REQUIRE(first);
  CHECK(f.store->write(put("a", "2", 0)).error().code == ErrorCode::already_exists);
  CHECK(f.store->write(put("a", "2", (*first)->revision + 7)).error().code == ErrorCode::conflict);
  CHECK(f.store->write(put("b", "2", 5)).error().code == ErrorCode::not_found);
  const auto second = f.store->write(put("a", "2", (*first)->revision));
  REQUIRE(second);
  CHECK((*second)->revision > (*first)->revision);
  CHECK(contents(*f.store) == std::map<std::string, std::string>{{"a", "2"}});
}

TEST_CASE("the new revision is written into the value where the writer asks for it") {
  Fixture f;
  f.open();
  Write write = put("a", R"({"rv":""})");
  write.revision_at = 7;
  CHECK((*f.store->write(write))->value == R"({"rv":"1"})");
}

TEST_CASE("a watch gets the history after its revision, then what happens, and nothing of other prefixes") {
  Fixture f;
  f.open();
  (void)f.store->write(put("pods/a", "1"));
  (void)f.store->write(put("pods/b", "1"));
  std::vector<std::string> seen;
  const auto watch = f.store->watch("pods/", 1, [&](const Event& event) {
    seen.push_back(event.key + (event.change == Change::remove ? "-" : "+") + std::to_string(event.revision) +
                   (event.previous ? "!" : ""));
  });
  REQUIRE(watch);
  (void)f.store->write(put("nodes/a", "1"));
  (void)f.store->write({Change::remove, "pods/a", "gone"});
  CHECK(seen == std::vector<std::string>{"pods/b+2", "pods/a-4!"});
}

TEST_CASE("a watch from before the kept history is expired") {
  Fixture f;
  auto config = small();
  config.history_events = 2;
  f.open(config);
  for (int i = 0; i < 5; ++i) (void)f.store->write(put("a", std::to_string(i)));
  CHECK(f.store->watch("", 2, [](const Event&) {}).error().code == ErrorCode::expired);
  CHECK(f.store->watch("", 3, [](const Event&) {}).has_value());
  CHECK(f.store->oldest_revision() == 3);
}

TEST_CASE("state, revision and history come back after a restart, with and without a snapshot") {
  Fixture f;
  f.open();
  for (int i = 0; i < 40; ++i) (void)f.store->write(put("k" + std::to_string(i % 7), std::string(300, 'x') + std::to_string(i)));
  const auto before = contents(*f.store);
  f.open();
  CHECK(contents(*f.store) == before);
  CHECK(f.store->pin().revision == 40);
  CHECK(f.store->watch("", 5, [](const Event&) {}).has_value());
  REQUIRE(f.store->snapshot());
  (void)f.store->write(put("after", "1"));
  f.open();
  CHECK(contents(*f.store).size() == before.size() + 1);
  CHECK((*f.store->write(put("next", "1")))->revision == 42);
  CHECK(f.store->watch("", 5, [](const Event&) {}).error().code == ErrorCode::expired);
}

// F1, F2: what was acknowledged is found, in order, whatever the disk kept of the rest.
TEST_CASE("after a power cut at any operation the state is that of a prefix that holds all acknowledged writes") {
  Fixture f;
  std::vector<std::size_t> acknowledged_at;  // operations when write i was acknowledged
  std::vector<std::map<std::string, std::string>> states{{}};
  f.open(small(2048));
  SeededRandom random(3);
  for (int i = 0; i < 24; ++i) {
    const std::string key = "k" + std::to_string(random.below(5));
    const bool removal = states.back().contains(key) && random.below(4) == 0;
    auto next = states.back();
    if (removal) next.erase(key);
    else next[key] = std::string(1 + random.below(900), static_cast<char>('a' + i));
    const auto result = removal ? f.store->write({Change::remove, key, "gone"}) : f.store->write(put(key, next[key]));
    REQUIRE(result);
    acknowledged_at.push_back(f.files.operations());
    states.push_back(next);
    if (i == 9 || i == 17) REQUIRE(f.store->snapshot());
    if (i == 13) f.open(small(2048));
  }
  f.store.reset();
  using enum RecordingFiles::Unsynced;
  for (std::size_t cut = 0; cut <= f.files.operations(); ++cut)
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const auto image = f.files.image(cut, seed == 0 ? lost : seed == 1 ? kept : torn, seed * 1000 + cut);
      std::size_t least = 0;
      while (least < acknowledged_at.size() && acknowledged_at[least] <= cut) ++least;
      {
        const auto store = ObjectStore::open(*image, *f.executor, small(2048));
        REQUIRE_MESSAGE(store.has_value(), "cut " << cut << " seed " << seed << ": " << store.error().to_string());
        const std::uint64_t revision = (*store)->pin().revision;
        CHECK(revision >= least);
        REQUIRE(revision < states.size());
        CHECK(contents(**store) == states[revision]);
        REQUIRE((*store)->write(put("after", "1")).has_value());
        least = revision + 1;
      }
      // A second power cut right after: what was served and written above is still there.
      const auto second = image->image(image->operations(), lost, seed);
      const auto store = ObjectStore::open(*second, *f.executor, small(2048));
      REQUIRE_MESSAGE(store.has_value(), "cut " << cut << " seed " << seed << ": " << store.error().to_string());
      CHECK((*store)->pin().revision == least);
    }
}

// F5
TEST_CASE("a changed bit in log or snapshot is an error that names file and offset, never another state") {
  Fixture f;
  f.open(small(4096));
  for (int i = 0; i < 6; ++i) (void)f.store->write(put("k" + std::to_string(i), std::string(200, 'v')));
  REQUIRE(f.store->snapshot());
  for (int i = 0; i < 4; ++i) (void)f.store->write(put("m" + std::to_string(i), std::string(200, 'w')));
  const auto expected = contents(*f.store);
  f.store.reset();
  std::size_t detected = 0;
  for (const auto& [path, bytes] : f.files.contents()) {
    if (path.find("spare") != std::string::npos) continue;
    for (std::size_t offset = 0; offset < bytes.size(); offset += path.find("log-") == std::string::npos ? 1 : 3) {
      const auto image = f.files.image(f.files.operations(), RecordingFiles::Unsynced::kept, 1);
      image->flip(path, offset);
      const auto store = ObjectStore::open(*image, *f.executor, small(4096));
      if (store) {
        CHECK(contents(**store) == expected);  // the bit was in space that is not used
      } else {
        ++detected;
        CHECK(store.error().message.find(path + ": offset ") != std::string::npos);
      }
    }
  }
  CHECK(detected > 1000);
}

// F3
TEST_CASE("after the first failed sync no write is acknowledged and the failure is told once") {
  Fixture f;
  int told = 0;
  auto config = small();
  config.on_failure = [&](const Error&) { ++told; };
  f.open(config);
  REQUIRE(f.store->write(put("a", "1")));
  std::size_t syncs = 0;
  f.files.fault = [&](std::string_view operation, const std::string&) -> Result<> {
    if (operation != "sync") return {};
    ++syncs;
    return fail(ErrorCode::internal, "Input/output error");
  };
  CHECK(f.store->write(put("b", "1")).error().code == ErrorCode::unavailable);
  CHECK(f.store->write(put("c", "1")).error().code == ErrorCode::unavailable);
  CHECK(syncs == 1);
  CHECK(told == 1);
  CHECK(contents(*f.store) == std::map<std::string, std::string>{{"a", "1"}});
}

// F4
TEST_CASE("a full disk refuses writes, lets removals through, and heals by itself") {
  Fixture f;
  f.open(small(2048));
  REQUIRE(f.store->write(put("a", std::string(800, 'a'))));
  f.files.fault = [&](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "allocate") return fail(ErrorCode::no_space, "no space for " + path);
    return {};
  };
  REQUIRE(f.store->write(put("b", std::string(500, 'b'))));
  CHECK(f.store->write(put("c", std::string(900, 'c'))).error().code == ErrorCode::no_space);
  CHECK(f.store->write({Change::remove, "a", std::string(900, 'a')}).has_value());
  CHECK(contents(*f.store).size() == 1);
  f.files.fault = nullptr;
  CHECK(f.store->write(put("c", std::string(1500, 'c'))).has_value());
  f.open(small(2048));
  CHECK(contents(*f.store).size() == 2);
}

}  // namespace
}  // namespace slipway::store
