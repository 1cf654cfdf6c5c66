// SPDX-License-Identifier: Apache-2.0
#include "hub/logs.h"

#include <doctest/doctest.h>

using namespace slipway;
using hub::LogName;
using hub::Logs;

namespace {

const LogName log{"attempt-1", "build"};

std::string numbered(int from, int to) {
  std::string out;
  for (int i = from; i < to; ++i) out += "line " + std::to_string(i) + "\n";
  return out;
}

}  // namespace

TEST_CASE("a piece that is sent again changes nothing, a hole is refused with the known end") {
  const TempFolder folder;
  const auto executor = make_system_executor();
  Logs logs(folder.path(), *executor);
  std::uint64_t end = 0;
  CHECK(*logs.append(log, 0, "one\n", end) == 4);
  CHECK(*logs.append(log, 0, "one\n", end) == 4);
  CHECK(*logs.append(log, 2, "e\ntwo\n", end) == 8);
  const auto hole = logs.append(log, 20, "x", end);
  REQUIRE(!hole);
  CHECK(hole.error().code == ErrorCode::conflict);
  CHECK(end == 8);
  CHECK(*logs.read(log, 0, 100) == "one\ntwo\n");
}

TEST_CASE("what was acknowledged is there for the next process, and the index is made anew where it is lost") {
  const TempFolder folder;
  const auto executor = make_system_executor();
  std::uint64_t end = 0;
  {
    Logs logs(folder.path(), *executor);
    REQUIRE(logs.append(log, 0, numbered(0, 2500), end));
  }
  REQUIRE(remove_tree(folder.path() + "/attempt-1/build.lines"));
  Logs logs(folder.path(), *executor);
  const auto offset = logs.line_offset(log, 2100);
  REQUIRE(offset);
  CHECK(logs.read(log, *offset, 9)->starts_with("line 2100"));
  CHECK(*logs.line_offset(log, 9999) == end);
  CHECK(*logs.append(log, end, "more\n", end) == end);
}

TEST_CASE("the last lines are found from the end, with or without a final newline") {
  const TempFolder folder;
  const auto executor = make_system_executor();
  Logs logs(folder.path(), *executor);
  std::uint64_t end = 0;
  REQUIRE(logs.append(log, 0, "a\nb\nc\n", end));
  CHECK(*logs.tail_offset(log, 1) == 4);
  CHECK(*logs.tail_offset(log, 2) == 2);
  CHECK(*logs.tail_offset(log, 10) == 0);
  REQUIRE(logs.append(log, 6, "d", end));
  CHECK(*logs.tail_offset(log, 1) == 6);
}

TEST_CASE("a follower wakes when something comes and when the log is finished") {
  const TempFolder folder;
  const auto executor = make_system_executor();
  Logs logs(folder.path(), *executor);
  bool woken = false;
  auto follower = executor->spawn("follow", [&](const std::stop_token& stop) { woken = logs.wait(log, 0, std::chrono::seconds(30), stop); });
  std::uint64_t end = 0;
  REQUIRE(logs.append(log, 0, "x", end));
  follower->join();
  CHECK(woken);
  REQUIRE(logs.finish(log));
  CHECK(logs.wait(log, 1, std::chrono::seconds(30), {}));
  CHECK(logs.is_finished(log));
}

TEST_CASE("names that could leave the folder are refused") {
  const TempFolder folder;
  const auto executor = make_system_executor();
  Logs logs(folder.path(), *executor);
  std::uint64_t end = 0;
  CHECK(!logs.append({"..", "x"}, 0, "x", end));
  CHECK(!logs.append({"a/b", "x"}, 0, "x", end));
  CHECK(!logs.append({"a", "../x"}, 0, "x", end));
}

TEST_CASE("a log beyond its limit is refused and keeps what it has") {
  const TempFolder folder;
  const auto executor = make_system_executor();
  Logs logs(folder.path(), *executor);
  std::uint64_t end = 0;
  const std::string piece(Logs::max_log, 'x');
  REQUIRE(logs.append(log, 0, piece, end));
  CHECK(logs.append(log, end, "y", end).error().code == ErrorCode::too_large);
  CHECK(*logs.size(log) == Logs::max_log);
}
