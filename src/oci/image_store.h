// SPDX-License-Identifier: Apache-2.0
// Which name stands for which image: one small durable file a name, so that several processes share the folder.
#pragma once

#include <string>
#include <vector>

#include "oci/image.h"
#include "oci/reference.h"

namespace slipway::oci {

class ImageStore final {
 public:
  // The folder exists; names are written below it.
  ImageStore(std::string folder, store::BlobStore& blobs) : folder_(std::move(folder)), blobs_(blobs) {}

  Result<> tag(const Reference& reference, const store::Digest& manifest);
  Result<> remove(const Reference& reference);
  // By tag, or the digest itself where the reference has one and the blob is there. not_found.
  Result<store::Digest> resolve(const Reference& reference) const;
  struct Named {
    Reference reference;
    store::Digest manifest;
  };
  Result<std::vector<Named>> list() const;  // sorted by name
  store::BlobStore& blobs() const { return blobs_; }

 private:
  std::string file_of(const Reference& reference) const;
  const std::string folder_;
  store::BlobStore& blobs_;
};

}  // namespace slipway::oci
