// SPDX-License-Identifier: Apache-2.0
// What a manifest of any kind (image, index, artifact) names, and all that is reached from some.
#pragma once

#include <set>

#include "oci/image.h"

namespace slipway::oci {

struct ManifestShape {
  std::string media_type;
  bool names_its_type = false;
  std::vector<Descriptor> parts;  // which must be there: config and layers, or the manifests of an index
  std::string subject, artifact_type;
  text::Json annotations;
  // Refuses what could be read as both an index and an image manifest (B6).
  static Result<ManifestShape> parse(std::string_view text);
};

// The manifests themselves and everything below them. A manifest that is not there adds only itself.
Result<std::set<store::Digest>> reachable(const store::BlobStore& blobs, std::vector<store::Digest> manifests);

}  // namespace slipway::oci
