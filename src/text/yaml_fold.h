// SPDX-License-Identifier: Apache-2.0
// Internal to text/.
#pragma once

#include <string>

namespace slipway::text {

// What becomes of a folded scalar that go-yaml v3 writes and reads again: lines that follow one without leading space
// gain an empty line before them, because its writer looks for the next line at the start of the text.
std::string refolded(const std::string& text);

}  // namespace slipway::text
