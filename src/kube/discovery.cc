// SPDX-License-Identifier: Apache-2.0
#include "kube/discovery.h"

#include <algorithm>

namespace slipway::kube {
namespace {

using text::Json;

bool has_verb(const Json& resource, std::string_view verb) {
  return std::ranges::any_of(resource["verbs"].items(), [&](const Json& one) { return one.as_string() == verb; });
}

Result<> add_version(Client& client, const std::string& group, const std::string& version, std::vector<Resource>& out) {
  const std::string path = group.empty() ? "/api/" + version : "/apis/" + group + "/" + version;
  const Json list = TRY(text::parse_json(TRY(client.raw("GET", path))));
  for (const Json& one : list["resources"].items()) {
    if (one["name"].as_string().find('/') != std::string_view::npos || !has_verb(one, "list") || !has_verb(one, "delete")) continue;
    out.push_back({group, version, one["name"].str(), one["kind"].str(), one["namespaced"].as_bool()});
  }
  return {};
}

}  // namespace

Result<std::vector<Resource>> discover(Client& client) {
  std::vector<Resource> out;
  TRY(add_version(client, "", "v1", out));
  const Json groups = TRY(text::parse_json(TRY(client.raw("GET", "/apis"))));
  for (const Json& group : groups["groups"].items()) TRY(add_version(client, group["name"].str(), group["preferredVersion"]["version"].str(), out));
  return out;
}

}  // namespace slipway::kube
