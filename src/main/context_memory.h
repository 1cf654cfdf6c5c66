// SPDX-License-Identifier: Apache-2.0
// Which blob a folder was packed into, so that a build of a folder in which nothing changed reads none of its files.
//
// A file counts as unchanged while device, inode, mode, owner, size and both times are the same, as git's index has it.
// A file that changed within the clock's grain before the look may change once more unseen: then nothing is kept.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "store/blobs.h"

namespace slipway::app {

class ContextMemory final {
 public:
  struct State {
    std::string fingerprint;  // of all that goes along
    bool is_settled = false;  // nothing changed just now
  };
  // `folder` is absolute and without links; the memory lies below `home`.
  ContextMemory(std::string home, const std::string& folder);

  // `goes_along` gets relative paths. Folders are entered in any case, as store::pack does.
  static Result<State> look(const std::string& folder, const std::function<bool(const std::string& path)>& goes_along);
  std::optional<store::Digest> recall(const State& state) const;
  // A memory that cannot be written is only slower.
  void keep(const State& state, const store::Digest& digest) const;

 private:
  const std::string home_, file_;
};

}  // namespace slipway::app
