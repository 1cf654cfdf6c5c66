// SPDX-License-Identifier: Apache-2.0
// Single manifests and blobs to and from a Remote. Internal to oci/.
#pragma once

#include "oci/image.h"
#include "oci/remote.h"

namespace slipway::oci {

struct FetchedManifest {
  store::Digest digest;
  std::string bytes;
};
// `name` is a tag or a digest; a digest is verified.
Result<FetchedManifest> fetch_manifest(Remote& remote, const std::string& name, std::stop_token stop);
Result<store::Digest> head_manifest(Remote& remote, const std::string& name, std::stop_token stop);
Result<> fetch_blob(Remote& remote, store::BlobStore& blobs, const Descriptor& blob, std::stop_token stop);

// Nothing is sent where the registry has it already, or where it can mount it from `from`.
Result<> send_blob(Remote& remote, const store::BlobStore& blobs, const Descriptor& blob, const std::string& from, std::stop_token stop);
Result<> send_manifest(Remote& remote, const std::string& name, const std::string& bytes, const std::string& media_type, std::stop_token stop);

}  // namespace slipway::oci
