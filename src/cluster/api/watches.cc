// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/watches.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::api {
namespace {

constexpr std::chrono::seconds bookmark_period{30};
constexpr std::chrono::seconds longest_watch{3600};

}  // namespace

Answer<std::shared_ptr<WatchSession>> WatchSession::open(store::ObjectStore& store, ResourcePointer resource, const Request& request, Steady now, WatchSink sink) {
  Selectors selectors = TRY(Selectors::parse(request.param("labelSelector"), request.param("fieldSelector")));
  std::string prefix = list_prefix(*resource, request.route.ns);
  const std::string_view version = request.param("resourceVersion");
  const bool initial = request.param("sendInitialEvents") == "true";
  std::shared_ptr<WatchSession> session(new WatchSession(std::move(resource), std::move(selectors), std::move(sink)));
  session->bookmarks_ = request.param("allowWatchBookmarks") == "true";
  const auto seconds = parse_int(request.param("timeoutSeconds"));
  session->end_ = now + (seconds && *seconds > 0 ? std::min(std::chrono::seconds(*seconds), longest_watch) : longest_watch);
  session->next_bookmark_ = now + bookmark_period;
  std::uint64_t from = 0;
  if (version.empty() || version == "0" || initial) {
    const store::Pinned pinned = store.pin();
    session->send_initial(pinned, prefix);
    if (initial) session->send_bookmark(pinned.revision, true);
    from = pinned.revision;
  } else {
    const auto number = parse_int(version);
    if (!number || *number < 0) return bad_request(fmt::format("invalid resource version: {}", printable(version)));
    from = static_cast<std::uint64_t>(*number);
  }
  auto watch = store.watch(prefix, from, [raw = session.get()](const store::Event& event) { raw->on_event(event); });
  if (!watch) return std::unexpected(Failure(watch.error()));
  session->watch_ = std::move(*watch);
  return session;
}

void WatchSession::send(std::string_view type, const std::string& object) {
  if (!closed_ && !sink_(type, object)) closed_ = true;
}

void WatchSession::send_initial(const store::Pinned& pinned, const std::string& prefix) {
  pinned.objects.scan(prefix, [&](const std::string& key, const store::ObjectPointer& object) {
    if (!key.starts_with(prefix) || closed_) return false;
    if (selectors_.empty() || selectors_.match(from_stored(*object))) send("ADDED", shown(*resource_, *object));
    return true;
  });
  revision_ = pinned.revision;
}

void WatchSession::on_event(const store::Event& event) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  revision_ = event.revision;
  const bool removed = event.change == store::Change::remove;
  const bool was = event.previous != nullptr && (selectors_.empty() || selectors_.match(from_stored(*event.previous)));
  const bool is = !removed && (selectors_.empty() || selectors_.match(from_stored(*event.object)));
  if (!was && !is) return;
  send(!is ? "DELETED" : was ? "MODIFIED" : "ADDED", shown(*resource_, *event.object));
}

void WatchSession::send_bookmark(std::uint64_t revision, bool end_of_initial) {
  Json metadata = Json::object({{"resourceVersion", std::to_string(revision)}, {"creationTimestamp", nullptr}});
  if (end_of_initial) metadata = metadata.with("annotations", Json::object({{"k8s.io/initial-events-end", "true"}}));
  send("BOOKMARK", to_json(Json::object({{"kind", resource_->id.kind}, {"apiVersion", resource_->id.api_version()}, {"metadata", metadata}})));
}

bool WatchSession::tick(Steady now, std::uint64_t revision) {
  std::lock_guard lock(mutex_);
  if (closed_ || now >= end_) return false;
  if (!bookmarks_ || now < next_bookmark_) return true;
  next_bookmark_ = now + bookmark_period;
  // An event that came meanwhile is newer than the revision that the caller saw.
  send_bookmark(std::max(revision, revision_), false);
  return !closed_;
}

}  // namespace slipway::api
