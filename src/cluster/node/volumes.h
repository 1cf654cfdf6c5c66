// SPDX-License-Identifier: Apache-2.0
// The volumes of a pod as folders of the host, and a container's mounts of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/node/images.h"
#include "cluster/node/references.h"
#include "sandbox/oci_spec.h"

namespace slipway::cluster {

enum class HostAccess { refused, allowed };  // hostPath, host namespaces, privileged

struct VolumeContext {
  const PodFacts& facts;
  References& references;
  ImageProvider& images;
  std::string folder;  // <pod>/volumes
  HostAccess host_access = HostAccess::refused;
};

// Makes what is missing and refreshes what is made of objects. The folder of each volume by its name. Refused by name:
// kinds that are not supported, hostPath unless allowed.
Result<std::map<std::string, std::string>> ensure_volumes(const VolumeContext& context);
bool has_refreshed_volumes(const Json& pod);  // configMap, secret, downwardAPI or projected ones

// The container's mounts; subPath is resolved inside its volume (T5).
Result<std::vector<sandbox::MountSpec>> volume_mounts(const Json& container, const std::map<std::string, std::string>& folders,
                                                      const std::map<std::string, std::string>& environment);

}  // namespace slipway::cluster
