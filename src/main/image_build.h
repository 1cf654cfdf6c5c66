// SPDX-License-Identifier: Apache-2.0
// `slipway image build`: an image from a folder with a Dockerfile, through the running system.
#pragma once

#include "cli/command.h"

namespace slipway::app {

cli::Command image_build_command();

}  // namespace slipway::app
