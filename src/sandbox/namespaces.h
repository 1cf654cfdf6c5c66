// SPDX-License-Identifier: Apache-2.0
// The namespaces that the containers of a pod share, kept by bind-mounted files instead of a pause process.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace slipway::sandbox {

struct NamespaceFiles {
  std::string network, ipc, uts;  // paths; network is empty for a pod in the host's network
};

enum class PodNetwork { own, host };

// Makes the namespaces on a thread of its own and binds them to files below `folder`. In the new network namespace
// `lo` is up; `inside` runs there (to make links) before the files appear. Fine where the files are there already.
Result<NamespaceFiles> make_namespaces(const std::string& folder, const std::string& hostname, PodNetwork network,
                                       const std::function<Result<>()>& inside = {});
NamespaceFiles namespace_files(const std::string& folder, PodNetwork network);  // their paths
bool namespaces_exist(const NamespaceFiles& files);
Result<> remove_namespaces(const std::string& folder);

// Runs `task` on a thread that is in the network namespace of that file (probes, tests).
Result<> run_in_network(const std::string& file, const std::function<Result<>()>& task);
// As above in a fresh namespace that ends with the task: for tests.
Result<> run_in_new_network(const std::function<Result<>()>& task);

}  // namespace slipway::sandbox
