// SPDX-License-Identifier: Apache-2.0
// The Node object and its Lease. Pure makers; the agent writes them.
#pragma once

#include <string>

#include "base/clock.h"
#include "cluster/node/agent.h"

namespace slipway::cluster {

struct Machine {
  std::int64_t cpus = 1, memory_bytes = 0, disk_bytes = 0;
  std::string kernel, hostname, machine_id, boot_id, os_image, runtime;
};
Machine read_machine(const std::string& data_folder);

Json make_node(const NodeConfig& config);                                     // metadata and spec, for create
Json make_node_status(const NodeConfig& config, const Machine& machine, const Json& old, Wall now);
Json make_lease(const NodeConfig& config, Wall now);

}  // namespace slipway::cluster
