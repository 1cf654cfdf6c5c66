// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/sync.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "deliver/sync/app.h"
#include "deliver/sync/runs.h"
#include "deliver/sync/target.h"
#include "desired/health.h"

namespace slipway::deliver {
namespace {

using desired::Health;
using kube::Next;
using kube::ObjectKey;
using text::Json;

constexpr std::chrono::seconds watch_period{2};   // health is also pushed by watches; this is the net below
constexpr std::chrono::seconds idle_period{60};
constexpr std::size_t max_releases = 20;

const kube::Resource& app_resource() { return kube::resources::apps; }

class Sync final {
 public:
  Sync(kube::Manager& manager, SyncDependencies dependencies)
      : manager_(manager),
        dependencies_(dependencies),
        apps_(manager.informer(kube::resources::apps)),
        releases_(manager.informer(kube::resources::releases)),
        runs_(manager.informer(kube::resources::pipeline_runs)),
        task_runs_(manager.informer(kube::resources::task_runs)),
        repositories_(manager.informer(kube::resources::repositories)),
        target_(manager) {}

  Result<Next> reconcile(const ObjectKey& key) {
    const Json object = apps_.get(key);
    if (object.is_null() || !object["metadata"]["deletionTimestamp"].is_null()) return Next::done();
    AppState app(object);
    auto next = step(app);
    if (!next) app.message = next.error().to_string();
    TRY(write_status(app, object));
    if (!next && next.error().code == ErrorCode::invalid) return Next::after(idle_period);  // only a new commit mends it
    return next;
  }

  Target& target() { return target_; }

 private:
  Result<Next> step(AppState& app) {
    auto head = dependencies_.commits.head(app.key.ns, app.repository, app.branch);
    if (!head && head.error().code == ErrorCode::not_found) return app.message = head.error().message, Next::done();
    const std::string commit = TRY(std::move(head));
    const std::string held = TRY(choose_release(app, commit));
    const std::string wanted = app.release_to_run();
    if (wanted.empty()) return app.message = held, Next::after(idle_period);
    if (app.awaits_request(wanted)) {
      app.synchronised = false;
      app.message = fmt::format("release {} waits for somebody to ask for it; sync is not automated", wanted);
      return Next::after(idle_period);
    }
    const bool is_asked = app.take_request();
    const Next next = TRY(run(app, wanted, is_asked));
    // What holds the newest commit back is said as long as it does, also while the release before it is well.
    if (!held.empty()) app.message = held;
    else if (app.is_rolled_back()) app.message = app.failure_message();
    return next;
  }

  // What the repository says of a commit whose pipeline could not be read.
  std::string problem_of(const AppState& app, const std::string& commit) const {
    const std::string message = repositories_.get({app.key.ns, app.repository})["status"]["message"].str();
    return message.starts_with("commit " + commit.substr(0, 10)) ? message : "";
  }

  // Sets app.desired to the release of the commit, once its run allows it; answers what holds it back.
  Result<std::string> choose_release(AppState& app, const std::string& commit) {
    app.pin_to(commit);
    if (app.desired.commit == commit && !app.desired.release.empty()) return "";
    const cd::Files files = TRY(dependencies_.commits.files(app.key.ns, app.repository, commit, app.path));
    const bool has_pipeline = !TRY(dependencies_.commits.files(app.key.ns, app.repository, commit, ".tekton")).empty();
    const CommitVerdict verdict = judge_commit(has_pipeline, app.pipeline, runs_of(app, commit), task_runs_.list(app.key.ns));
    if (verdict.kind == CommitVerdict::Kind::wait && verdict.run.empty())
      if (std::string problem = problem_of(app, commit); !problem.empty()) return problem;
    if (verdict.kind != CommitVerdict::Kind::go) return verdict.message;
    const std::string release = TRY(ensure_release(app, commit, verdict, files));
    app.desired = {commit, release};
    app.message.clear();
    return "";
  }

  std::vector<Json> runs_of(const AppState& app, const std::string& commit) const {
    std::vector<Json> out;
    for (const Json& run : runs_.list(app.key.ns)) {
      const Json& labels = run["metadata"]["labels"];
      if (labels["slipway.dev/commit"].as_string() == commit && labels["slipway.dev/repository"].as_string() == app.repository) out.push_back(run);
    }
    return out;
  }

  // Same inputs, same release: its name comes from the digest of the set.
  Result<std::string> ensure_release(const AppState& app, const std::string& commit, const CommitVerdict& verdict, const cd::Files& files) {
    desired::Set set = TRY(cd::render_plain(files, {app.target_namespace, {}}));
    for (auto& one : set.objects) one.object = desired::owned(desired::with_image_digests(one.object, verdict.images), app.key);
    const std::string digest = set.digest();
    const std::string name = fmt::format("{}-{}", app.key.name, digest.substr(7, 10));
    if (!releases_.get({app.key.ns, name}).is_null()) return name;
    const auto blob = TRY(dependencies_.blobs.put(set.to_text()));
    Json images = Json::array();
    for (const auto& [repository, image] : verdict.images) images = images.with_item(Json::object({{"name", repository}, {"digest", image}}));
    std::vector<std::string> inputs;
    for (const auto& [path, content] : files) inputs.push_back(path);
    const Json release = Json::object(
        {{"apiVersion", kube::resources::releases.api_version()}, {"kind", "Release"},
         {"metadata", Json::object({{"name", name}, {"namespace", app.key.ns}, {"labels", Json::object({{desired::app_label, app.key.name}})},
                                    {"ownerReferences", Json::array({kube::controller_reference(app_resource(), app.object)})}})},
         {"spec", Json::object({{"app", app.key.name}, {"commit", commit}, {"run", verdict.run}, {"digest", digest}, {"blob", blob.value}, {"images", images},
                                {"inputs", Json::strings(inputs)}})}});
    auto created = manager_.client().create(kube::resources::releases, release);
    if (!created && created.error().code != ErrorCode::already_exists) return std::unexpected(std::move(created.error()));
    if (created) releases_.observed(*created);
    return name;
  }

  Result<desired::Set> load(const AppState& app, const std::string& release_name) {
    const Json release = TRY(manager_.client().get(kube::resources::releases, {app.key.ns, release_name}));
    const auto blob = TRY(store::Digest::parse(release["spec"]["blob"].as_string()));
    return at(desired::Set::parse(TRY(dependencies_.blobs.get(blob, 64 * 1024 * 1024))), "release " + release_name);
  }

  // Brings the cluster to the release and watches it there.
  Result<Next> run(AppState& app, const std::string& release, bool is_asked = false) {
    const bool is_new = app.applied.release != release;
    if (is_new) TRY(begin(app, release));
    const desired::Set set = TRY(load(app, release));
    const desired::Plan plan = TRY(target_.plan(set, app.key, app.target_namespace, app.prune ? desired::Prune::yes : desired::Prune::no));
    if (!plan.refused.empty()) return fail(ErrorCode::invalid, plan.refused.front());
    const bool may_change = is_new || app.self_heal || is_asked;
    if (!is_new) record_drift(app, plan);
    app.synchronised = plan.apply.empty() && plan.prune.empty();
    if (may_change && !app.synchronised) {
      if (auto carried = target_.carry_out(plan); !carried) return not_applied(app, release, is_new, std::move(carried.error()));
      app.synchronised = true;
    }
    if (is_new) app.applied = {release_commit(app, release), release, now()};
    return judge(app, set, release);
  }

  Result<> begin(AppState& app, const std::string& release) {
    if (app.attempted.release == release) return {};  // it goes on after an error or the end of a process
    app.attempted = {release_commit(app, release), release, now()};
    app.drift = Json::array();
    target_.events().normal(app.object, "SyncStarted", fmt::format("Release {} of commit {} is applied", release, app.attempted.commit.substr(0, 10)));
    // Written before the first object is touched, so that a killed process knows what it was about.
    return write_status(app, apps_.get(app.key));
  }

  // A release that cannot be applied as a whole must not stay half applied.
  Result<Next> not_applied(AppState& app, const std::string& release, bool is_new, Error error) {
    if (!is_new || app.last_healthy.release == release) return std::unexpected(std::move(error));
    const bool is_hopeless = error.code == ErrorCode::invalid || error.code == ErrorCode::forbidden || error.code == ErrorCode::too_large;
    if (!is_hopeless && manager_.clock().now() < deadline_of(app, app.attempted)) {
      app.message = error.to_string();
      return Next::after(watch_period);
    }
    app.applied = {release_commit(app, release), release, now()};  // a part of it is there
    return failed(app, release, error.to_string());
  }

  // Time in which no process was there to see progress does not count.
  Wall deadline_of(const AppState& app, const Stage& stage) const {
    return std::max(AppState::time_of(stage), started_) + std::chrono::seconds(app.progress_deadline_seconds);
  }

  void record_drift(AppState& app, const desired::Plan& plan) {
    for (const desired::Change& change : plan.apply) {
      const desired::ObjectId id = desired::id_of(change.desired);
      const std::string what = change.is_new ? "deleted" : change.differences.empty() ? "changed" : change.differences.front();
      app.add_drift(Json::object({{"kind", id.kind}, {"namespace", id.ns}, {"name", id.name}, {"what", what}, {"at", now()}}));
      target_.events().warning(app.object, app.self_heal ? "DriftCorrected" : "DriftSeen", fmt::format("{}: {}", id.to_string(), what));
    }
  }

  Result<Next> judge(AppState& app, const desired::Set& set, const std::string& release) {
    const desired::HealthReport report = target_.health(set);
    app.health = std::string(desired::name_of(report.health));
    const bool settled = app.last_healthy.release == release;
    if (report.health == Health::healthy || report.health == Health::suspended) return succeeded(app, release);
    if (settled) {
      if (!app.is_rolled_back()) app.message = report.message;  // why it was rolled back matters longer
      return Next::after(watch_period);
    }
    const Wall deadline = deadline_of(app, app.applied);
    const bool too_late = manager_.clock().now() >= deadline;
    if (report.health != Health::degraded && !too_late) {
      app.message = report.message;
      return Next::after(std::min<std::chrono::nanoseconds>(watch_period, deadline - manager_.clock().now() + std::chrono::milliseconds(10)));
    }
    return failed(app, release, too_late && report.health != Health::degraded ? fmt::format("not healthy after {} s: {}", app.progress_deadline_seconds, report.message) : report.message);
  }

  Result<Next> succeeded(AppState& app, const std::string& release) {
    const bool first_time = app.last_healthy.release != release;
    app.last_healthy = {release_commit(app, release), release, first_time ? now() : app.last_healthy.at};
    if (!app.is_rolled_back()) app.message.clear();
    if (first_time) {
      app.add_history(release, app.last_healthy.commit, now(), "Healthy");
      TRY(set_phase(app, release, "Healthy", ""));
      target_.events().normal(app.object, "Healthy", fmt::format("Release {} is healthy", release));
      TRY(trim_releases(app));
    }
    return Next::after(idle_period);
  }

  Result<Next> failed(AppState& app, const std::string& release, const std::string& why) {
    app.message = fmt::format("release {} of commit {} failed: {}", release, app.attempted.commit.substr(0, 10), why);
    if (app.is_quarantined(release)) return Next::after(idle_period);  // known; a change of its objects is watched
    app.add_history(release, app.attempted.commit, now(), "Failed");
    const bool roll_back = app.automatic_rollback && !app.last_healthy.release.empty() && app.last_healthy.release != release;
    TRY(set_phase(app, release, roll_back ? "RolledBack" : "Failed", why));
    app.quarantine(release, TRY(manager_.client().get(kube::resources::releases, {app.key.ns, release}))["spec"]["digest"].str(), why, now());
    if (!roll_back) return Next::after(watch_period);
    app.message += fmt::format("; rolled back to {}", app.last_healthy.release);
    target_.events().warning(app.object, "RolledBack", app.message);
    return run(app, app.last_healthy.release);
  }

  Result<> set_phase(const AppState& app, const std::string& release, std::string_view phase, const std::string& message) {
    const Json status = Json::object({{"status", Json::object({{"phase", phase}, {"message", message}})}});
    releases_.observed(TRY(manager_.client().patch(kube::resources::releases, {app.key.ns, release}, kube::PatchType::merge, status, {}, "status")));
    return {};
  }

  // Keeps the newest twenty, and whatever is in use.
  Result<> trim_releases(const AppState& app) {
    std::vector<Json> own;
    for (const Json& release : releases_.list(app.key.ns))
      if (release["spec"]["app"].as_string() == app.key.name) own.push_back(release);
    std::ranges::sort(own, std::greater{}, [](const Json& release) { return release["metadata"]["creationTimestamp"].str(); });
    for (std::size_t i = max_releases; i < own.size(); ++i)
      if (const ObjectKey key = kube::key_of(own[i]); !app.uses(key.name)) TRY(manager_.client().remove(kube::resources::releases, key));
    return {};
  }

  std::string release_commit(const AppState& app, const std::string& release) const {
    if (app.desired.release == release) return app.desired.commit;
    return releases_.get({app.key.ns, release})["spec"]["commit"].str();
  }

  Result<> write_status(AppState& app, const Json& before) {
    const Json status = app.status(manager_.clock().now());
    if (before["status"] == status) return {};
    auto written = manager_.client().patch(app_resource(), app.key, kube::PatchType::merge, Json::object({{"status", status}}), {}, "status");
    if (!written && written.error().code == ErrorCode::not_found) return {};
    apps_.observed(TRY(std::move(written)));
    return {};
  }

  std::string now() const { return format_rfc3339(manager_.clock().now()); }

  kube::Manager& manager_;
  SyncDependencies dependencies_;
  kube::Informer& apps_;
  kube::Informer& releases_;
  kube::Informer& runs_;
  kube::Informer& task_runs_;
  kube::Informer& repositories_;
  Target target_;
  const Wall started_ = manager_.clock().now();
};

}  // namespace

std::function<void(const std::string&, const std::string&)> register_sync(kube::Manager& manager, SyncDependencies dependencies) {
  const auto state = std::make_shared<Sync>(manager, dependencies);
  auto& controller = manager.controller("app", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  auto& apps = manager.informer(kube::resources::apps);
  apps.on_change([&controller](const Json& before, const Json& after) {
    // Our own status writes need no second look.
    if (before["metadata"]["generation"] != after["metadata"]["generation"] || before["metadata"]["annotations"] != after["metadata"]["annotations"]) controller.enqueue(kube::key_of(after.is_null() ? before : after));
  });
  const auto of_repository = [&controller, &apps](const std::string& ns, const std::string& repository) {
    for (const Json& app : apps.list(ns))
      if (app["spec"]["repository"].as_string() == repository) controller.enqueue(kube::key_of(app));
  };
  manager.informer(kube::resources::repositories).on_change([of_repository](const Json& before, const Json& after) {
    if (before["status"]["message"] != after["status"]["message"] && !after.is_null()) of_repository(kube::key_of(after).ns, kube::key_of(after).name);
  });
  for (const auto* resource : {&kube::resources::pipeline_runs})
    manager.informer(*resource).on_change([of_repository](const Json& before, const Json& after) {
      const Json& run = after.is_null() ? before : after;
      if (before["status"]["conditions"] != after["status"]["conditions"]) of_repository(kube::key_of(run).ns, run["metadata"]["labels"]["slipway.dev/repository"].str());
    });
  state->target().on_owned_change([&controller](const ObjectKey& app) { controller.enqueue(app); });
  return of_repository;
}

}  // namespace slipway::deliver
