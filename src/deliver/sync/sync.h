// SPDX-License-Identifier: Apache-2.0
// The App controller: from the head of a branch to a watched rollout.
//
// An app at commit C is the manifests of C with the images that C's run built. A release is an immutable stored set;
// the last healthy one comes back by itself when a newer one does not become healthy, and the one that failed is
// quarantined by its digest: a new sync does not bring it back. What people change by hand is put right and told.
// All state is in App and Release objects and the BlobStore, so that a killed process goes on where it stood.
#pragma once

#include <functional>

#include "cd/plain/render.h"
#include "desired/plan.h"
#include "kube/control.h"
#include "store/blobs.h"

namespace slipway::deliver {

// What sync asks of source/. Any thread.
class Commits {
 public:
  virtual ~Commits() = default;
  virtual Result<std::string> head(const std::string& ns, const std::string& repository, const std::string& branch) = 0;  // not_found
  virtual Result<cd::Files> files(const std::string& ns, const std::string& repository, const std::string& commit, const std::string& path) = 0;
};

struct SyncDependencies {
  store::BlobStore& blobs;
  Commits& commits;
};

// Registers the controller. Call the result when a repository (namespace, name) has new commits.
std::function<void(const std::string& ns, const std::string& repository)> register_sync(kube::Manager& manager, SyncDependencies dependencies);

}  // namespace slipway::deliver
