// SPDX-License-Identifier: Apache-2.0
// Bearer tokens: random ones kept in a file by their hash, and service account tokens, which are signed (ES256).
//
// A service account token is accepted only with algorithm ES256, our issuer, a wanted audience, inside of its time and
// with a signature of our key; its header chooses neither key nor algorithm (T7).
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "auth/identity.h"
#include "base/clock.h"
#include "base/result.h"

namespace slipway::auth {

std::string make_token();  // 256 random bits, base64url

// A file of lines "sha256-hex user uid group,group"; a token itself is never written. Any thread.
class TokenFile final {
 public:
  static Result<std::unique_ptr<TokenFile>> open(std::string path);  // where there is no file: empty
  Result<> add(std::string_view token, const Identity& identity);    // durable on return
  Result<> remove_user(std::string_view user);
  Result<Identity> authenticate(std::string_view token) const;       // unauthenticated

 private:
  explicit TokenFile(std::string path) : path_(std::move(path)) {}
  Result<> save() const;
  const std::string path_;
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, Identity>> tokens_;
};

constexpr std::string_view service_account_issuer = "https://kubernetes.default.svc.cluster.local";

struct AccountToken {
  std::string ns, account, account_uid;
  std::string pod, pod_uid;  // where it is bound to a pod
  std::vector<std::string> audiences;  // none given to mint(): the issuer
  std::chrono::system_clock::time_point expires;
};

class AccountTokens final {
 public:
  static Result<std::unique_ptr<AccountTokens>> open(std::string_view private_key_pem);
  ~AccountTokens();
  Result<std::string> mint(const AccountToken& token, Wall now) const;
  // unauthenticated, with the reason. `audience`: one that the token must have.
  Result<AccountToken> verify(std::string_view token, Wall now, std::string_view audience = service_account_issuer) const;

 private:
  struct Key;
  explicit AccountTokens(std::unique_ptr<Key> key);
  std::unique_ptr<Key> key_;
};

}  // namespace slipway::auth
