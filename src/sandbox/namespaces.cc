// SPDX-License-Identifier: Apache-2.0
#include "sandbox/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <linux/magic.h>
#include <thread>

#include "base/files.h"
#include "sandbox/mounts.h"
#include "sandbox/netlink.h"

namespace slipway::sandbox {
namespace {

// A namespace belongs to a thread: the change ends with it.
Result<> on_own_thread(const std::function<Result<>()>& task) {
  Result<> result;
  std::thread([&] { result = task(); }).join();
  return result;
}

Result<> bind_namespace(const char* name, const std::string& file) {
  const UniqueFd made(::open(file.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0600));
  if (!made) return fail_errno("cannot make", file);
  const std::string source = std::string("/proc/thread-self/ns/") + name;
  if (::mount(source.c_str(), file.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno("cannot keep namespace at", file);
  return {};
}

bool is_namespace(const std::string& file) {
  struct statfs info{};
  return ::statfs(file.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

Result<> loopback_up() {
  Netlink netlink = TRY(Netlink::open());
  return netlink.set_up("lo");
}

Result<> make_on_this_thread(const NamespaceFiles& files, const std::string& hostname,
                             const std::function<Result<>()>& inside) {
  const int flags = CLONE_NEWIPC | CLONE_NEWUTS | (files.network.empty() ? 0 : CLONE_NEWNET);
  if (::unshare(flags) != 0) return fail_errno("cannot make namespaces for", hostname);
  if (::sethostname(hostname.data(), hostname.size()) != 0) return fail_errno("cannot set host name", hostname);
  if (!files.network.empty()) TRY(loopback_up());
  if (inside) TRY(inside());
  TRY(bind_namespace("ipc", files.ipc));
  TRY(bind_namespace("uts", files.uts));
  // The network comes last: its file says that all are there.
  return files.network.empty() ? Result<>() : bind_namespace("net", files.network);
}

}  // namespace

NamespaceFiles namespace_files(const std::string& folder, PodNetwork network) {
  return {network == PodNetwork::host ? std::string() : folder + "/net", folder + "/ipc", folder + "/uts"};
}

bool namespaces_exist(const NamespaceFiles& files) {
  return is_namespace(files.uts) && is_namespace(files.ipc) && (files.network.empty() || is_namespace(files.network));
}

Result<NamespaceFiles> make_namespaces(const std::string& folder, const std::string& hostname, PodNetwork network,
                                       const std::function<Result<>()>& inside) {
  NamespaceFiles files = namespace_files(folder, network);
  if (namespaces_exist(files)) return files;
  TRY(remove_namespaces(folder));  // half-made ones
  TRY(make_folders(folder, 0700));
  TRY(on_own_thread([&] { return make_on_this_thread(files, hostname, inside); }));
  return files;
}

Result<> remove_namespaces(const std::string& folder) {
  for (const char* name : {"/net", "/ipc", "/uts"}) {
    const std::string file = folder + name;
    if (!exists(file)) continue;
    TRY(unmount(file));
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return fail_errno("cannot remove", file);
  }
  return {};
}

Result<> run_in_network(const std::string& file, const std::function<Result<>()>& task) {
  const UniqueFd target(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) return fail_errno("cannot open", file);
  return on_own_thread([&]() -> Result<> {
    if (::setns(target.get(), CLONE_NEWNET) != 0) return fail_errno("cannot enter", file);
    return task();
  });
}

Result<> run_in_new_network(const std::function<Result<>()>& task) {
  return on_own_thread([&]() -> Result<> {
    if (::unshare(CLONE_NEWNET) != 0) return fail_errno("cannot make", "network namespace");
    TRY(loopback_up());
    return task();
  });
}

}  // namespace slipway::sandbox
