// SPDX-License-Identifier: Apache-2.0
// `slipway why app/NAME`: the whole chain in one answer: commit -> run and step -> images -> release -> objects -> pods
// -> reason -> rollback. gather() reads, explain() is pure.
#pragma once

#include <string>
#include <vector>

#include "kube/client.h"

namespace slipway::deliver {

using text::Json;

struct Facts {
  Json app;
  std::vector<Json> releases, runs, task_runs, deployments, replica_sets, pods;
};

struct Link {
  std::string what;  // "commit", "run", "step", "image", "release", "object", "pod", "rollback", "drift"
  std::string text;
};

Result<Facts> gather(kube::Client& client, const kube::ObjectKey& app);
std::vector<Link> explain(const Facts& facts);
std::string to_text(const std::vector<Link>& chain);
Json to_json(const std::vector<Link>& chain);

}  // namespace slipway::deliver
