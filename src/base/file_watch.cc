// SPDX-License-Identifier: Apache-2.0
#include "base/file_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/files.h"

namespace slipway {

Result<bool> wait_for_file(const std::string& path, int interrupt) {
  const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) return fail_errno("cannot watch", path);
  const std::string folder = parent_path(path);
  if (::inotify_add_watch(watch.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO) < 0) return fail_errno("cannot watch", folder);
  while (!exists(path)) {
    pollfd waits[] = {{watch.get(), POLLIN, 0}, {interrupt, POLLIN, 0}};
    ::poll(waits, 2, 1000);
    if (waits[1].revents != 0) return false;
    char events[4096];
    while (::read(watch.get(), events, sizeof events) > 0) {
    }
  }
  return true;
}

}  // namespace slipway
