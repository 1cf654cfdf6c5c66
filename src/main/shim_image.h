// SPDX-License-Identifier: Apache-2.0
// The shim as an image: pods mount it as a volume, so that it runs beside whatever their own image holds.
#pragma once

#include "oci/image_store.h"

namespace slipway::app {

inline constexpr std::string_view shim_image = "slipway.dev/shim:installed";

// Stores the slipway-shim that lies beside this program under its name, unless that very file is stored already.
Result<> store_shim_image(oci::ImageStore& images);

}  // namespace slipway::app
