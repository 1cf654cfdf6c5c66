// SPDX-License-Identifier: Apache-2.0
#include "main/images.h"

#include <fmt/format.h>

#include "oci/rootfs.h"

namespace slipway::app {
namespace {

class LocalImages final : public cluster::ImageProvider {
 public:
  LocalImages(const DataFolder& data, std::unique_ptr<store::BlobStore> blobs)
      : blobs_(std::move(blobs)), images_(data.names(), *blobs_), rootfs_(data.node() + "/layers", images_) {}

  Result<cluster::ImageRootfs> ensure(const std::string& reference, cluster::PullPolicy, std::stop_token) override {
    const auto name = TRY(oci::Reference::parse(reference));
    auto found = rootfs_.ensure(name);
    if (!found && found.error().code == ErrorCode::not_found)
      return fail(ErrorCode::not_found, fmt::format("{}; `slipway image import PATH {}` brings it in", found.error().message, reference));
    const oci::Rootfs rootfs = TRY(std::move(found));
    const auto& defaults = rootfs.defaults;
    return cluster::ImageRootfs{rootfs.layers,
                                {defaults.entrypoint, defaults.command, defaults.environment, defaults.user, defaults.working_folder, defaults.stop_signal},
                                rootfs.manifest.value};
  }

 private:
  const std::unique_ptr<store::BlobStore> blobs_;
  oci::ImageStore images_;
  oci::RootfsStore rootfs_;
};

}  // namespace

Result<std::unique_ptr<cluster::ImageProvider>> make_images(const DataFolder& data) {
  return std::make_unique<LocalImages>(data, TRY(store::BlobStore::open_folder(data.blobs())));
}

}  // namespace slipway::app
