// SPDX-License-Identifier: Apache-2.0
// Who may use serve's own ports and the node's: git, logs, releases, metrics, the registry.
//
// On the embedded plane that is the administrator. On another plane the plane decides: a token is what its TokenReview
// says, and what its bearer may is what its SubjectAccessReview says.
#pragma once

#include <memory>

#include "auth/identity.h"
#include "auth/tokens.h"
#include "base/clock.h"
#include "kube/client.h"

namespace slipway::app {

class Access {
 public:
  virtual ~Access() = default;
  // unauthenticated or forbidden, with the reason. Any thread; may block while the plane is asked.
  virtual Result<> may(std::string_view token, const auth::Attributes& wanted) = 0;
};

std::unique_ptr<Access> embedded_access(const auth::TokenFile& tokens);
// Remembers each answer for ten seconds.
std::unique_ptr<Access> plane_access(kube::Client& client, const Clock& clock);

// Asks the plane, now.
Result<> check_access(kube::Client& client, const auth::Identity& identity, const auth::Attributes& wanted);

namespace reviews {  // pure
kube::Json token_review(std::string_view token);
Result<auth::Identity> identity_of(const kube::Json& token_review);  // unauthenticated
kube::Json access_review(const auth::Identity& identity, const auth::Attributes& wanted);
Result<> judge(const kube::Json& access_review, const auth::Identity& identity, const auth::Attributes& wanted);  // forbidden
}  // namespace reviews

}  // namespace slipway::app
