// SPDX-License-Identifier: Apache-2.0
// The part of PodWorker that tells the API, and the part that cleans up.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cluster/node/pod_worker.h"
#include "sandbox/mounts.h"

namespace slipway::cluster {
namespace {

using sandbox::Phase;

constexpr std::int64_t fallback_lines = 80;
constexpr std::size_t fallback_bytes = 2048;

std::string last_of_log(const std::string& path) {
  std::string text;
  sandbox::LogOptions options;
  options.tail_lines = fallback_lines;
  (void)sandbox::read_log(path, options, [&](std::string_view piece) { return text += piece, text.size() < 64 * fallback_bytes; });
  return text.size() > fallback_bytes ? text.substr(text.size() - fallback_bytes) : text;
}

}  // namespace

std::map<std::string, std::string> PodWorker::termination_messages() {
  for (const ContainerRecord& record : state().containers) {
    if (record.phase != Phase::exited || messages_.contains(record.id)) continue;
    const std::string file = folders_.bundle(record.name, record.attempt) + "/termination";
    std::string message = read_file(file, 1024 * 1024).value_or("").substr(0, max_termination_message);
    const Json container = container_json(record.name);
    const bool fall_back = container["terminationMessagePolicy"].as_string() == "FallbackToLogsOnError";
    if (message.empty() && fall_back && record.exit_code != 0) message = last_of_log(folders_.log(record.name, record.attempt));
    messages_[record.id] = std::move(message);
  }
  return messages_;
}

Result<> PodWorker::write_status(const PodPlan& plan) {
  std::map<std::string, std::string> images;
  {
    const std::lock_guard lock(mutex_);
    for (const char* list : {"containers", "initContainers"})
      for (const Json& container : pod_["spec"][list].items()) {
        const auto image = images_.find(container["image"].str());
        if (image != images_.end() && image->second.result && *image->second.result) images[container["name"].str()] = (*image->second.result)->digest;
        for (const Json& old : pod_["status"][std::string_view(list) == "containers" ? "containerStatuses" : "initContainerStatuses"].items())
          if (old["name"] == container["name"] && !images.contains(container["name"].str())) images[container["name"].str()] = old["imageID"].str();
      }
  }
  const auto now_health = health();
  const MonitorState now_state = state();
  const PodFacts known = facts();
  const std::string ip = known.pod_ip.empty() ? pod_["status"]["podIP"].str() : known.pod_ip;
  Json status = make_pod_status({pod_, now_state, plan, now_health, waiting_, images, termination_messages(), ip, node_.config.host_ip,
                                 set_up_ && !finished_, stopping_, node_.executor.clock().now()});
  if (status == last_status_) return {};
  bool same = true;  // as the API has it already: after a restart of the agent
  for (const auto& member : status.members()) same &= pod_["status"][member.key()] == member.value;
  if (!same) {
    const Json body = Json::object({{"metadata", Json::object({{"uid", uid_}})}, {"status", status}});
    const auto written = node_.client.patch(kube::resources::pods, kube::key_of(pod_), kube::PatchType::merge, body, {}, "status");
    if (!written && written.error().code != ErrorCode::not_found) return std::unexpected(written.error());
    if (written) {
      const std::lock_guard lock(pod_mutex_);
      pod_ = pod_.with("status", (*written)["status"]);  // times of conditions stay what was written
    }
  }
  last_status_ = std::move(status);
  return {};
}

// A pod that ran to its end keeps its logs and its record; the rest goes at once.
void PodWorker::release_finished() {
  if (finished_ || any_running()) return;
  (void)termination_messages();
  finished_ = true;
  (void)node_.hub->send(uid_, {.quit = sandbox::QuitMonitor{}});
  node_.hub->drop(uid_);
  (void)sandbox::remove_namespaces(folders_.namespaces());
  (void)sandbox::unmount_below(folders_.root);
  if (!host_network_) (void)node_.network.release(uid_);
  (void)sandbox::remove_cgroup(node_.cgroups, cgroup_);
}

Result<> PodWorker::remove_everything() {
  for (auto& stopper : stoppers_) stopper->request_stop();
  stoppers_.clear();
  {
    const std::lock_guard lock(mutex_);
    probes_.clear();
  }
  const MonitorState last = state();
  (void)node_.hub->send(uid_, {.quit = sandbox::QuitMonitor{}});
  node_.hub->drop(uid_);
  TRY(sandbox::kill_cgroup(node_.cgroups, cgroup_));
  TRY(sandbox::remove_namespaces(folders_.namespaces()));
  if (!host_network_) TRY(node_.network.release(uid_));
  TRY(sandbox::unmount_below(folders_.root));
  (void)sandbox::remove_cgroup(node_.cgroups, cgroup_);  // the runtime may be about to
  return remove_tree(folders_.root);
}

}  // namespace slipway::cluster
