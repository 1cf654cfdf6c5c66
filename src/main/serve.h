// SPDX-License-Identifier: Apache-2.0
// serve: the API, the hub, hosted git, the registry and every controller, in one process that is never root.
#pragma once

#include <functional>

#include "main/credentials.h"
#include "main/data_folder.h"

namespace slipway::app {

struct ServeOptions {
  DataFolder data;
  Ports ports;
  std::string kubeconfig;   // of a foreign plane; empty: the embedded one
  bool beside_node = true;  // pods run on this machine and reach serve at their gateway
};

// Runs until `wait_for_stop` returns.
Result<> serve(const ServeOptions& options, const std::function<void()>& wait_for_stop);

}  // namespace slipway::app
