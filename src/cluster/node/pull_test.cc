// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/pull.h"

#include <doctest/doctest.h>

#include "base/strings.h"

namespace slipway::cluster {
namespace {

using text::Json;

PullPolicy policy(std::string_view image, std::string_view named = "") { return pull_policy(Json::object({{"image", image}, {"imagePullPolicy", named}})); }

TEST_CASE("the policy is Always for latest and no tag, IfNotPresent for other tags and digests") {
  CHECK(policy("app") == PullPolicy::always);
  CHECK(policy("app:latest") == PullPolicy::always);
  CHECK(policy("reg:5000/app") == PullPolicy::always);
  CHECK(policy("reg:5000/app:v1") == PullPolicy::if_not_present);
  CHECK(policy("app@sha256:aa") == PullPolicy::if_not_present);
  CHECK(policy("app", "IfNotPresent") == PullPolicy::if_not_present);
  CHECK(policy("app:v1", "Always") == PullPolicy::always);
  CHECK(policy("app:v1", "Never") == PullPolicy::never);
}

TEST_CASE("a container without its image waits with the kubelet's reasons and words") {
  const Error refused{ErrorCode::unauthenticated, "denied", {}}, bad{ErrorCode::invalid, "invalid reference format: x", {}};
  const auto fresh = pull_problem("app:v1", PullPolicy::if_not_present, refused, Attempt::just_failed);
  CHECK(fresh.reason == "ErrImagePull");
  CHECK(fresh.message == "denied");
  const auto later = pull_problem("app:v1", PullPolicy::if_not_present, refused, Attempt::waits);
  CHECK(later.reason == "ImagePullBackOff");
  CHECK(later.message == "Back-off pulling image \"app:v1\": ErrImagePull: denied");
  CHECK(pull_problem("app:v1", PullPolicy::never, refused, Attempt::waits).message == "Container image \"app:v1\" is not present with pull policy of Never");
  CHECK(pull_problem("A", PullPolicy::never, bad, Attempt::waits).reason == "InvalidImageName");
  // A manifest that is damaged is not a bad name.
  CHECK(pull_problem("app:v1", PullPolicy::always, {ErrorCode::invalid, "the digest is another", {}}, Attempt::just_failed).reason == "ErrImagePull");
}

TEST_CASE("pulls are tried again after ten seconds, doubling to five minutes") {
  CHECK(pull_pause(1) == std::chrono::seconds(10));
  CHECK(pull_pause(2) == std::chrono::seconds(20));
  CHECK(pull_pause(5) == std::chrono::seconds(160));
  CHECK(pull_pause(6) == std::chrono::seconds(300));
  CHECK(pull_pause(1000) == std::chrono::seconds(300));
}

TEST_CASE("a docker configuration is found in a secret of each type, and in no other") {
  const auto secret = [](std::string_view key, std::string_view text) { return Json::object({{"data", Json::object({{key, to_base64(text)}})}}); };
  CHECK(docker_config_of(secret(".dockerconfigjson", "{}")) == "{}");
  CHECK(docker_config_of(secret(".dockercfg", "{}")) == "{}");
  CHECK(docker_config_of(secret("config.json", "{}")) == "{}");
  CHECK(!docker_config_of(secret("password", "{}")));
}

}  // namespace
}  // namespace slipway::cluster
