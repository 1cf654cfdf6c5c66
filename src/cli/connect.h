// SPDX-License-Identifier: Apache-2.0
// How a command reaches the plane: --kubeconfig, else KUBECONFIG, else the kubeconfig of the data folder (C3).
#pragma once

#include "cli/command.h"
#include "kube/client.h"

namespace slipway::cli {

Result<kube::ClientConfig> connection(const Invocation& invocation);
Result<std::unique_ptr<kube::Client>> connect(const Invocation& invocation);

}  // namespace slipway::cli
