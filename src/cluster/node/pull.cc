// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/pull.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"

namespace slipway::cluster {
namespace {

using text::Json;

constexpr std::size_t max_secrets = 100;

bool has_other_tag(std::string_view image) {
  const auto colon = image.rfind(':');
  return colon != image.npos && image.find('/', colon) == image.npos && image.substr(colon) != ":latest";
}

// As Go prints a duration, to the millisecond.
std::string seconds(std::chrono::milliseconds span) { return span.count() < 1000 ? fmt::format("{}ms", span.count()) : fmt::format("{:.3g}s", static_cast<double>(span.count()) / 1000); }

enum class Unusable { tell, pass };

std::vector<std::string> configs_of(kube::Client& client, const std::string& ns, const Json& named, Unusable unusable) {
  std::vector<std::string> out;
  for (const Json& one : named.items()) {
    if (out.size() >= max_secrets) break;
    const auto secret = client.get(kube::resources::secrets, {ns, one["name"].str()});
    const auto config = secret ? docker_config_of(*secret) : std::nullopt;
    if (config) out.push_back(*config);
    else if (unusable == Unusable::tell) log::warn("An image pull secret cannot be used", {{"namespace", ns}, {"secret", one["name"].str()}});
  }
  return out;
}

}  // namespace

PullPolicy pull_policy(const Json& container) {
  const std::string_view policy = container["imagePullPolicy"].as_string(), image = container["image"].as_string();
  if (policy == "Always") return PullPolicy::always;
  if (policy == "Never") return PullPolicy::never;
  if (!policy.empty() || image.find('@') != image.npos) return PullPolicy::if_not_present;
  return has_other_tag(image) ? PullPolicy::if_not_present : PullPolicy::always;
}

PullProblem pull_problem(const std::string& image, PullPolicy policy, const Error& error, Attempt attempt) {
  if (error.code == ErrorCode::invalid && error.message.starts_with("invalid reference format"))
    return {"InvalidImageName", fmt::format("Failed to apply default image tag \"{}\": couldn't parse image name \"{}\": {}", image, image, error.to_string())};
  if (policy == PullPolicy::never) return {"ErrImageNeverPull", fmt::format("Container image \"{}\" is not present with pull policy of Never", image)};
  if (attempt == Attempt::waits) return {"ImagePullBackOff", fmt::format("Back-off pulling image \"{}\": ErrImagePull: {}", image, error.to_string())};
  return {"ErrImagePull", error.to_string()};
}

std::chrono::seconds pull_pause(int failures) { return std::min(first_pull_pause * (1 << std::clamp(failures - 1, 0, 5)), longest_pull_pause); }

std::string pulling_message(const std::string& image) { return fmt::format("Pulling image \"{}\"", image); }

std::string pulled_message(const std::string& image, const ImageRootfs& found) {
  if (!found.pulled) return fmt::format("Container image \"{}\" already present on machine", image);
  return fmt::format("Successfully pulled image \"{}\" in {} ({} including waiting). Image size: {} bytes.", image, seconds(found.took), seconds(found.with_waiting), found.bytes);
}

std::string failed_message(const std::string& image, const Error& error) { return fmt::format("Failed to pull image \"{}\": {}", image, error.to_string()); }

std::optional<std::string> docker_config_of(const Json& secret) {
  for (const char* key : {".dockerconfigjson", ".dockercfg", "config.json"}) {
    const Json& value = secret["data"][key];
    if (!value.is_string()) continue;
    auto text = from_base64(value.as_string());
    if (text) return *std::move(text);
  }
  return std::nullopt;
}

std::vector<std::string> pull_secrets(kube::Client& client, const std::string& ns, const Json& named, const std::string& service_account) {
  if (!named.empty() || service_account.empty()) return configs_of(client, ns, named, Unusable::tell);
  const auto account = client.get(kube::resources::service_accounts, {ns, service_account});
  return account ? configs_of(client, ns, (*account)["imagePullSecrets"], Unusable::tell) : std::vector<std::string>();
}

std::vector<std::string> push_secrets(kube::Client& client, const std::string& ns, const std::string& service_account) {
  const auto account = client.get(kube::resources::service_accounts, {ns, service_account});
  if (!account) return {};
  auto out = configs_of(client, ns, (*account)["secrets"], Unusable::pass);
  for (auto& config : configs_of(client, ns, (*account)["imagePullSecrets"], Unusable::tell)) out.push_back(std::move(config));
  return out;
}

}  // namespace slipway::cluster
