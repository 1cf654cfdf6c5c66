// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/strings.h"
#include "cluster/node/build_context.h"
#include "sandbox/mounts.h"

namespace slipway::cluster {
namespace {
constexpr const char* hostname = "build";
std::string network_owner(const std::string& uid) { return "build-" + uid; }
}  // namespace

Result<sandbox::NamespaceFiles> BuildPlace::namespaces(sandbox::PodNetwork network) {
  const std::lock_guard lock(mutex_);
  const std::string owner = network_owner(uid);
  const sandbox::Ipv4 address = TRY(node.network.reserve(owner));
  return sandbox::make_namespaces(folder + "/ns", hostname, network, [&] { return node.network.attach(owner, address); });
}

Result<sandbox::NamespaceFiles> BuildPlace::lonely_namespaces() {
  const std::lock_guard lock(mutex_);
  return sandbox::make_namespaces(folder + "/ns-none", hostname, sandbox::PodNetwork::own);
}

Result<std::string> BuildPlace::network_files() {
  const std::lock_guard lock(mutex_);
  const std::string files = folder + "/files";
  if (exists(files + "/hosts")) return files;
  TRY(make_folders(files));
  const sandbox::PodDns dns = node.network.cluster_dns(ns);
  std::string resolv;
  if (!dns.searches.empty()) resolv += "search " + join(dns.searches, " ") + "\n";
  for (const std::string& server : dns.nameservers) resolv += "nameserver " + server + "\n";
  if (!dns.options.empty()) resolv += "options " + join(dns.options, " ") + "\n";
  TRY(write_file_atomically(files + "/resolv.conf", resolv, 0644));
  TRY(write_file_atomically(files + "/hosts", fmt::format("127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", hostname), 0644));
  return files;
}

Result<BuildMachine> BuildMachine::find(BuilderConfig config, sandbox::PodNetworkDriver& network) {
  sandbox::CgroupTree cgroups = TRY(sandbox::read_cgroup_tree());
  sandbox::Runtime runtime = TRY(sandbox::find_runtime(cgroups, config.data + "/runtime"));
  return BuildMachine{std::move(config), network, std::move(cgroups), std::move(runtime)};
}

Result<> clean_up_build(const BuildMachine& machine, const std::string& uid) {
  const std::string folder = build_work_path(machine.config.data, uid);
  const std::string group = machine.config.cgroup_root + "/build-" + uid;
  TRY(sandbox::kill_cgroup(machine.cgroups, group));
  for (const std::string& id : list_folder(machine.runtime.root_folder).value_or(std::vector<std::string>()))
    if (id.starts_with("build-" + uid)) (void)run(machine.runtime.remove_command(id));
  (void)sandbox::remove_cgroup(machine.cgroups, group);
  TRY(sandbox::remove_namespaces(folder + "/ns"));
  TRY(sandbox::remove_namespaces(folder + "/ns-none"));
  TRY(machine.network.release(network_owner(uid)));
  TRY(sandbox::unmount_below(folder));
  return remove_tree(folder);
}

Result<> clean_up_all_builds(const BuildMachine& machine) {
  for (const std::string& uid : list_folder(build_work_path(machine.config.data, "")).value_or(std::vector<std::string>())) TRY(clean_up_build(machine, uid));
  return {};
}

Result<> purge_builds(const BuilderConfig& config, sandbox::PodNetworkDriver& network) {
  if (!is_folder(build_work_path(config.data, ""))) return {};
  return clean_up_all_builds(TRY(BuildMachine::find(config, network)));
}

}  // namespace slipway::cluster
