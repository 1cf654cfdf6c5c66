// SPDX-License-Identifier: Apache-2.0
// Manifests and configurations of images (OCI image-spec 1.1; Docker image manifest version 2, schema 2).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "store/blobs.h"
#include "text/json.h"

namespace slipway::oci {

inline constexpr std::size_t max_manifest = 4 * 1024 * 1024;
inline constexpr std::size_t max_config = 4 * 1024 * 1024;

namespace media {
inline constexpr const char* manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr const char* index = "application/vnd.oci.image.index.v1+json";
inline constexpr const char* config = "application/vnd.oci.image.config.v1+json";
inline constexpr const char* layer_tar = "application/vnd.oci.image.layer.v1.tar";
inline constexpr const char* docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr const char* docker_list = "application/vnd.docker.distribution.manifest.list.v2+json";
}  // namespace media

struct Descriptor {
  std::string media_type;
  store::Digest digest;
  std::uint64_t size = 0;
};

struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // the lowest first
  static Result<Manifest> parse(std::string_view text);
  std::string to_text() const;
};

// What a container takes from its image.
struct ContainerDefaults {
  std::vector<std::string> entrypoint, command, environment;
  std::string user, working_folder, stop_signal;
  std::map<std::string, std::string> labels;
  std::vector<std::string> exposed_ports, volumes, shell;
  text::Json health_check;
};

struct ImageConfiguration {
  ContainerDefaults defaults;
  std::vector<std::string> diff_ids;  // "sha256:…" of the uncompressed layers
  std::string created;                // RFC 3339
  text::Json history;                 // array
  static Result<ImageConfiguration> parse(std::string_view text);
  std::string to_text() const;  // linux/amd64
};

// The manifest for this machine of an index; the digest of a plain manifest is itself.
Result<store::Digest> choose_platform(const store::BlobStore& blobs, const store::Digest& digest);
Result<Manifest> read_manifest(const store::BlobStore& blobs, const store::Digest& digest);
Result<ImageConfiguration> read_configuration(const store::BlobStore& blobs, const Manifest& manifest);

// Writes configuration and manifest; the layers (uncompressed tars) are there already.
Result<store::Digest> write_image(store::BlobStore& blobs, const ImageConfiguration& configuration, const std::vector<Descriptor>& layers);

}  // namespace slipway::oci
