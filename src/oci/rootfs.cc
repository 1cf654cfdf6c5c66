// SPDX-License-Identifier: Apache-2.0
#include "oci/rootfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/random.h"
#include "oci/compress.h"
#include "store/unpack.h"

namespace slipway::oci {

std::shared_ptr<std::mutex> RootfsStore::lock_of(const std::string& hex) {
  const std::lock_guard lock(mutex_);
  auto& found = locks_[hex];
  if (!found) found = std::make_shared<std::mutex>();
  return found;
}

Result<std::string> RootfsStore::layer(const Descriptor& layer) {
  const std::string hex(layer.digest.hex());
  const std::string folder = folder_ + "/" + hex;
  if (is_folder(folder)) return folder;
  const auto lock = lock_of(hex);
  const std::lock_guard guard(*lock);
  if (!is_folder(folder)) TRY(at(unpack_layer(layer, folder), layer.digest.value));
  return folder;
}

Result<> RootfsStore::unpack_layer(const Descriptor& layer, const std::string& folder) {
  TRY(make_folders(folder_, 0700));
  const std::string temporary = folder + ".tmp-" + SystemRandom().name_suffix(8);
  const auto reader = TRY(images_.blobs().open(layer.digest));
  std::uint64_t offset = 0;
  const ByteSource blob = [&](std::size_t at_most) -> Result<std::string> {
    std::string piece = TRY(reader->read_at(offset, at_most));
    offset += piece.size();
    return piece;
  };
  auto unpacked = store::unpack(decompressed(blob), temporary, {});
  if (unpacked) {
    const UniqueFd fd(::open(temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ::syncfs(fd.get());  // what the name promises is on disk before the name is
    if (::rename(temporary.c_str(), folder.c_str()) == 0 || errno == EEXIST || errno == ENOTEMPTY) {
      if (!exists(temporary)) return {};
    } else {
      unpacked = fail_errno("cannot name", folder);
    }
  }
  (void)remove_tree(temporary);
  return unpacked;
}

Result<Rootfs> RootfsStore::ensure(const store::Digest& digest) {
  const store::Digest chosen = TRY(choose_platform(images_.blobs(), digest));
  const Manifest manifest = TRY(read_manifest(images_.blobs(), chosen));
  Rootfs out{{}, TRY(read_configuration(images_.blobs(), manifest)).defaults, digest};
  for (auto it = manifest.layers.rbegin(); it != manifest.layers.rend(); ++it) out.layers.push_back(TRY(layer(*it)));
  return out;
}

Result<Rootfs> RootfsStore::ensure(const Reference& reference) { return ensure(TRY(images_.resolve(reference))); }

}  // namespace slipway::oci
