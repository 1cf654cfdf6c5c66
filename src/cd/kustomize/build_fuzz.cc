// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/build.h"

// The input is a kustomization and, behind a line "%%", a resource that it may name as r.yaml.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace slipway::cd::kustomize;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto cut = text.find("\n%%\n");
  const MemoryTree tree({{"/app/kustomization.yaml", text.substr(0, cut)}, {"/app/r.yaml", cut == text.npos ? "" : text.substr(cut + 4)}});
  if (const auto built = build(tree, "/app")) (void)to_yaml(*built);
  return 0;
}
