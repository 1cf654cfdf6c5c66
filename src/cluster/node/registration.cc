// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/registration.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::cluster {
namespace {

std::string os_name() {
  const std::string text = read_file("/etc/os-release", 64 * 1024).value_or("");
  for (const std::string_view line : split_lines(text))
    if (line.starts_with("PRETTY_NAME=\"")) return std::string(line.substr(13, line.size() - 14));
  return "Linux";
}

Json node_condition(const Json& old, std::string_view type, const char* status, std::string_view reason, std::string_view message, Wall now) {
  Json since = format_rfc3339(now);
  for (const Json& before : old["status"]["conditions"].items())
    if (before["type"].as_string() == type && before["status"].as_string() == status) since = before["lastTransitionTime"];
  return Json::object({{"type", type}, {"status", status}, {"reason", reason}, {"message", message},
                       {"lastHeartbeatTime", format_rfc3339(now)}, {"lastTransitionTime", since}});
}

}  // namespace

Machine read_machine(const std::string& data_folder) {
  Machine machine;
  machine.cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  struct sysinfo memory{};
  if (::sysinfo(&memory) == 0) machine.memory_bytes = static_cast<std::int64_t>(memory.totalram) * memory.mem_unit;
  struct statvfs disk{};
  if (::statvfs(data_folder.c_str(), &disk) == 0) machine.disk_bytes = static_cast<std::int64_t>(disk.f_blocks * disk.f_frsize);
  utsname names{};
  if (::uname(&names) == 0) machine.kernel = names.release, machine.hostname = names.nodename;
  machine.machine_id = trim(read_file("/etc/machine-id", 256).value_or(""));
  machine.boot_id = trim(read_file("/proc/sys/kernel/random/boot_id", 256).value_or(""));
  machine.os_image = os_name();
  return machine;
}

Json make_node(const NodeConfig& config) {
  const Json labels = Json::object({{"kubernetes.io/hostname", config.name}, {"kubernetes.io/os", "linux"}, {"kubernetes.io/arch", "amd64"}});
  Json spec = Json::object();
  if (!config.pod_cidr.empty()) spec = spec.with("podCIDR", config.pod_cidr).with("podCIDRs", Json::array({Json(config.pod_cidr)}));
  return Json::object({{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", Json::object({{"name", config.name}, {"labels", labels}})}, {"spec", spec}});
}

Json make_node_status(const NodeConfig& config, const Machine& machine, const Json& old, Wall now) {
  const Json resources = Json::object({{"cpu", std::to_string(machine.cpus)},
                                       {"memory", fmt::format("{}Ki", machine.memory_bytes / 1024)},
                                       {"ephemeral-storage", fmt::format("{}Ki", machine.disk_bytes / 1024)},
                                       {"pods", std::to_string(config.max_pods)}});
  const Json addresses = Json::array({Json::object({{"type", "InternalIP"}, {"address", config.host_ip}}), Json::object({{"type", "Hostname"}, {"address", config.name}})});
  const Json conditions = Json::array(
      {node_condition(old, "MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available", now),
       node_condition(old, "DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", now),
       node_condition(old, "PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available", now),
       node_condition(old, "Ready", "True", "KubeletReady", "the node agent is ready", now)});
  const Json info = Json::object({{"kernelVersion", machine.kernel}, {"osImage", machine.os_image}, {"machineID", machine.machine_id},
                                  {"systemUUID", machine.machine_id}, {"bootID", machine.boot_id}, {"kubeletVersion", config.version},
                                  {"kubeProxyVersion", ""}, {"containerRuntimeVersion", "slipway://0.1.0"}, {"operatingSystem", "linux"}, {"architecture", "amd64"}});
  return Json::object({{"capacity", resources}, {"allocatable", resources}, {"addresses", addresses}, {"conditions", conditions}, {"nodeInfo", info},
                       {"daemonEndpoints", Json::object({{"kubeletEndpoint", Json::object({{"Port", config.kubelet_port}})}})}});
}

Json make_lease(const NodeConfig& config, Wall now) {
  return Json::object({{"apiVersion", "coordination.k8s.io/v1"}, {"kind", "Lease"},
                       {"metadata", Json::object({{"name", config.name}, {"namespace", "kube-node-lease"}})},
                       {"spec", Json::object({{"holderIdentity", config.name}, {"leaseDurationSeconds", lease_duration.count()}, {"renewTime", format_rfc3339_micro(now)}})}});
}

}  // namespace slipway::cluster
