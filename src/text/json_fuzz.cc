// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "text/json.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace slipway::text;
  const auto value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value) return 0;
  const auto text = to_json(*value);
  const auto again = parse_json(text);
  if (!again || to_json(*again) != text) std::abort();
  return 0;
}
