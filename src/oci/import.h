// SPDX-License-Identifier: Apache-2.0
// Images from files: a root file system (a folder or a tar of one), an OCI layout (a folder or a tar of one), or what
// `docker save` writes.
#pragma once

#include "oci/image_store.h"

namespace slipway::oci {

// Stores the image under the name and answers its digest. What it is, is found out by looking.
Result<store::Digest> import_image(ImageStore& images, const std::string& path, const Reference& name);

}  // namespace slipway::oci
