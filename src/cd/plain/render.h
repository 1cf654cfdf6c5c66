// SPDX-License-Identifier: Apache-2.0
// A folder of manifests, as `kubectl apply -R -f` reads it -> the desired set. Pure.
#pragma once

#include <functional>
#include <map>

#include "desired/set.h"

namespace slipway::cd {

using Files = std::map<std::string, std::string>;  // path -> content

struct PlainOptions {
  std::string ns;  // of namespaced objects that name none
  // Whether a kind is cluster-scoped, for kinds that are not built in; absent: namespaced.
  std::function<bool(const std::string& api_version, const std::string& kind)> is_cluster_scoped;
};

inline constexpr std::size_t max_objects = 10'000;

// .yaml, .yml and .json files, sorted by path; several documents a file; Lists are taken apart. Errors name
// file:line:column; two objects of the same name are refused with both places.
Result<desired::Set> render_plain(const Files& files, const PlainOptions& options);

}  // namespace slipway::cd
