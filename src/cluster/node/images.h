// SPDX-License-Identifier: Apache-2.0
// Where the node agent gets images from. Implemented above; any thread may call, and a call may block.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"

namespace slipway::cluster {

enum class PullPolicy { always, if_not_present, never };

struct ImageConfig {
  std::vector<std::string> entrypoint, command, environment;
  std::string user, working_folder, stop_signal;
};

struct ImageRootfs {
  std::vector<std::string> layers;  // folders, the uppermost first
  ImageConfig config;
  std::string digest;  // "sha256:…" of the manifest
};

class ImageProvider {
 public:
  virtual ~ImageProvider() = default;
  // not_found, unauthenticated, unavailable: the pull is tried again later; invalid: the reference itself is wrong.
  virtual Result<ImageRootfs> ensure(const std::string& reference, PullPolicy policy, std::stop_token stop) = 0;
};

}  // namespace slipway::cluster
