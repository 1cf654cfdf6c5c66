// SPDX-License-Identifier: Apache-2.0
// One image build from its spec to the named image.
#pragma once

#include "ci/dockerfile/plan.h"
#include "cluster/node/build_context.h"
#include "text/json.h"

namespace slipway::cluster {

struct BuiltImage {
  store::Digest manifest;
  std::string reference;  // as it stands in spec.image, with its tag
};

// What the spec of an ImageBuild asks for; unknown or malformed fields are refused by name. Pure.
struct BuildRequest {
  store::Digest context;
  std::string sub_path = ".", dockerfile = "Dockerfile";
  dockerfile::Options options;
  oci::Reference image;
  bool push = false;  // to a registry elsewhere
  std::string service_account = "default", docker_config_secret;  // whose credentials pull and push
  // `registry`: this machine's own.
  static Result<BuildRequest> from_spec(const text::Json& spec, std::string_view registry);
};

Result<BuiltImage> build_image(BuildPlace& place, const BuildRequest& request, std::stop_token stop);

}  // namespace slipway::cluster
