// SPDX-License-Identifier: Apache-2.0
// What all image builds of a node share, and one build's own place. Internal to the image builder.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/executor.h"
#include "cluster/node/build.h"
#include "cluster/node/build_files.h"
#include "oci/rootfs.h"
#include "sandbox/cgroup.h"
#include "sandbox/namespaces.h"
#include "sandbox/runtime.h"

namespace slipway::cluster {

// What containers are run with.
struct BuildMachine {
  BuilderConfig config;
  sandbox::PodNetworkDriver& network;
  sandbox::CgroupTree cgroups;
  sandbox::Runtime runtime;
  static Result<BuildMachine> find(BuilderConfig config, sandbox::PodNetworkDriver& network);
};

struct BuildNode : BuildMachine {
  Executor& executor;
  ImageProvider& provider;
  oci::ImageStore& images;
  std::unique_ptr<oci::RootfsStore> rootfs;
  std::unique_ptr<BuildCache> cache;
  store::BlobStore& blobs() const { return images.blobs(); }
};

struct StepReport {
  std::string name;
  double seconds = 0;
  bool cached = false;
};

// One build: its folder, its network, its log. Any thread.
class BuildPlace final {
 public:
  BuildPlace(BuildNode& node, std::string uid, std::string ns, BuildLog& log, Steady deadline, std::function<void(StepReport)> on_step)
      : node(node), uid(std::move(uid)), ns(std::move(ns)), log(log), deadline(deadline), on_step(std::move(on_step)), folder(build_work_path(node.config.data, this->uid)) {}

  std::string fresh(std::string_view what) { return folder + "/" + std::string(what) + "-" + std::to_string(next_++); }
  std::string container_id() { return "build-" + uid + "-" + std::to_string(next_++); }
  std::string cgroup() const { return node.config.cgroup_root + "/build-" + uid; }
  // Made at the first RUN.
  Result<sandbox::NamespaceFiles> namespaces(sandbox::PodNetwork network);
  Result<sandbox::NamespaceFiles> lonely_namespaces();  // with a loopback alone
  Result<std::string> network_files();                  // folder with hosts and resolv.conf

  BuildNode& node;
  const std::string uid, ns;
  BuildLog& log;
  const Steady deadline;
  const std::function<void(StepReport)> on_step;
  const std::string folder;
  std::function<std::vector<std::string>()> docker_configs = {};  // of whoever the build is for

 private:
  std::atomic<int> next_{0};
  std::mutex mutex_;
};

// Ends what a build left: containers, mounts, namespaces, address, folder. Fine where nothing is.
Result<> clean_up_build(const BuildMachine& machine, const std::string& uid);
Result<> clean_up_all_builds(const BuildMachine& machine);

}  // namespace slipway::cluster
