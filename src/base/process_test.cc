// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

namespace slipway {
namespace {

TEST_CASE("arguments reach the program as they are: no shell reads them") {
  const auto done = run({.arguments = {"printf", "%s|", "$(id)", "a;b", "-x"}}).value();
  CHECK(done.output == "$(id)|a;b|-x|");
  CHECK(done.ok());
}

TEST_CASE("stdin is fed, also where it is larger than a pipe") {
  const std::string text(300'000, 'x');
  CHECK(run({.arguments = {"cat"}, .input = text}).value().output == text);
  CHECK(run({.arguments = {"true"}, .input = text}).value().ok());
}

TEST_CASE("the exit code is the program's, 128 and the signal where one ended it") {
  CHECK(run({.arguments = {"sh", "-c", "exit 7"}}).value().exit_code == 7);
  CHECK(run({.arguments = {"sh", "-c", "kill -9 $$"}}).value().exit_code == 137);
}

TEST_CASE("a program that is not there, takes too long or writes too much is an error") {
  CHECK(run({.arguments = {"no-such-program"}}).error().code == ErrorCode::not_found);
  CHECK(run({.arguments = {"/nowhere/program"}}).error().code == ErrorCode::not_found);
  CHECK(run({.arguments = {"sleep", "60"}, .timeout = std::chrono::milliseconds(20)}).error().code == ErrorCode::timeout);
  CHECK(run({.arguments = {"yes"}, .output_limit = 1000}).error().code == ErrorCode::too_large);
}

TEST_CASE("no descriptor leaks into a child but those that are named") {
  const UniqueFd open(::open("/dev/null", O_RDONLY));  // without CLOEXEC
  const std::string test = "test -e /proc/self/fd/" + std::to_string(open.get());
  CHECK(!run({.arguments = {"sh", "-c", test}}).value().ok());
  CHECK(run({.arguments = {"sh", "-c", test}, .keep_descriptors = {open.get()}}).value().ok());
}

TEST_CASE("the environment is the given one, or ours with additions") {
  ::setenv("SLIPWAY_TEST_A", "outer", 1);
  CHECK(run({.arguments = {"/usr/bin/env"}, .environment = {"B=2"}, .inherit_environment = false}).value().output == "B=2\n");
  const auto inherited = run({.arguments = {"sh", "-c", "echo $SLIPWAY_TEST_A"}, .environment = {"SLIPWAY_TEST_A=inner"}}).value();
  CHECK(inherited.output == "inner\n");
}

TEST_CASE("a failed run_ok says how it ended and why") {
  const auto result = run_ok({.arguments = {"sh", "-c", "echo first >&2; echo no such ref >&2; exit 3"}});
  CHECK(result.error().message == "sh ended with 3: no such ref");
}

}  // namespace
}  // namespace slipway
