// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/app.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace slipway::deliver {
namespace {

constexpr std::size_t max_entries = 20;

Stage stage_of(const Json& value) { return {value["commit"].str(), value["release"].str(), value["at"].str()}; }

Json json_of(const Stage& stage) {
  if (stage.commit.empty() && stage.release.empty()) return nullptr;
  Json out = Json::object({{"commit", stage.commit}, {"release", stage.release}});
  return stage.at.empty() ? out : out.with("at", stage.at);
}

// Newest first, bounded.
Json with_first(const Json& list, Json entry) {
  std::vector<Json> out{std::move(entry)};
  for (const Json& one : list.items())
    if (out.size() < max_entries) out.push_back(one);
  return Json::array(std::move(out));
}

Json list_or_empty(const Json& value) { return value.is_array() ? value : Json::array(); }

}  // namespace

AppState::AppState(const Json& app) : object(app), key(kube::key_of(app)) {
  const Json& spec = app["spec"];
  const Json& status = app["status"];
  repository = spec["repository"].str();
  branch = spec["branch"].str("main");
  path = spec["path"].str("deploy");
  target_namespace = spec["namespace"].str(key.ns);
  pipeline = spec["pipeline"].str();
  automated = spec["sync"]["automated"].as_bool(true);
  request_ = app["metadata"]["annotations"][request_annotation].str();
  handled_request = status["handledSyncRequest"].str();
  prune = spec["sync"]["prune"].as_bool(true);
  self_heal = spec["sync"]["selfHeal"].as_bool(true);
  automatic_rollback = spec["rollback"]["automatic"].as_bool(true);
  progress_deadline_seconds = std::clamp<std::int64_t>(spec["progressDeadlineSeconds"].as_int(60), 1, 86'400);
  desired = stage_of(status["desired"]);
  attempted = stage_of(status["attempted"]);
  applied = stage_of(status["applied"]);
  last_healthy = stage_of(status["lastHealthy"]);
  health = status["health"].str("Unknown");
  message = status["message"].str();
  drift = list_or_empty(status["drift"]);
  quarantined = list_or_empty(status["quarantined"]);
  history = list_or_empty(status["history"]);
  synchronised = status["sync"].as_string() == "Synced";
}

bool AppState::is_quarantined(const std::string& release) const {
  return !release.empty() && std::ranges::any_of(quarantined.items(), [&](const Json& one) { return one["release"].as_string() == release; });
}

std::string AppState::release_to_run() const {
  if (!pinned_.empty()) return pinned_;
  if (!is_quarantined(desired.release) || !automatic_rollback) return desired.release;
  return last_healthy.release.empty() ? desired.release : last_healthy.release;
}

bool AppState::awaits_request(const std::string& release) const {
  return !automated && pinned_.empty() && release == desired.release && release != applied.release && release != attempted.release && request_ == handled_request;
}

std::string AppState::failure_message() const {
  for (const Json& one : quarantined.items()) {
    if (one["release"].as_string() != desired.release) continue;
    const bool is_back = applied.release == last_healthy.release && !applied.release.empty();
    return fmt::format("release {} of commit {} failed: {}{}", desired.release, one["commit"].str().substr(0, 10), one["reason"].as_string(), is_back ? "; rolled back to " + last_healthy.release : "");
  }
  return {};
}

void AppState::pin_to(const std::string& head) {
  const std::string value = object["metadata"]["annotations"][rollback_annotation].str();
  const auto at = value.find('@');
  pinned_ = at != value.npos && value.substr(at + 1) == head ? value.substr(0, at) : "";
}

void AppState::quarantine(const std::string& release, const std::string& digest, const std::string& reason, const std::string& at) {
  if (is_quarantined(release)) return;
  quarantined = with_first(quarantined, Json::object({{"release", release}, {"digest", digest}, {"commit", attempted.commit}, {"reason", reason}, {"at", at}}));
}

void AppState::add_history(const std::string& release, const std::string& commit, const std::string& at, std::string_view result) {
  const Json& newest = history[0];
  if (newest["release"].as_string() == release && newest["result"].as_string() == result) return;
  history = with_first(history, Json::object({{"release", release}, {"commit", commit}, {"at", at}, {"result", result}}));
}

void AppState::add_drift(Json entry) { drift = with_first(drift, std::move(entry)); }

bool AppState::uses(const std::string& release) const {
  return release == desired.release || release == attempted.release || release == applied.release || release == last_healthy.release || release == pinned_;
}

Wall AppState::time_of(const Stage& stage) {
  std::tm parts{};
  if (!::strptime(stage.at.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts)) return {};
  return Wall(std::chrono::seconds(::timegm(&parts)));
}

Json AppState::condition(std::string_view type, bool holds, std::string_view reason, Wall now) const {
  std::string since = format_rfc3339(now);
  for (const Json& before : object["status"]["conditions"].items())
    if (before["type"].as_string() == type && before["status"].as_string() == (holds ? "True" : "False")) since = before["lastTransitionTime"].str(since);
  return Json::object({{"type", type}, {"status", holds ? "True" : "False"}, {"reason", reason}, {"message", message}, {"observedGeneration", object["metadata"]["generation"]},
                       {"lastTransitionTime", since}});
}

Json AppState::status(Wall now) const {
  Json out = Json::object({{"observedGeneration", object["metadata"]["generation"]}, {"desired", json_of(desired)}, {"attempted", json_of(attempted)},
                           {"applied", json_of(applied)}, {"lastHealthy", json_of(last_healthy)}, {"sync", synchronised ? "Synced" : "OutOfSync"},
                           {"health", health}, {"message", message}, {"drift", drift}, {"quarantined", quarantined}, {"history", history}});
  out = out.with("conditions", Json::array({condition("Synced", synchronised, synchronised ? "Synced" : "OutOfSync", now), condition("Healthy", health == "Healthy", health, now)}));
  if (!handled_request.empty()) out = out.with("handledSyncRequest", handled_request);
  for (const char* stage : {"desired", "attempted", "applied", "lastHealthy"})
    if (out[stage].is_null()) out = out.without(stage);
  return out;
}

}  // namespace slipway::deliver
