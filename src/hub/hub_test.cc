// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "base/files.h"
#include "hub/attempts.h"
#include "net/client.h"
#include "net/server.h"
#include "wire/plan.h"

namespace slipway::hub {
namespace {

TEST_CASE("a report's cases are counted once each, in the dialects of common tools") {
  const auto summary = parse_junit(R"X(<?xml version="1.0"?><!-- x --><testsuites><testsuite name="a" tests="9">
    <testcase classname="c" name="good"/><testcase classname="c" name="bad &lt;1&gt;"><failure message="no">text</failure><error/></testcase>
    <testcase name="odd"><error message="boom"/><system-out><![CDATA[<failure>]]></system-out></testcase>
    <testcase name="later"><skipped/></testcase></testsuite></testsuites>)X").value();
  CHECK(summary.tests == 4);
  CHECK(summary.failures == 1);
  CHECK(summary.errors == 1);
  CHECK(summary.skipped == 1);
  CHECK(summary.failing.at(0).name == "c.bad <1>");
  CHECK(summary.failing.at(1).message == "boom");
}

TEST_CASE("what is no report, is cut off, nested without end or declares entities is refused") {
  for (const std::string& bad : {std::string("<html></html>"), std::string("<testsuite>"), std::string("<testsuite></testsuites>"), std::string("<testsuite a=b/>"),
                                 std::string("<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite/>"), std::string("{}")})
    CHECK(!parse_junit(bad));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "<testsuite>";
  CHECK(parse_junit(deep).error().code == ErrorCode::too_large);
}

struct Fixture {
  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  hub::Logs logs{folder.path() + "/logs", *executor};
  std::unique_ptr<Attempts> attempts = std::make_unique<Attempts>(folder.path() + "/attempts", *blobs, logs, *executor);
  std::unique_ptr<net::Server> server = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [this](std::shared_ptr<net::Exchange> e) { attempts->handle(std::move(e)); }}}).value();
  std::unique_ptr<net::Client> client = net::make_client({false, "127.0.0.1", server->port(0)}).value();
  ~Fixture() {
    server.reset();
    attempts.reset();
  }
  net::Response call(std::string method, std::string target, std::string token, std::string body = {}) {
    return client->send({.method = std::move(method), .target = std::move(target), .headers = {{"Authorization", "Bearer " + token}}, .body = std::move(body)}).value();
  }
};

TEST_CASE("an attempt reads its own workspaces and brings changes and reports; nothing else is open to it") {
  Fixture f;
  const auto mine = f.blobs->put("mine").value(), other = f.blobs->put("other").value();
  const std::string token = f.attempts->open("run-1", {mine.value}).value(), second = f.attempts->open("run-2", {}).value();
  CHECK(f.call("GET", wire::blob_path("run-1", mine.value), token).body == "mine");
  CHECK(f.call("GET", wire::blob_path("run-1", other.value), token).status == 403);
  CHECK(f.call("GET", wire::blob_path("run-1", mine.value), second).status == 401);
  CHECK(f.call("GET", wire::blob_path("run-9", mine.value), token).status == 401);
  CHECK(f.call("PUT", wire::workspace_path("run-1", "source"), token, "changed").status == 200);
  CHECK(f.call("PUT", wire::report_path("run-1", "a.xml"), token, "<testsuite><testcase name=\"t\"><failure/></testcase></testsuite>").status == 200);
  CHECK(f.call("PUT", wire::report_path("run-1", "..%2F..%2Fx"), token, "x").status == 404);
  const auto outcome = f.attempts->outcome("run-1").value();
  CHECK(f.blobs->get(store::Digest::parse(outcome.changes.at("source")).value(), 100).value() == "changed");
  CHECK(outcome.tests.failing.at(0).name == "t");
}

TEST_CASE("a capability ends with its attempt; the token is not kept") {
  Fixture f;
  const std::string token = f.attempts->open("run-1", {}).value();
  CHECK(read_file(f.folder.path() + "/attempts/run-1/attempt.json").value().find(token) == std::string::npos);
  REQUIRE(f.attempts->close("run-1"));
  CHECK(f.call("PUT", wire::report_path("run-1", "a.xml"), token, "x").status == 401);
}

TEST_CASE("a termination message fits its limit; what did not fit is named") {
  wire::Termination big{0, "", {{"a", std::string(3000, 'x')}, {"b", std::string(3000, 'y')}}, ""};
  CHECK(big.to_text().size() <= wire::max_termination_message);
  const auto back = wire::Termination::parse(big.to_text()).value();
  CHECK(back.results.contains("a"));
  CHECK(back.message.find("left out: b") != std::string::npos);
}

}  // namespace
}  // namespace slipway::hub
