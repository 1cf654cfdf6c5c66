// SPDX-License-Identifier: Apache-2.0
// Who we are to a registry: ~/.docker/config.json, the secrets of type kubernetes.io/dockerconfigjson and
// kubernetes.io/dockercfg, and the helper programs that the former may name.
//
// A secret never appears in an argument list, an error or a log. A helper (`docker-credential-NAME get`) is told the
// registry on its stdin; helpers are run for files of this machine's users alone, never for what a pod's secret says.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "oci/reference.h"

namespace slipway::oci {

inline constexpr std::size_t max_docker_config = 1 << 20;

struct Credential {
  std::string user, secret;
  std::string identity_token;  // exchanged at the token server (OAuth 2 refresh token)
  std::string registry_token;  // sent as it is
  bool empty() const { return user.empty() && secret.empty() && identity_token.empty() && registry_token.empty(); }
  bool operator==(const Credential&) const = default;
};

enum class Helpers { run, refuse };

class DockerConfig final {
 public:
  // Both shapes: {"auths": {…}} and, as old secrets have it, the map of auths alone.
  static Result<DockerConfig> parse(std::string_view text, Helpers helpers);
  // Of $DOCKER_CONFIG or ~/.docker, else of $REGISTRY_AUTH_FILE; an empty one where there is none.
  static Result<DockerConfig> of_user();

  // What fits a repository, the longest path first ("reg.example/team" before "reg.example"); a host may begin with
  // "*.". Empty where nothing fits.
  Result<std::vector<Credential>> find(const Reference& reference) const;
  // Of a host that is no registry, a token server: only where the file names it.
  Result<std::vector<Credential>> find_host(const std::string& host) const;

 private:
  Result<std::vector<Credential>> find_path(const std::string& host, const std::string& repository) const;
  std::map<std::string, Credential> auths_;        // by "host/path" without scheme
  std::map<std::string, std::string> helpers_;     // by host
  std::string store_;                              // the helper of every other host
};

}  // namespace slipway::oci
