// SPDX-License-Identifier: Apache-2.0
// Names of images, as Docker and the distribution project read them (distribution/reference: grammar and defaults).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace slipway::oci {

struct Reference {
  std::string registry;    // "docker.io", "127.0.0.1:5000"
  std::string repository;  // "library/debian"
  std::string tag;         // empty where a digest is given and no tag
  std::string digest;      // "sha256:…" or empty

  // "debian" is docker.io/library/debian:latest. Upper-case repositories, bad tags and digests are refused.
  static Result<Reference> parse(std::string_view text);
  std::string name() const { return registry + "/" + repository; }
  std::string to_string() const;
  bool operator==(const Reference&) const = default;
};

}  // namespace slipway::oci
