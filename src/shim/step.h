// SPDX-License-Identifier: Apache-2.0
// One step of a task inside its container: waits for its turn, runs, tells how it ended.
//
// The steps of a pod start together; step N runs when N-1 has left its mark in the run folder. After a failure the later
// steps are skipped (onError: continue makes a failure pass). The first step fills the workspaces, the last sends what
// changed and the test reports, also after a failure. How a step ended stands in the termination message, so that it is
// known without the hub.
// Sources: Tekton Tasks (docs/tasks.md: steps, onError, timeout, results), cmd/entrypoint.
#pragma once

#include <string>

#include "wire/plan.h"

namespace slipway::shim {

struct StepFolders {
  std::string capability = wire::capability_folder;
  std::string run = wire::run_folder;
  std::string results = wire::results_folder;
  std::string scripts = wire::scripts_folder;
  std::string termination_message = "/dev/termination-log";
};

// The container's exit code. SIGTERM and SIGINT go on to the command.
int run_step(std::size_t index, const StepFolders& folders);

}  // namespace slipway::shim
