// SPDX-License-Identifier: Apache-2.0
// The Repository controller: hosted repositories come to be, and every push in the journal becomes what it triggers.
//
// A push is handled from its durable entry, which goes only when everything that follows from it exists. Names are
// deterministic, so handling it twice makes nothing twice.
#pragma once

#include <functional>

#include "kube/control.h"
#include "source/repositories.h"

namespace slipway::forge {

using text::Json;

// A push as a pipeline format sees it.
struct PushEvent {
  std::string ns, repository, url;
  std::string branch, commit;
  std::string message;  // subject of the commit
};

// The runs that a push to a branch starts: from the files below .tekton (and its like) of the commit. Pure.
using RunsForPush = std::function<Result<std::vector<Json>>(const source::Files& files, const PushEvent& event)>;

struct RepositoryDependencies {
  source::Repositories& repositories;
  source::PushJournal& journal;
  RunsForPush runs_for_push;
  std::string base_url;  // "https://127.0.0.1:8443"
  std::function<void(const std::string& ns, const std::string& repository)> on_new_commits;
};

// Answers how to have a repository's status told anew.
std::function<void(const kube::ObjectKey&)> register_repositories(kube::Manager& manager, RepositoryDependencies dependencies);

}  // namespace slipway::forge
