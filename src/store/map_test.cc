// SPDX-License-Identifier: Apache-2.0
#include "store/map.h"

#include <doctest/doctest.h>

#include <map>

#include "base/random.h"

namespace slipway::store {
namespace {

std::map<std::string, int> all(const Map<int>& map) {
  std::map<std::string, int> out;
  map.scan("", [&](const std::string& key, const auto& value) {
    out[key] = *value;
    return true;
  });
  return out;
}

TEST_CASE("a map agrees with std::map after every kind of change, and a pinned copy never changes") {
  SeededRandom random(7);
  Map<int> map;
  std::map<std::string, int> model;
  std::vector<std::pair<Map<int>, std::map<std::string, int>>> pinned;
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = std::to_string(random.below(3'000));
    if (random.below(100) < (step < 12'000 ? 65U : 25U)) {
      map.set(key, std::make_shared<int>(step));
      model[key] = step;
    } else {
      CHECK(map.erase(key) == (model.erase(key) == 1));
    }
    if (step % 4'000 == 0) pinned.emplace_back(map, model);
  }
  CHECK(map.size() == model.size());
  CHECK(all(map) == model);
  for (const auto& [copy, expected] : pinned) CHECK(all(copy) == expected);
  for (const auto& [key, value] : model) CHECK(*map.get(key) == value);
  while (!model.empty()) {
    CHECK(map.erase(model.begin()->first));
    model.erase(model.begin());
  }
  CHECK(all(map).empty());
}

TEST_CASE("a scan begins at the first key that is not less") {
  Map<int> map;
  for (int i = 0; i < 500; ++i) map.set("k" + std::to_string(1000 + i), std::make_shared<int>(i));
  std::vector<std::string> seen;
  map.scan("k1337x", [&](const std::string& key, const auto&) {
    seen.push_back(key);
    return seen.size() < 2;
  });
  CHECK(seen == std::vector<std::string>{"k1338", "k1339"});
}

}  // namespace
}  // namespace slipway::store
