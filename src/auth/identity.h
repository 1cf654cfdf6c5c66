// SPDX-License-Identifier: Apache-2.0
// Who asks, and whether they may: identities and the one place that decides. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::auth {

struct Identity {
  std::string user;
  std::vector<std::string> groups;
  std::string uid;
  bool anonymous() const { return user == "system:anonymous"; }
  bool in_group(std::string_view group) const;
};

Identity anonymous();
Identity administrator();                                    // system:masters
Identity controller(std::string_view name);                  // slipway:controllers
Identity node(std::string_view name);                        // system:node:NAME
Identity service_account(std::string_view ns, std::string_view name);

// What a request wants, in the words of Kubernetes' authorization.
struct Attributes {
  std::string verb;  // get, list, watch, create, update, patch, delete, deletecollection; of a path: the method, lower case
  std::string group, resource, subresource, ns, name;
  std::string path;  // of a request that names no resource
};

struct Decision {
  bool allowed = false;
  std::string reason;
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual Decision decide(const Identity& identity, const Attributes& attributes) const = 0;
};

// The fixed roles: administrator, controller, node, and a tenant's service account inside its own namespace.
class FixedRoles final : public Authorizer {
 public:
  Decision decide(const Identity& identity, const Attributes& attributes) const override;
};

}  // namespace slipway::auth
