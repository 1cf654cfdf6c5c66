// SPDX-License-Identifier: Apache-2.0
// Client of registries elsewhere (OCI distribution-spec 1.1): pulls images into the BlobStore and pushes them from it.
//
// What comes is verified by its digest while it streams, goes on where a broken connection left it, and is leased until
// its name is written; several layers come at once. Calls block; any thread.
#pragma once

#include "oci/image_store.h"
#include "oci/remote.h"

namespace slipway::oci {

inline constexpr std::size_t layers_at_once = 3;
inline constexpr std::uint64_t max_image = 10ULL << 30;      // compressed, all layers (B4)
inline constexpr std::uint64_t push_piece = 64ULL << 20;     // a blob that is larger goes in pieces

using Keys = std::vector<DockerConfig>;  // asked in their order; each credential that fits is tried

struct Pulled {
  store::Digest named;     // what the name stands for: an index or a manifest
  store::Digest manifest;  // of this machine's platform
  std::uint64_t bytes = 0; // of the image's layers
};

class Client final {
 public:
  Client(Executor& executor, RemoteConfig config);

  // Fetches what is missing and names it; a reference by digest alone is named by a tag made of that digest.
  // not_found, unauthenticated, forbidden, throttled, unavailable, timeout; invalid where it is not what its digest says.
  Result<Pulled> pull(ImageStore& images, const Reference& reference, const Keys& keys, std::stop_token stop);
  // What the name stands for now, without fetching it.
  Result<store::Digest> resolve(const Reference& reference, const Keys& keys, std::stop_token stop);
  // Brings an image to `to` and answers the digest under which it lies there. Layers that are plain tars are compressed
  // on the way, which gives the image another digest: that one is in the store afterwards too. `from`, where it names
  // the same registry, lets it mount the layers instead of taking them.
  Result<store::Digest> push(ImageStore& images, const store::Digest& image, const Reference& to, const Keys& keys, const Reference* from, std::stop_token stop);

 private:
  template <class T>
  Result<T> with_credentials(const Reference& reference, const Keys& keys, const std::function<Result<T>(const Credential&)>& body);
  Executor& executor_;
  const RemoteConfig config_;
  const RemoteConfig hasty_;  // for a question whose answer may be done without
  Connections connections_;
};

// The name under which an image without a tag is kept: repository:sha256-<64 hex digits>.
Reference local_name(const Reference& reference);

// Runs `body` for 0 … count-1 on up to `at_once` threads; the first error ends the others.
Result<> for_each_at_once(Executor& executor, std::size_t count, std::size_t at_once, const std::function<Result<>(std::size_t, std::stop_token)>& body, std::stop_token stop);

}  // namespace slipway::oci
