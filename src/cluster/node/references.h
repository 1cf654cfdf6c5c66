// SPDX-License-Identifier: Apache-2.0
// What a pod's spec refers to: ConfigMaps, Secrets, its own fields; and the environment and files made of them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/client.h"
#include "text/json.h"

namespace slipway::cluster {

using text::Json;

struct PodFacts {
  const Json& pod;
  std::string pod_ip, host_ip;
};

// Gets ConfigMaps, Secrets and tokens; a seam for tests.
class References {
 public:
  virtual ~References() = default;
  virtual Result<Json> config_map(const std::string& ns, const std::string& name) = 0;
  virtual Result<Json> secret(const std::string& ns, const std::string& name) = 0;
  virtual Result<std::string> token(const Json& pod, const std::string& audience, std::int64_t seconds) = 0;
  virtual Result<std::string> cluster_ca() = 0;
};
std::unique_ptr<References> api_references(kube::Client& client, std::string ca_pem);

constexpr std::size_t max_environment = 10'000;
constexpr std::size_t max_volume_bytes = 4 * 1024 * 1024;

// "metadata.name", "metadata.labels['x']", "status.podIP", …; an unknown path is refused by its name.
Result<std::string> field_value(const PodFacts& facts, std::string_view path);
// "limits.cpu" of a container, in units of the divisor, rounded up.
Result<std::string> resource_value(const Json& pod, const Json& container, const Json& selector);

// $(NAME) of what is known, $$ is $; anything else stays as it is.
std::string expand(std::string_view text, const std::map<std::string, std::string>& known);

// The container's environment over the image's, in order of definition: "NAME=value".
struct Environment {
  std::vector<std::string> list;
  std::map<std::string, std::string> values;
};
Result<Environment> make_environment(const PodFacts& facts, const Json& container, const std::vector<std::string>& image,
                                     const std::map<std::string, std::string>& extra, References& references);

// The files of a configMap, secret, downwardAPI or projected volume: relative path -> content and mode.
struct VolumeFile {
  std::string content;
  unsigned mode = 0644;
  bool operator==(const VolumeFile&) const = default;
};
using VolumeFiles = std::map<std::string, VolumeFile>;
Result<VolumeFiles> make_volume_files(const PodFacts& facts, const Json& volume, References& references);

// Writes them so that a reader sees the old or the new whole set: a folder of their time, `..data` pointing at it by
// one rename, links for the names. Nothing happens where they are the same already.
Result<> write_volume(const std::string& folder, const VolumeFiles& files, std::optional<unsigned> group);

}  // namespace slipway::cluster
