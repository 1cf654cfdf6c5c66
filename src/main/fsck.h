// SPDX-License-Identifier: Apache-2.0
// Checks what is on disk: every blob against its digest, every repository with git, the names of images, and, while
// nothing runs, the API's log and snapshots. Nothing is changed but what opening the API's store repairs (a torn tail).
#pragma once

#include "main/data_folder.h"

namespace slipway::app {

struct Finding {
  std::string what;     // "blobs", "repository default/shop", …
  std::string outcome;  // "12 checked", "left out: …", or what is wrong
  bool bad = false;
};

Result<std::vector<Finding>> check_data(const DataFolder& data);

}  // namespace slipway::app
