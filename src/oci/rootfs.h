// SPDX-License-Identifier: Apache-2.0
// From an image to folders that overlayfs can stack: each layer is unpacked once, under its digest, and appears only
// when it is whole. Any thread; several processes may share the folder.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "oci/image_store.h"

namespace slipway::oci {

struct Rootfs {
  std::vector<std::string> layers;  // folders, the uppermost first
  ContainerDefaults defaults;
  store::Digest manifest;
};

class RootfsStore final {
 public:
  RootfsStore(std::string folder, ImageStore& images) : folder_(std::move(folder)), images_(images) {}
  Result<Rootfs> ensure(const Reference& reference);
  Result<Rootfs> ensure(const store::Digest& manifest);
  Result<std::string> layer(const Descriptor& layer);  // its folder

 private:
  std::shared_ptr<std::mutex> lock_of(const std::string& hex);
  Result<> unpack_layer(const Descriptor& layer, const std::string& folder);
  const std::string folder_;
  ImageStore& images_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<std::mutex>> locks_;
};

}  // namespace slipway::oci
