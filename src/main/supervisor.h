// SPDX-License-Identifier: Apache-2.0
// `slipway up` and `slipway down`: a small process that starts serve and node, starts them again when they end, and
// stops them. It parses nothing from outside.
#pragma once

#include <chrono>

#include "base/process.h"
#include "main/credentials.h"
#include "main/data_folder.h"

namespace slipway::app {

struct UpOptions {
  DataFolder data;
  Ports ports;
  std::string kubeconfig;       // of a foreign plane; empty: the embedded one
  std::string node_kubeconfig;  // the node's own on a foreign plane; empty: the same
  bool with_node = true;
  std::string node_name = "local";
};

// Runs until SIGTERM or SIGINT. `ready_fd` (-1: none) gets one line when everything answers, or the error.
Result<> supervise(const UpOptions& options, int ready_fd);

// Stops the supervisor of the data folder and waits for it; fine where none runs.
Result<> stop_supervisor(const DataFolder& data, std::chrono::seconds limit);

// How long to wait before the next start of a process that ended after `lived`: 100 ms doubling to 30 s, forgotten
// after a minute of life. Pure.
class RestartBackOff final {
 public:
  std::chrono::milliseconds after(std::chrono::milliseconds lived);

 private:
  std::chrono::milliseconds next_{100};
};

}  // namespace slipway::app
