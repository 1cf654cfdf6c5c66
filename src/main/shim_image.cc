// SPDX-License-Identifier: Apache-2.0
#include "main/shim_image.h"

#include <unistd.h>

#include "base/digest.h"
#include "base/files.h"
#include "store/tar.h"

namespace slipway::app {
namespace {

constexpr std::size_t max_shim = 64 * 1024 * 1024;

Result<std::string> shim_path() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size <= 0) return fail_errno("cannot read", "/proc/self/exe");
  return parent_path(std::string(path, static_cast<std::size_t>(size))) + "/slipway-shim";
}

Result<oci::Descriptor> store_layer(store::BlobStore& blobs, const std::string& shim) {
  std::string tar;
  store::TarWriter writer([&tar](std::string_view bytes) -> Result<> { return tar += bytes, Result<>{}; });
  TRY(writer.add({.path = "slipway-shim", .mode = 0755, .size = shim.size()}));
  TRY(writer.write(shim));
  TRY(writer.finish());
  return oci::Descriptor{oci::media::layer_tar, TRY(blobs.put(tar)), tar.size()};
}

}  // namespace

Result<> store_shim_image(oci::ImageStore& images) {
  const auto reference = TRY(oci::Reference::parse(shim_image));
  const std::string path = TRY(shim_path());
  const std::string shim = TRY(at(read_file(path, max_shim), "the shim must lie beside the program"));
  const oci::Descriptor layer = TRY(store_layer(images.blobs(), shim));
  oci::ImageConfiguration configuration;
  configuration.diff_ids = {layer.digest.value};
  configuration.created = "1970-01-01T00:00:00Z";
  const auto manifest = TRY(oci::write_image(images.blobs(), configuration, {layer}));
  if (const auto known = images.resolve(reference); known && *known == manifest) return {};
  return images.tag(reference, manifest);
}

}  // namespace slipway::app
