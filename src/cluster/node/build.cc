// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "cluster/node/build_job.h"
#include "cluster/node/pull.h"
#include "kube/control.h"

namespace slipway::cluster {
namespace {

using kube::Next;
using kube::ObjectKey;
using text::Json;

constexpr std::chrono::milliseconds wait_for_place{500};
constexpr std::chrono::milliseconds sync_pause{5};
constexpr std::size_t max_message = 4096;

std::string phase_of(const Json& build) { return build["status"]["phase"].str("Pending"); }
bool is_finished(const Json& build) { return phase_of(build) == "Succeeded" || phase_of(build) == "Failed"; }

// A build that runs, or has run and whose end is not told yet.
struct Running {
  ObjectKey key;
  std::mutex mutex;
  std::vector<StepReport> steps;
  std::optional<Result<BuiltImage>> outcome;
  std::unique_ptr<Task> task;
};

Json steps_json(const std::vector<StepReport>& steps) {
  std::vector<Json> out;
  for (const StepReport& step : steps)
    out.push_back(Json::object({{"name", step.name}, {"seconds", static_cast<double>(static_cast<std::int64_t>(step.seconds * 1000)) / 1000}, {"cached", step.cached}}));
  return Json::array(std::move(out));
}

class Builder final : public ImageBuilder {
 public:
  Builder(BuildNode node, kube::Client& client, Metrics* metrics)
      : node_(std::move(node)), client_(client), builds_(client, node_.executor, kube::resources::image_builds, {}) {
    controller_ = std::make_unique<kube::Controller>(
        node_.executor, "image-builds", [this](const ObjectKey& key, std::stop_token) { return reconcile(key); }, 1, metrics);
  }

  ~Builder() override {
    if (starter_) starter_->request_stop();
    builds_.stop();
    starter_.reset();
    // Builds want to wake the controller: first they find none, then each is waited for.
    std::unique_ptr<kube::Controller> controller;
    {
      const std::lock_guard lock(wake_mutex_);
      controller = std::move(controller_);
    }
    controller->request_stop();
    controller.reset();
    for (auto& [uid, one] : running_) one->task->request_stop();
    for (auto& [uid, one] : running_) one->task.reset();
  }

  Result<> start() {
    // What a killed process left is in the way of the same builds.
    TRY(clean_up_all_builds(node_));
    builds_.on_change([this](const Json& before, const Json& after) { wake(kube::key_of(after.is_null() ? before : after)); });
    builds_.start();
    starter_ = node_.executor.spawn("build-start", [this](std::stop_token stop) {
      while (!builds_.synced())
        if (!node_.executor.sleep(sync_pause, stop)) return;
      const std::lock_guard lock(wake_mutex_);
      if (controller_) controller_->start();
    });
    return {};
  }

 private:
  void wake(const ObjectKey& key) {
    const std::lock_guard lock(wake_mutex_);
    if (controller_) controller_->enqueue(key);
  }

  Result<Next> reconcile(const ObjectKey& key) {
    const Json build = builds_.get(key);
    const std::string uid = build["metadata"]["uid"].str();
    stop_others(key, build["metadata"]["deletionTimestamp"].is_null() ? uid : "");
    if (build.is_null() || is_finished(build) || !build["metadata"]["deletionTimestamp"].is_null()) return Next::done();
    if (const auto running = find(uid)) return report(key, uid, *running);
    return begin(key, build, uid);
  }

  std::shared_ptr<Running> find(const std::string& uid) {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(uid);
    return found == running_.end() ? nullptr : found->second;
  }

  // A build whose object is gone, or another one by now, ends.
  void stop_others(const ObjectKey& key, const std::string& uid) {
    std::vector<std::shared_ptr<Running>> gone;
    {
      const std::lock_guard lock(mutex_);
      for (auto it = running_.begin(); it != running_.end();) {
        const bool other = it->second->key == key && it->first != uid;
        if (other) gone.push_back(it->second);
        it = other ? running_.erase(it) : std::next(it);
      }
    }
    for (const auto& one : gone) one->task.reset();
  }

  Result<Next> begin(const ObjectKey& key, const Json& build, const std::string& uid) {
    {
      const std::lock_guard lock(mutex_);
      if (running_.size() >= max_builds_at_once) return Next::after(wait_for_place);
    }
    const auto request = BuildRequest::from_spec(build["spec"], node_.config.registry);
    const std::string now = format_rfc3339(node_.executor.clock().now());
    if (!request) {
      TRY(write(key, uid, Json::object({{"phase", "Failed"}, {"message", request.error().to_string()}, {"startTime", now}, {"completionTime", now}})));
      return Next::done();
    }
    const bool goes_on = phase_of(build) == "Running";
    TRY(write(key, uid, Json::object({{"phase", "Running"}, {"startTime", build["status"]["startTime"].str(now)}, {"message", ""}})));
    auto running = std::make_shared<Running>();
    running->key = key;
    {
      const std::lock_guard lock(mutex_);
      running_[uid] = running;
    }
    running->task = node_.executor.spawn("image-build", [this, running, uid, request = *request, goes_on](std::stop_token stop) { carry_out(*running, uid, request, goes_on, stop); });
    return Next::done();
  }

  void carry_out(Running& running, const std::string& uid, const BuildRequest& request, bool goes_on, std::stop_token stop) {
    auto outcome = [&]() -> Result<BuiltImage> {
      const std::string path = build_log_path(node_.config.data, running.key.ns, running.key.name);
      const auto log = TRY(BuildLog::open(path, goes_on ? BuildLog::Begin::behind : BuildLog::Begin::anew));
      if (node_.config.on_log_begin) node_.config.on_log_begin(uid, path);
      if (goes_on) log->line("the build goes on after a restart of the node");
      BuildPlace place(node_, uid, running.key.ns, *log, node_.executor.clock().steady() + max_build_time, [&](StepReport step) {
        {
          const std::lock_guard lock(running.mutex);
          if (running.steps.size() < max_reported_steps) running.steps.push_back(std::move(step));
        }
        wake(running.key);
      });
      place.docker_configs = [&] { return credentials(running.key.ns, request); };
      auto built = build_image(place, request, stop);
      if (!built) log->line("error: " + printable(built.error().to_string()));
      return built;
    }();
    if (const auto cleaned = clean_up_build(node_, uid); !cleaned) log::warn("cannot remove what a build left", {{"build", running.key.to_string()}, {"error", cleaned.error().to_string()}});
    if (stop.stop_requested()) return;  // the next start goes on with it
    if (node_.config.on_log_end) node_.config.on_log_end(uid);
    {
      const std::lock_guard lock(running.mutex);
      running.outcome = std::move(outcome);
    }
    wake(running.key);
  }

  // The secret that the build names, else what its ServiceAccount pulls and pushes with.
  std::vector<std::string> credentials(const std::string& ns, const BuildRequest& request) {
    if (request.docker_config_secret.empty()) return push_secrets(client_, ns, request.service_account);
    return pull_secrets(client_, ns, Json::array({Json::object({{"name", request.docker_config_secret}})}), "");
  }

  Result<Next> report(const ObjectKey& key, const std::string& uid, Running& running) {
    Json status = Json::object();
    bool over = false;
    {
      const std::lock_guard lock(running.mutex);
      status = status.with("steps", steps_json(running.steps));
      over = running.outcome.has_value();
      if (over) status = finished_status(*running.outcome, status);
    }
    if (over && status["phase"].as_string() == "Succeeded") status = status.with("imageUrl", builds_.get(key)["spec"]["image"].str());
    TRY(write(key, uid, status));
    if (!over) return Next::done();
    std::shared_ptr<Running> last;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = running_.find(uid); found != running_.end()) {
        last = std::move(found->second);
        running_.erase(found);
      }
    }
    if (last) last->task.reset();  // here: a task cannot wait for itself
    return Next::done();
  }

  Json finished_status(const Result<BuiltImage>& outcome, Json status) const {
    status = status.with("completionTime", format_rfc3339(node_.executor.clock().now()));
    if (!outcome) return status.with("phase", "Failed").with("message", outcome.error().to_string().substr(0, max_message));
    return status.with("phase", "Succeeded").with("digest", outcome->manifest.value);
  }

  // The phase as the condition that `kubectl wait --for=condition=Succeeded` asks for. Written when the phase changes.
  Json succeeded(const Json& status) const {
    const std::string phase = status["phase"].str();
    const char* value = phase == "Succeeded" ? "True" : phase == "Failed" ? "False" : "Unknown";
    return Json::object({{"type", "Succeeded"}, {"status", value}, {"reason", phase}, {"message", status["message"].str()}, {"lastTransitionTime", format_rfc3339(node_.executor.clock().now())}});
  }

  // With the uid as a precondition: an object of the same name that came later is another build.
  Result<> write(const ObjectKey& key, const std::string& uid, Json status) {
    if (!status["phase"].is_null()) status = status.with("conditions", Json::array({succeeded(status)}));
    const Json body = Json::object({{"metadata", Json::object({{"uid", uid}})}, {"status", status}});
    const auto written = client_.patch(kube::resources::image_builds, key, kube::PatchType::merge, body, {}, "status");
    if (!written && written.error().code == ErrorCode::not_found) return {};
    if (!written) return std::unexpected(written.error());
    builds_.observed(*written);
    return {};
  }

  BuildNode node_;
  kube::Client& client_;
  kube::Informer builds_;
  std::mutex wake_mutex_;
  std::unique_ptr<kube::Controller> controller_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Running>> running_;  // by uid
  std::unique_ptr<Task> starter_;
};

Result<BuildNode> make_node(BuilderConfig config, Executor& executor, ImageProvider& provider, oci::ImageStore& images, sandbox::PodNetworkDriver& network) {
  TRY(make_folders(build_work_path(config.data, ""), 0700));
  TRY(make_folders(build_cache_path(config.data), 0700));
  TRY(make_folders(config.data + "/runtime", 0700));
  auto rootfs = std::make_unique<oci::RootfsStore>(config.layers, images);
  auto cache = std::make_unique<BuildCache>(build_cache_path(config.data), images.blobs());
  return BuildNode{TRY(BuildMachine::find(std::move(config), network)), executor, provider, images, std::move(rootfs), std::move(cache)};
}

}  // namespace

Result<std::unique_ptr<ImageBuilder>> ImageBuilder::start(BuilderConfig config, kube::Client& client, Executor& executor, ImageProvider& provider, oci::ImageStore& images,
                                                          sandbox::PodNetworkDriver& network, Metrics* metrics) {
  auto builder = std::make_unique<Builder>(TRY(make_node(std::move(config), executor, provider, images, network)), client, metrics);
  TRY(builder->start());
  return builder;
}

}  // namespace slipway::cluster
