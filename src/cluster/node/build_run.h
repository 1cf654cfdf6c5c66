// SPDX-License-Identifier: Apache-2.0
// RUN: one container over the layers so far; what it changed becomes a layer.
#pragma once

#include "ci/dockerfile/plan.h"
#include "cluster/node/build_context.h"

namespace slipway::cluster {

// A mount whose source is a folder or file of this machine by now.
struct ReadyMount {
  dockerfile::Mount wanted;
  std::string source;  // empty: tmpfs
  bool is_file = false;
};

// Nothing where the command changed no file. An exit code other than 0 is an error that names the command.
Result<std::optional<oci::Descriptor>> run_command(BuildPlace& place, const dockerfile::Run& run, const std::vector<std::string>& layers,
                                                   const std::vector<ReadyMount>& mounts, const std::string& label, std::stop_token stop);

}  // namespace slipway::cluster
