// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/container_setup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "cluster/node/pod_status.h"
#include "sandbox/mounts.h"
#include "sandbox/user.h"

namespace slipway::cluster {
namespace {

// A field of the container's security context, else of the pod's.
const Json& security(const SetupContext& context, std::string_view field) {
  const Json& own = context.container["securityContext"][field];
  return own.is_null() ? context.facts.pod["spec"]["securityContext"][field] : own;
}

Result<std::uint32_t> id_of(const Json& value) {
  if (!value.is_int() || value.as_int() < 0 || value.as_int() > sandbox::max_id) return fail(ErrorCode::invalid, "user or group id is out of range");
  return static_cast<std::uint32_t>(value.as_int());
}

Result<> set_user(const SetupContext& context, sandbox::ContainerConfig& config) {
  const Json& user = security(context, "runAsUser");
  const std::string wanted = user.is_null() ? context.image.config.user : std::to_string(TRY(id_of(user)));
  const auto resolved = TRY(sandbox::resolve_user_in(config.root_folder, wanted));
  config.user = resolved.user;
  config.group = resolved.group;
  config.extra_groups = resolved.extra_groups;
  if (const Json& group = security(context, "runAsGroup"); !group.is_null()) config.group = TRY(id_of(group));
  if (config.user == 0 && security(context, "runAsNonRoot").as_bool())
    return fail(ErrorCode::invalid, "container has runAsNonRoot and image will run as root");
  const Json& pod = context.facts.pod["spec"]["securityContext"];
  for (const Json& group : pod["supplementalGroups"].items()) config.extra_groups.push_back(TRY(id_of(group)));
  if (const Json& group = pod["fsGroup"]; !group.is_null()) config.extra_groups.push_back(TRY(id_of(group)));
  return {};
}

std::vector<std::string> words(const Json& list, const std::map<std::string, std::string>& known) {
  std::vector<std::string> result;
  for (const Json& item : list.items()) result.push_back(expand(item.as_string(), known));
  return result;
}

void set_command(const SetupContext& context, const std::map<std::string, std::string>& known, sandbox::ContainerConfig& config) {
  const Json& command = context.container["command"];
  const Json& arguments = context.container["args"];
  const ImageConfig& image = context.image.config;
  config.arguments = command.empty() ? image.entrypoint : words(command, known);
  // The image's own arguments belong to its own entrypoint.
  const auto rest = !arguments.empty() ? words(arguments, known) : command.empty() ? image.command : std::vector<std::string>();
  config.arguments.insert(config.arguments.end(), rest.begin(), rest.end());
}

void set_security(const SetupContext& context, sandbox::ContainerConfig& config) {
  const Json& own = context.container["securityContext"];
  for (const Json& name : own["capabilities"]["add"].items()) config.add_capabilities.push_back(name.str());
  for (const Json& name : own["capabilities"]["drop"].items()) config.drop_capabilities.push_back(name.str());
  if (own["privileged"].as_bool()) config.privilege = sandbox::Privilege::privileged;
  if (own["allowPrivilegeEscalation"].is_bool() && !own["allowPrivilegeEscalation"].as_bool()) config.privilege_gain = sandbox::PrivilegeGain::forbidden;
  if (own["readOnlyRootFilesystem"].as_bool()) config.root_access = sandbox::RootAccess::read_only;
  if (security(context, "seccompProfile")["type"].as_string() == "Unconfined") config.seccomp = sandbox::Seccomp::unconfined;
}

void add_pod_files(const SetupContext& context, sandbox::ContainerConfig& config) {
  const auto is_mounted = [&](std::string_view path) {
    return std::ranges::any_of(config.mounts, [&](const auto& m) { return m.destination == path; });
  };
  for (const char* name : {"hosts", "resolv.conf", "hostname"}) {
    const std::string target = std::string("/etc/") + name;
    if (!is_mounted(target)) config.mounts.push_back({context.pod_files + "/" + name, target, "bind", {"rbind", "rprivate", "rw"}});
  }
  if (!is_mounted("/dev/shm")) config.mounts.push_back({context.pod_files + "/shm", "/dev/shm", "bind", {"rbind", "rprivate", "rw"}});
  const std::string path(context.container["terminationMessagePath"].as_string("/dev/termination-log"));
  config.mounts.push_back({context.bundle + "/termination", path, "bind", {"rbind", "rprivate", "rw"}});
}

}  // namespace

Result<> check_supported(const Json& pod, HostAccess host_access) {
  const Json& spec = pod["spec"];
  const auto refuse = [](std::string_view field) { return fail(ErrorCode::invalid, fmt::format("{} is not supported by this node", field)); };
  if (spec["shareProcessNamespace"].as_bool()) return refuse("spec.shareProcessNamespace");
  if (spec["hostUsers"].is_bool() && !spec["hostUsers"].as_bool()) return refuse("spec.hostUsers: false");
  if (spec["securityContext"].contains("windowsOptions")) return refuse("spec.securityContext.windowsOptions");
  if (!spec["securityContext"]["sysctls"].empty()) return refuse("spec.securityContext.sysctls");
  if (!spec["runtimeClassName"].is_null()) return refuse("spec.runtimeClassName");
  if (!spec["ephemeralContainers"].empty()) return refuse("spec.ephemeralContainers");
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"})
    if (spec[field].as_bool() && host_access != HostAccess::allowed) return refuse(std::string("spec.") + field);
  for (const char* list : {"containers", "initContainers"})
    for (const Json& container : spec[list].items()) {
      if (container["tty"].as_bool()) return refuse("tty");
      if (container["lifecycle"].contains("postStart")) return refuse("lifecycle.postStart");
      for (const char* probe : {"startupProbe", "readinessProbe", "livenessProbe"})
        if (container[probe].contains("grpc")) return refuse(std::string(probe) + ".grpc");
      if (!container["volumeDevices"].empty()) return refuse("volumeDevices");
      if (container["securityContext"]["privileged"].as_bool() && host_access != HostAccess::allowed) return refuse("securityContext.privileged");
      for (const char* level : {"seccompProfile", "appArmorProfile"}) {
        const auto type = container["securityContext"][level]["type"].as_string(spec["securityContext"][level]["type"].as_string());
        if (type == "Localhost") return refuse(fmt::format("{} of type Localhost", level));
      }
    }
  return {};
}

Result<sandbox::ContainerResources> container_resources(const Json& container) {
  const Json& limits = container["resources"]["limits"];
  const Json& requests = container["resources"]["requests"];
  sandbox::ContainerResources result;
  if (!limits["cpu"].is_null()) result.cpu_limit_milli = TRY(parse_milli(limits["cpu"]));
  result.cpu_request_milli = requests["cpu"].is_null() ? result.cpu_limit_milli : TRY(parse_milli(requests["cpu"]));
  if (!limits["memory"].is_null()) result.memory_limit_bytes = TRY(parse_milli(limits["memory"])) / 1000;
  return result;
}

sandbox::ContainerResources pod_resources(const Json& pod) {
  sandbox::ContainerResources sum{.pids_limit = pids_limit};
  for (const Json& container : pod["spec"]["containers"].items())
    if (const auto one = container_resources(container)) sum.cpu_request_milli += one->cpu_request_milli;
  return sum;
}

int signal_number(std::string_view name) {
  if (const auto number = parse_int(name); number && *number > 0 && *number < 65) return static_cast<int>(*number);
  static const std::map<std::string_view, int> known{{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
                                                     {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}};
  if (name.starts_with("SIG")) name.remove_prefix(3);
  const auto found = known.find(name);
  return found == known.end() ? SIGTERM : found->second;
}

Result<sandbox::ContainerConfig> make_container_config(const SetupContext& context) {
  const Json& pod = context.facts.pod;
  sandbox::ContainerConfig config;
  config.root_folder = context.bundle + "/root";
  std::map<std::string, std::string> extra = context.extra_environment;
  extra["HOSTNAME"] = pod["spec"]["hostname"].str(pod["metadata"]["name"].as_string());
  const Environment environment = TRY(make_environment(context.facts, context.container, context.image.config.environment, extra, context.references));
  config.environment = environment.list;
  set_command(context, environment.values, config);
  config.working_folder = context.container["workingDir"].str(context.image.config.working_folder.empty() ? "/" : context.image.config.working_folder);
  TRY(set_user(context, config));
  set_security(context, config);
  config.mounts = TRY(volume_mounts(context.container, context.volumes, environment.values));
  add_pod_files(context, config);
  config.resources = TRY(container_resources(context.container));
  config.namespaces = {context.namespaces.network, pod["spec"]["hostIPC"].as_bool() ? std::string() : context.namespaces.ipc,
                       context.namespaces.uts, pod["spec"]["hostPID"].as_bool()};
  config.cgroup_path = context.cgroup;
  const std::string qos = qos_class(pod);
  config.oom_score_adj = qos == "BestEffort" ? 1000 : qos == "Burstable" ? 500 : 0;
  return config;
}

Result<> prepare_bundle(const SetupContext& context) {
  TRY(make_folders(context.bundle, 0700));
  TRY(sandbox::mount_overlay({context.image.layers, context.bundle + "/upper", context.bundle + "/work", context.bundle + "/root"}));
  const UniqueFd message(::open((context.bundle + "/termination").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (!message || ::fchmod(message.get(), 0666) != 0) return fail_errno("cannot make termination message in", context.bundle);
  const auto spec = TRY(sandbox::make_runtime_spec(TRY(make_container_config(context))));
  const UniqueFd out(::open((context.bundle + "/config.json").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return fail_errno("cannot make config in", context.bundle);
  return write_all(out.get(), text::to_json(spec));
}

}  // namespace slipway::cluster
