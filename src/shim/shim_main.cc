// SPDX-License-Identifier: Apache-2.0
// slipway-shim step --index N: the first process of a step's container.
#include <cstdio>
#include <string_view>

#include "base/strings.h"
#include "shim/step.h"

int main(int argc, char** argv) {
  using namespace slipway;
  const auto index = argc == 4 && std::string_view(argv[1]) == "step" && std::string_view(argv[2]) == "--index" ? parse_int(argv[3]) : std::nullopt;
  if (!index || *index < 0) {
    std::fputs("usage: slipway-shim step --index N\n", stderr);
    return 2;
  }
  return shim::run_step(static_cast<std::size_t>(*index), {});
}
