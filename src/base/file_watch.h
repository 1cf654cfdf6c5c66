// SPDX-License-Identifier: Apache-2.0
// Waits for a file to appear. Any thread; blocks the caller.
#pragma once

#include <string>

#include "base/result.h"

namespace slipway {

// True once `path` exists (its folder does); false once the descriptor `interrupt` can be read.
Result<bool> wait_for_file(const std::string& path, int interrupt);

}  // namespace slipway
