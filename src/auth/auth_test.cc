// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "auth/certificates.h"
#include "auth/identity.h"
#include "auth/tokens.h"
#include "base/files.h"
#include "base/digest.h"
#include "base/strings.h"

namespace slipway::auth {
namespace {

using std::chrono::hours;
const Wall now = Wall(std::chrono::seconds(1'700'000'000));

TEST_CASE("a token is known again after a restart, and its file does not hold it") {
  TempFolder folder;
  const std::string path = folder.path() + "/tokens", token = make_token();
  REQUIRE(TokenFile::open(path).value()->add(token, administrator()));
  const auto file = TokenFile::open(path).value();
  CHECK(file->authenticate(token).value().user == "kubernetes-admin");
  CHECK(file->authenticate(token).value().in_group("system:masters"));
  CHECK(file->authenticate(token + "x").error().code == ErrorCode::unauthenticated);
  CHECK(read_file(path).value().find(token) == std::string::npos);
  REQUIRE(file->remove_user("kubernetes-admin"));
  CHECK(!file->authenticate(token));
}

TEST_CASE("a service account token that we signed is accepted and tells whose it is") {
  const auto tokens = AccountTokens::open(make_private_key().value()).value();
  const std::string token = tokens->mint({"shop", "builder", "u1", "p", "u2", {}, now + hours(1)}, now).value();
  const auto read = tokens->verify(token, now + std::chrono::minutes(59));
  REQUIRE(read);
  CHECK((read->ns == "shop" && read->account == "builder" && read->pod_uid == "u2"));
}

// T7
TEST_CASE("a service account token that is forged, foreign, late or for another audience is refused") {
  const auto tokens = AccountTokens::open(make_private_key().value()).value();
  const auto other = AccountTokens::open(make_private_key().value()).value();
  const AccountToken wanted{"shop", "builder", "u1", {}, {}, {}, now + hours(1)};
  const std::string good = tokens->mint(wanted, now).value();
  const auto parts = split(good, '.');
  const std::string claims(parts[1]), signature(parts[2]);
  const auto with_head = [&](std::string_view head, std::string_view end) { return to_base64url(head) + "." + claims + "." + std::string(end); };
  const auto reason = [&](std::string_view token, Wall at = now) {
    const auto result = tokens->verify(token, at);
    return result ? std::string("accepted") : result.error().message;
  };
  CHECK(reason(with_head(R"({"alg":"none"})", "")).ends_with("its algorithm is not ES256"));
  CHECK(reason(with_head(R"({"alg":"HS256"})", to_base64url(hmac_sha256("key", claims)))).ends_with("not ES256"));
  CHECK(reason(with_head(R"({"alg":"ES256","kid":"/dev/null"})", signature)).ends_with("its signature is wrong"));
  CHECK(reason(std::string(parts[0]) + "." + claims + "." + to_base64url(std::string(64, '\0'))).ends_with("signature is wrong"));
  CHECK(reason(other->mint(wanted, now).value()).ends_with("its signature is wrong"));
  CHECK(reason(good, now + hours(1)).ends_with("it has expired"));
  CHECK(reason(good, now - hours(1)).ends_with("it is not valid yet"));
  CHECK(reason("").ends_with("it is no JWT"));
  AccountToken vault = wanted;
  vault.audiences = {"vault"};
  CHECK(reason(tokens->mint(vault, now).value()).ends_with("its audience is wrong"));
}

TEST_CASE("each role may what it needs and nothing more") {
  const FixedRoles roles;
  const auto may = [&](const Identity& who, Attributes what) { return roles.decide(who, what).allowed; };
  const Attributes read_secret{"get", "", "secrets", "", "shop", "s", ""};
  CHECK(may(administrator(), read_secret));
  CHECK(may(service_account("shop", "default"), read_secret));
  CHECK(!may(service_account("bank", "default"), read_secret));
  CHECK(!may(service_account("shop", "default"), {"list", "", "secrets", "", "", "", ""}));
  CHECK(!may(service_account("shop", "default"), {"create", "", "serviceaccounts", "token", "shop", "default", ""}));
  CHECK(!may(service_account("shop", "default"), {"delete", "", "namespaces", "", "shop", "shop", ""}));
  CHECK(!may(anonymous(), read_secret));
  CHECK(may(anonymous(), {"get", "", "", "", "", "", "/livez"}));
  CHECK(!may(anonymous(), {"get", "", "", "", "", "", "/metrics"}));
  CHECK(!may(anonymous(), {"get", "", "", "", "", "", "/apis"}));
  CHECK(may(node("n1"), {"update", "", "pods", "status", "shop", "p", ""}));
  CHECK(!may(node("n1"), {"create", "apps", "deployments", "", "shop", "d", ""}));
  CHECK(!may({"nobody", {}, {}}, read_secret));
}

TEST_CASE("certificates are made for names and addresses, and a name that could change the request is refused") {
  const KeyPair authority = make_authority("slipway").value();
  const auto server = make_certificate(authority, {.common_name = "api", .names = {"localhost"}, .addresses = {"127.0.0.1", "::1"}});
  REQUIRE(server);
  CHECK(server->certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
  CHECK(public_key_sha256(server->certificate_pem).value().size() == 64);
  CHECK(expires_at(server->certificate_pem).value() > std::chrono::system_clock::now() + hours(24 * 364));
  CHECK(!make_certificate(authority, {.common_name = "api", .names = {"a,IP:10.0.0.1"}}));
}

}  // namespace
}  // namespace slipway::auth
