// SPDX-License-Identifier: Apache-2.0
// Image builds on this node: an ImageBuild (slipway.dev/v1alpha1) becomes an image of the local store.
//
// A build is planned by ci/dockerfile and carried out here: independent stages at the same time, each RUN in a
// container over an overlay of the layers so far, each COPY written straight into its layer. Finished steps are kept
// by the key of what they depend on; after a kill the build begins again and finds them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/counters.h"
#include "base/executor.h"
#include "cluster/node/images.h"
#include "kube/client.h"
#include "oci/image_store.h"
#include "sandbox/pod_network.h"

namespace slipway::cluster {

struct BuilderConfig {
  std::string data;    // the node's folder
  std::string layers;  // where unpacked layers lie (oci::RootfsStore)
  std::string cgroup_root = "/slipway";
  // Told of each build's log file when it is opened, and when the build writes no more to it. May be empty.
  std::function<void(const std::string& uid, const std::string& path)> on_log_begin = {};
  std::function<void(const std::string& uid)> on_log_end = {};
  std::string registry = {};  // "127.0.0.1:5000": this machine's own, where the store itself is what is pushed to
  // Brings an image to another registry and answers its digest there. Empty: such a push is refused.
  std::function<Result<store::Digest>(const store::Digest& image, const oci::Reference& to, const std::vector<std::string>& docker_configs, std::stop_token stop)> push = {};
};

inline constexpr std::size_t max_builds_at_once = 2;
inline constexpr std::size_t max_stages_at_once = 2;
inline constexpr std::chrono::minutes max_build_time{60};
inline constexpr std::size_t max_reported_steps = 200;
inline constexpr std::int64_t build_pids_limit = 4096;

class ImageBuilder {
 public:
  virtual ~ImageBuilder() = default;  // running builds stop and go on after the next start

  static Result<std::unique_ptr<ImageBuilder>> start(BuilderConfig config, kube::Client& client, Executor& executor, ImageProvider& provider, oci::ImageStore& images,
                                                     sandbox::PodNetworkDriver& network, Metrics* metrics);
};

// Ends what builds left on this machine. The builder must not run.
Result<> purge_builds(const BuilderConfig& config, sandbox::PodNetworkDriver& network);

}  // namespace slipway::cluster
