// SPDX-License-Identifier: Apache-2.0
// An App, decoded: what its spec asks and what its status remembers. Changes are made here and written once. Pure.
#pragma once

#include <string>
#include <utility>

#include "base/clock.h"
#include "kube/client.h"

namespace slipway::deliver {

using text::Json;

struct Stage {
  std::string commit, release, at;
};

class AppState final {
 public:
  explicit AppState(const Json& app);

  Json object;
  kube::ObjectKey key;
  // From the spec.
  std::string repository, branch, path, target_namespace, pipeline;
  bool automated = true, prune = true, self_heal = true, automatic_rollback = true;
  std::int64_t progress_deadline_seconds = 60;
  // From the status; desired, attempted, applied and last healthy are recorded apart.
  Stage desired, attempted, applied, last_healthy;
  std::string health, message;
  Json drift, quarantined, history;
  bool synchronised = false;
  std::string handled_request;

  // What should run: the pinned release where somebody rolled back by hand, else the desired one, or the last healthy
  // one where the desired one is quarantined. Empty: nothing yet.
  std::string release_to_run() const;
  // The release is new and somebody must ask for it first (sync.automated: false).
  bool awaits_request(const std::string& release) const;
  bool take_request() { return std::exchange(handled_request, request_) != request_; }  // whether there was a new one
  bool is_quarantined(const std::string& release) const;
  bool is_rolled_back() const { return is_quarantined(desired.release) && last_healthy.release != desired.release; }
  std::string failure_message() const;  // of the desired release, from what was remembered of it
  void quarantine(const std::string& release, const std::string& digest, const std::string& reason, const std::string& at);
  void add_history(const std::string& release, const std::string& commit, const std::string& at, std::string_view result);
  void add_drift(Json entry);
  bool uses(const std::string& release) const;
  static Wall time_of(const Stage& stage);
  // The annotation slipway.dev/rollback-to is "RELEASE@COMMIT": it holds while the head is that commit.
  void pin_to(const std::string& head);
  // With the conditions Synced and Healthy, whose transition times are kept while they do not change.
  Json status(Wall now) const;

 private:
  Json condition(std::string_view type, bool holds, std::string_view reason, Wall now) const;
  std::string pinned_, request_;
};

// A value that was not seen before asks for one sync, also where sync is not automated.
inline constexpr const char* request_annotation = "slipway.dev/sync-requested-at";
inline constexpr const char* rollback_annotation = "slipway.dev/rollback-to";

}  // namespace slipway::deliver
