// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "text/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace slipway::text;
  const auto documents = parse_yaml_documents({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  if (!documents) return 0;
  for (const auto& document : *documents) {
    const auto again = parse_yaml(to_yaml(document.value), "again.yaml");
    if (!again || *again != document.value) std::abort();
  }
  return 0;
}
