// SPDX-License-Identifier: Apache-2.0
// Workspaces of a run inside a step's pod: filled from the hub before the first step, and what changed sent back after
// the last. What stood in the folder after filling is written down beside it, so that changes and deletions are told
// apart from what was there.
#pragma once

#include "shim/hub_client.h"

namespace slipway::shim {

// Lays the workspace's archives over its folder and remembers what is in it, in `record`.
Result<> fill_workspace(const wire::Workspace& workspace, const std::string& record, HubClient& hub, const std::stop_token& stop);

struct Changes {
  std::string archive;               // path of a tar of what is new or different, deletions as whiteouts; empty: nothing changed
  std::vector<std::string> changed;  // files, relative to the workspace
};
Result<Changes> find_changes(const wire::Workspace& workspace, const std::string& record);

// Whether a file is a test report: it matches one of the globs or, without globs, is XML with a test suite as its root.
bool is_report(const std::string& folder, const std::string& path, const std::vector<std::string>& globs);

}  // namespace slipway::shim
