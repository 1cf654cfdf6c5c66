// SPDX-License-Identifier: Apache-2.0
// Where everything of one installation lies, and who may read it. The folder is 0700; serve owns its own part, the
// node's part is root's, the blobs are serve's folders in which root may write.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/files.h"
#include "base/result.h"

namespace slipway::app {

inline constexpr const char* default_data_folder = "/var/lib/slipway";
inline constexpr uid_t serve_user = 61340;  // of no account: serve owns nothing but its folders

struct DataFolder {
  std::string path;
  std::string serve() const { return path + "/serve"; }
  std::string api() const { return serve() + "/api"; }
  std::string hub() const { return serve() + "/hub"; }
  std::string git() const { return serve() + "/git"; }
  std::string pushes() const { return serve() + "/pushes"; }
  std::string hooks() const { return serve() + "/hooks"; }  // webhooks that arrived
  std::string names() const { return blobs() + "/names"; }  // of images
  std::string tokens() const { return serve() + "/tokens"; }
  std::string node() const { return path + "/node"; }
  std::string blobs() const { return path + "/blobs"; }
  std::string credentials() const { return path + "/credentials"; }
  std::string kubeconfig() const { return path + "/kubeconfig"; }
  std::string node_kubeconfig() const { return credentials() + "/node.kubeconfig"; }
  std::string plane_kubeconfig() const { return serve() + "/keys/plane.kubeconfig"; }  // serve's, of a foreign plane
  std::string supervisor_pid() const { return path + "/supervisor.pid"; }
  std::string logs() const { return path + "/logs"; }
  std::string contexts() const { return path + "/contexts"; }  // what was last packed, by folder
  std::string settings() const { return path + "/settings.json"; }
};

// Whether serve runs as its own user: only where this process is root.
bool has_own_serve_user();

// Makes what is missing and sets the owners. Safe to repeat.
Result<> prepare(const DataFolder& data);

// Held by the supervisor for as long as it runs; `conflict` names the holder where another one runs.
Result<UniqueFd> lock(const DataFolder& data);

}  // namespace slipway::app
