// SPDX-License-Identifier: Apache-2.0
// From a tar to a folder and back, safe against whatever the tar says: no path, link or name leads out of the folder
// (openat2 beneath the root; T1, B5), devices are refused.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <vector>

#include "base/files.h"
#include "store/tar.h"

namespace slipway::store {

enum class Whiteouts {
  overlay,  // ".wh.x" becomes overlayfs' mark, for a layer that is stacked by the kernel
  apply,    // ".wh.x" deletes x, for several tars laid over each other in one folder
};
enum class Owners { keep, ignore };  // ignore: everything belongs to who unpacks

struct UnpackOptions {
  Whiteouts whiteouts = Whiteouts::overlay;
  Owners owners = Owners::keep;
  TarLimits limits;
};

// Lays the archive over the folder.
Result<> unpack(ByteSource archive, const std::string& folder, const UnpackOptions& options);

struct PackOptions {
  // Which entries go in (folders are always entered); absent: all.
  std::function<bool(const std::string& path, const struct stat& info)> chosen;
  std::vector<std::string> deleted;  // paths that become whiteouts
};

// The folder as a tar, sorted by path; overlayfs' marks become whiteouts. Sockets and devices are left out.
Result<> pack(const std::string& folder, const ByteSink& sink, const PackOptions& options = {});

// Bytes of an open file from where it stands.
ByteSource source_of(int descriptor);

}  // namespace slipway::store
