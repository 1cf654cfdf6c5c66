// SPDX-License-Identifier: Apache-2.0
#include "main/access.h"

#include <doctest/doctest.h>

#include <map>

namespace slipway::app {
namespace {

using kube::Json;

// A plane that knows tokens and what their owners may; it counts what it is asked.
class Reviewer final : public kube::Client {
 public:
  std::map<std::string, std::string> users;  // by token
  std::string may_do_all;
  bool away = false;
  int asked = 0;

  Result<Json> create(const kube::Resource& resource, const Json& review, std::string_view, std::string_view) override {
    ++asked;
    if (away) return fail(ErrorCode::unavailable, "away");
    if (resource.kind == "TokenReview") {
      const auto found = users.find(review["spec"]["token"].str());
      if (found == users.end()) return review.with("status", Json::object({{"authenticated", false}}));
      return review.with("status", Json::object({{"authenticated", true}, {"user", Json::object({{"username", found->second}, {"groups", Json::array({"dev"})}})}}));
    }
    return review.with("status", Json::object({{"allowed", review["spec"]["user"].as_string() == may_do_all}}));
  }
  Result<Json> get(const kube::Resource&, const kube::ObjectKey&, std::string_view) override { return unused(); }
  Result<kube::ObjectList> list(const kube::Resource&, const kube::ListOptions&) override { return unused(); }
  Result<Json> update(const kube::Resource&, const Json&, std::string_view) override { return unused(); }
  Result<Json> patch(const kube::Resource&, const kube::ObjectKey&, kube::PatchType, const Json&, const kube::PatchOptions&, std::string_view) override { return unused(); }
  Result<Json> remove(const kube::Resource&, const kube::ObjectKey&, const kube::DeleteOptions&) override { return unused(); }
  Result<> watch(const kube::Resource&, const kube::WatchOptions&, std::function<bool(const kube::WatchEvent&)>, std::stop_token) override { return unused(); }
  Result<std::string> raw(std::string_view, std::string_view, std::string_view, std::string_view) override { return unused(); }
  Result<> raw_stream(std::string_view, std::function<bool(std::string_view)>, std::stop_token) override { return unused(); }

 private:
  static std::unexpected<Error> unused() { return fail(ErrorCode::internal, "not asked here"); }
};

class SettableClock final : public Clock {
 public:
  Steady now_steady{};
  Wall now() const override { return {}; }
  Steady steady() const override { return now_steady; }
};

const auth::Attributes push{.verb = "update", .group = "slipway.dev", .resource = "repositories", .subresource = "git", .ns = "shop", .name = "web"};

TEST_CASE("on another plane its reviews decide who may, and a refusal names what was wanted") {
  Reviewer plane;
  plane.users = {{"t-ada", "ada"}, {"t-bob", "bob"}};
  plane.may_do_all = "ada";
  const SettableClock clock;
  const auto access = plane_access(plane, clock);
  CHECK(access->may("t-ada", push));
  const auto refused = access->may("t-bob", push);
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::forbidden);
  CHECK(refused.error().message == "bob may not update repositories/git.slipway.dev \"web\" in the namespace \"shop\"");
  CHECK(access->may("t-eve", push).error().code == ErrorCode::unauthenticated);
}

TEST_CASE("no token and an overlong one are refused without asking the plane") {
  Reviewer plane;
  const SettableClock clock;
  const auto access = plane_access(plane, clock);
  CHECK(access->may("", push).error().code == ErrorCode::unauthenticated);
  CHECK(access->may(std::string(17 * 1024, 'x'), push).error().code == ErrorCode::unauthenticated);
  CHECK(plane.asked == 0);
}

TEST_CASE("an answer is remembered for ten seconds, for that token and that wish alone") {
  Reviewer plane;
  plane.users = {{"t-ada", "ada"}};
  plane.may_do_all = "ada";
  SettableClock clock;
  const auto access = plane_access(plane, clock);
  REQUIRE(access->may("t-ada", push));
  REQUIRE(access->may("t-ada", push));
  CHECK(plane.asked == 2);
  auth::Attributes other = push;
  other.name = "shop";
  REQUIRE(access->may("t-ada", other));
  CHECK(plane.asked == 4);
  plane.may_do_all = "nobody";
  clock.now_steady += std::chrono::seconds(11);
  CHECK(access->may("t-ada", push).error().code == ErrorCode::forbidden);
}

TEST_CASE("a plane that does not answer lets nobody in, and is asked again") {
  Reviewer plane;
  plane.users = {{"t-ada", "ada"}};
  plane.may_do_all = "ada";
  plane.away = true;
  const SettableClock clock;
  const auto access = plane_access(plane, clock);
  CHECK(access->may("t-ada", push).error().code == ErrorCode::unavailable);
  plane.away = false;
  CHECK(access->may("t-ada", push));
}

TEST_CASE("a path that is no resource is asked about as a path") {
  const Json review = reviews::access_review({"ada", {"dev"}, ""}, {.verb = "get", .path = "/metrics"});
  CHECK(review["spec"]["nonResourceAttributes"] == Json::object({{"path", "/metrics"}, {"verb", "get"}}));
  CHECK(!review["spec"].contains("resourceAttributes"));
}

}  // namespace
}  // namespace slipway::app
