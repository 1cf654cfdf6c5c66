// SPDX-License-Identifier: Apache-2.0
// Pulling for pods: which secrets speak for them, what a failed pull is called, when it is tried again, and the words of
// the events. Reasons and words are the kubelet's.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cluster/node/images.h"
#include "kube/client.h"
#include "text/json.h"

namespace slipway::cluster {

inline constexpr std::chrono::seconds first_pull_pause{10};
inline constexpr std::chrono::seconds longest_pull_pause{300};

// By what the container says, else by its tag: Always for :latest and no tag, IfNotPresent for others and digests.
PullPolicy pull_policy(const text::Json& container);

// Why a container waits for its image. Pure.
struct PullProblem {
  std::string reason;   // ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName
  std::string message;  // of the container's state
};
enum class Attempt { just_failed, waits };
PullProblem pull_problem(const std::string& image, PullPolicy policy, const Error& error, Attempt attempt);
// After the n-th failure in a row (from 1).
std::chrono::seconds pull_pause(int failures);

// The events' words.
std::string pulling_message(const std::string& image);
std::string pulled_message(const std::string& image, const ImageRootfs& found);
std::string failed_message(const std::string& image, const Error& error);

// The docker configurations that speak for a pod: spec.imagePullSecrets, else its ServiceAccount's. A secret that is not
// there or of another type is passed over, as upstream does.
std::vector<std::string> pull_secrets(kube::Client& client, const std::string& ns, const text::Json& named, const std::string& service_account);
// Of a build's ServiceAccount: its `secrets` that hold a docker configuration, then its imagePullSecrets.
std::vector<std::string> push_secrets(kube::Client& client, const std::string& ns, const std::string& service_account);
// The text of one: type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg, or a key config.json.
std::optional<std::string> docker_config_of(const text::Json& secret);

}  // namespace slipway::cluster
