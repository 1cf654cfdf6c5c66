// SPDX-License-Identifier: Apache-2.0
// Where the node agent gets images from. Implemented above; any thread may call, and a call may block.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
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
  bool pulled = false; // now, rather than found
  std::uint64_t bytes = 0;                   // of the layers as they came
  std::chrono::milliseconds took{0}, with_waiting{0};  // with_waiting: behind other pulls too
};

struct ImageRequest {
  std::string reference;
  PullPolicy policy = PullPolicy::if_not_present;
  // Texts of kubernetes.io/dockerconfigjson in their order; called when a registry is asked. May be empty.
  std::function<std::vector<std::string>()> docker_configs = {};
  std::function<void()> on_pull = {};               // called once when the registry is asked
};

class ImageProvider {
 public:
  virtual ~ImageProvider() = default;
  // not_found, unauthenticated, unavailable and others: the pull is tried again later; invalid: the reference itself
  // is wrong.
  virtual Result<ImageRootfs> ensure(const ImageRequest& request, std::stop_token stop) = 0;
};

}  // namespace slipway::cluster
