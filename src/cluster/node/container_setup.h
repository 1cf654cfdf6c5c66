// SPDX-License-Identifier: Apache-2.0
// From a container of a pod and its image to a bundle that the runtime starts.
#pragma once

#include <map>
#include <string>

#include "cluster/node/volumes.h"
#include "sandbox/namespaces.h"

namespace slipway::cluster {

struct SetupContext {
  const PodFacts& facts;
  const Json& container;
  const ImageRootfs& image;
  const std::map<std::string, std::string>& volumes;  // name -> folder
  const std::map<std::string, std::string>& extra_environment;
  References& references;
  std::string bundle;      // <pod>/containers/<name>/<attempt>
  std::string pod_files;   // hosts, resolv.conf, hostname
  sandbox::NamespaceFiles namespaces;
  std::string cgroup;
  HostAccess host_access = HostAccess::refused;
};

constexpr std::int64_t pids_limit = 4096;  // of a pod
constexpr std::size_t max_termination_message = 4096;

// What a pod asks for that this node does not do; an empty Result when it does all of it. Pure.
Result<> check_supported(const Json& pod, HostAccess host_access);

// Pure but for references and the image's user files: the config needs the mounted root.
Result<sandbox::ContainerConfig> make_container_config(const SetupContext& context);

// Mounts the root, writes config.json; what it makes stands below `bundle`.
Result<> prepare_bundle(const SetupContext& context);

Result<sandbox::ContainerResources> container_resources(const Json& container);
sandbox::ContainerResources pod_resources(const Json& pod);  // the sum, for the pod's control group

// SIGTERM, "SIGUSR1", "9": a number; SIGTERM for what is unknown.
int signal_number(std::string_view name);

}  // namespace slipway::cluster
