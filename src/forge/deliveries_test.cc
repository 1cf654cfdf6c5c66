// SPDX-License-Identifier: Apache-2.0
#include "forge/deliveries.h"

#include <doctest/doctest.h>

namespace slipway::forge {
namespace {

const source::RepositoryName app{"default", "app"}, other{"default", "other"};

Delivery delivery(std::string id, std::string body = {}, source::RepositoryName repository = app) {
  Delivery out{.repository = std::move(repository), .id = std::move(id), .body_digest = std::move(body)};
  out.changes = {{"refs/heads/main", "", std::string(40, 'a')}};
  return out;
}

struct Folder {
  TempFolder folder;
  ManualClock clock;
  std::unique_ptr<Deliveries> open() { return Deliveries::open(folder.path(), clock).value(); }
};

TEST_CASE("a delivery comes once: by its id, and by its body where the id is not signed") {
  Folder folder;
  const auto deliveries = folder.open();
  const std::string body(64, '1');
  CHECK(deliveries->record(delivery("1", body)));
  CHECK(deliveries->record(delivery("1", std::string(64, '2'))).error().code == ErrorCode::already_exists);
  CHECK(deliveries->record(delivery("2", body)).error().code == ErrorCode::already_exists);
  CHECK(deliveries->record(delivery("1", body, other)));
  CHECK(deliveries->record(delivery("3")));
  CHECK(deliveries->record(delivery("4")));
}

TEST_CASE("what arrived survives a crash, a line that was cut short is passed over, and replays stay refused for a day") {
  Folder folder;
  REQUIRE(folder.open()->record(delivery("1")));
  {
    const std::string path = folder.folder.path() + "/deliveries.jsonl";
    REQUIRE(write_file_atomically(path, read_file(path).value() + R"({"namespace":"default","repos)", 0600));
  }
  for (int restarts = 0; restarts < 3; ++restarts) {
    const auto again = folder.open();
    REQUIRE(again->pending(app).size() == 1);
    CHECK(again->pending(app)[0].changes[0].after == std::string(40, 'a'));
    CHECK(again->record(delivery("1")).error().code == ErrorCode::already_exists);
  }
  folder.clock.advance(std::chrono::hours(24));
  CHECK(folder.open()->record(delivery("1")));
}

TEST_CASE("what a fetch brought is pending no more, also after a restart; its id stays known") {
  Folder folder;
  {
    const auto deliveries = folder.open();
    REQUIRE(deliveries->record(delivery("1")));
    REQUIRE(deliveries->record(delivery("2")));
    deliveries->settle(app, {deliveries->pending(app)[0].sequence});
  }
  const auto again = folder.open();
  REQUIRE(again->pending(app).size() == 1);
  CHECK(again->pending(app)[0].id == "2");
  CHECK(again->record(delivery("1")).error().code == ErrorCode::already_exists);
  again->forget(app);
  CHECK(folder.open()->pending(app).empty());
}

TEST_CASE("more deliveries within a day than are remembered are refused, and the file stays small") {
  Folder folder;
  const auto deliveries = folder.open();
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < Deliveries::max_remembered + 5; ++i) {
    const auto recorded = deliveries->record(delivery(std::to_string(i)));
    accepted += recorded.has_value();
    if (!recorded) CHECK(recorded.error().code == ErrorCode::throttled);
  }
  CHECK(accepted == Deliveries::max_remembered);
  CHECK(deliveries->pending(app).size() == Deliveries::max_pending);
  CHECK(deliveries->record(delivery("x", {}, other)));
  CHECK(folder.open()->record(delivery("7")).error().code == ErrorCode::already_exists);
}

}  // namespace
}  // namespace slipway::forge
