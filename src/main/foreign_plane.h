// SPDX-License-Identifier: Apache-2.0
// What a plane that is not the embedded one needs before Slipway works on it: roles, and the kinds being served.
// docs/decisions/0008 says why these.
#pragma once

#include "base/executor.h"
#include "kube/client.h"

namespace slipway::app {

// The roles: nodes may carry out image builds and read where Services lead, everybody may read where serve listens.
std::vector<kube::Json> plane_roles();
Result<> apply_roles(kube::Client& client);
// A definition is served some time after it was accepted.
Result<> wait_until_served(kube::Client& client, Executor& executor, std::stop_token stop);
// The authority that signs the client certificates of this plane, among them that of the API server itself.
Result<std::string> client_authority(kube::Client& client, Executor& executor, std::stop_token stop);
// The node's Service network is fixed; a plane with another one is refused.
Result<> check_service_network(kube::Client& client, Executor& executor, std::stop_token stop);

}  // namespace slipway::app
