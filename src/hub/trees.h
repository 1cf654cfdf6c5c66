// SPDX-License-Identifier: Apache-2.0
// Trees of files in the hub: an ordered list of tars, the later ones over the earlier, deletions as OCI whiteouts.
#pragma once

#include <string>
#include <vector>

#include "store/blobs.h"
#include "store/tar.h"

namespace slipway::hub {

// The list as one tar without whiteouts; a list of one that needs nothing is answered as it is. The same list gives the
// same blob.
Result<store::Digest> flatten(store::BlobStore& blobs, const std::vector<std::string>& tree);

// The tar with every path below `folder` ("src/app").
Result<store::Digest> moved_below(store::BlobStore& blobs, const store::Digest& tar, const std::string& folder);

store::ByteSource source_of(store::BlobReader& reader);

}  // namespace slipway::hub
