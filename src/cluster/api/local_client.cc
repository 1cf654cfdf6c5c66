// SPDX-License-Identifier: Apache-2.0
// kube::Client in this process: the same requests as over HTTP, without the bytes on a socket.
#include "cluster/api/server.h"
#include "kube/paths.h"

namespace slipway::api {
namespace {

Error error_of(const Failure& failure) { return kube::error_from_status(failure.code, to_json(failure.to_status())); }

class LocalClient final : public kube::Client {
 public:
  LocalClient(ApiServer& server, auth::Identity identity) : server_(server), identity_(std::move(identity)) {}

  Result<Json> get(const kube::Resource& resource, const kube::ObjectKey& key, std::string_view subresource) override {
    return call("GET", kube::path_of(resource, key, subresource));
  }

  Result<kube::ObjectList> list(const kube::Resource& resource, const kube::ListOptions& options) override {
    const Json answer = TRY(call("GET", kube::path_of(resource, {options.ns, ""}) + kube::query_of(options)));
    kube::ObjectList out;
    out.items.assign(answer["items"].items().begin(), answer["items"].items().end());
    out.resource_version = answer["metadata"]["resourceVersion"].str();
    out.continue_token = answer["metadata"]["continue"].str();
    return out;
  }

  Result<Json> create(const kube::Resource& resource, const Json& object, std::string_view subresource, std::string_view field_manager) override {
    kube::ObjectKey key = kube::key_of(object);
    if (subresource.empty()) key.name.clear();
    std::string target = kube::path_of(resource, key, subresource);
    if (!field_manager.empty()) target += "?fieldManager=" + net::percent_encode(field_manager);
    return call("POST", target, to_json(object));
  }

  Result<Json> update(const kube::Resource& resource, const Json& object, std::string_view subresource) override {
    return call("PUT", kube::path_of(resource, kube::key_of(object), subresource), to_json(object));
  }

  Result<Json> patch(const kube::Resource& resource, const kube::ObjectKey& key, kube::PatchType type, const Json& body, const kube::PatchOptions& options, std::string_view subresource) override {
    return call("PATCH", kube::path_of(resource, key, subresource) + kube::query_of(options), to_json(body), kube::content_type_of(type));
  }

  Result<Json> remove(const kube::Resource& resource, const kube::ObjectKey& key, const kube::DeleteOptions& options) override {
    return call("DELETE", kube::path_of(resource, key), to_json(kube::body_of(options)));
  }

  Result<> watch(const kube::Resource& resource, const kube::WatchOptions& options, std::function<bool(const kube::WatchEvent&)> on_event, std::stop_token stop) override;

  Result<std::string> raw(std::string_view method, std::string_view target, std::string_view body, std::string_view content_type) override {
    return send(method, target, std::string(body), content_type);
  }

  Result<> raw_stream(std::string_view target, std::function<bool(std::string_view)> on_piece, std::stop_token stop) override {
    const auto request = server_.admit(identity_, "GET", target);
    if (!request) return std::unexpected(error_of(request.error()));
    if (request->route.subresource == "log") {
      const auto wanted = server_.log_request(*request);
      if (!wanted) return std::unexpected(error_of(wanted.error()));
      return server_.config().logs->read(*wanted, on_piece, stop);
    }
    const auto reply = server_.answer(*request);
    if (!reply) return std::unexpected(error_of(reply.error()));
    on_piece(reply->body);
    return {};
  }

 private:
  Result<std::string> send(std::string_view method, std::string_view target, std::string body = {}, std::string_view content_type = "application/json") {
    auto request = server_.admit(identity_, method, target);
    if (!request) return std::unexpected(error_of(request.error()));
    request->body = std::move(body);
    request->content_type = content_type;
    const auto reply = server_.answer(*request);
    if (!reply) return std::unexpected(error_of(reply.error()));
    return reply->body;
  }

  Result<Json> call(std::string_view method, std::string_view target, std::string body = {}, std::string_view content_type = "application/json") {
    return text::parse_json(TRY(send(method, target, std::move(body), content_type)), {.depth = 200});
  }

  ApiServer& server_;
  const auth::Identity identity_;
};

// What is between the store's thread and the thread that watches.
struct Mailbox {
  std::unique_ptr<Monitor> monitor;
  std::deque<std::pair<std::string, std::string>> events;
  std::size_t bytes = 0;
  bool overflowed = false;
};

Result<> LocalClient::watch(const kube::Resource& resource, const kube::WatchOptions& options, std::function<bool(const kube::WatchEvent&)> on_event, std::stop_token stop) {
  auto request = server_.admit(identity_, "GET", kube::path_of(resource, {options.ns, ""}) + kube::query_of(options));
  if (!request) return std::unexpected(error_of(request.error()));
  const auto box = std::make_shared<Mailbox>();
  box->monitor = server_.executor().make_monitor();
  bool opening = true;  // the initial objects are not the watcher's lag
  const std::size_t limit = server_.config().watch_queue_bytes;
  auto session = server_.watch(*request, [box, limit, &opening](std::string_view type, const std::string& object) {
    Guard guard(*box->monitor);
    box->bytes += object.size();
    box->overflowed |= box->bytes > limit && !opening;
    if (!box->overflowed) box->events.emplace_back(type, object);
    box->monitor->notify_all();
    return !box->overflowed;
  });
  if (!session) return std::unexpected(error_of(session.error()));
  {
    Guard guard(*box->monitor);
    opening = false;
  }
  const Clock& clock = server_.executor().clock();
  while (true) {
    std::pair<std::string, std::string> event;
    {
      Guard guard(*box->monitor);
      guard.wait_until([&] { return !box->events.empty() || box->overflowed; }, stop, {}, clock);
      if (stop.stop_requested() || box->events.empty()) break;
      event = std::move(box->events.front());
      box->events.pop_front();
      box->bytes -= event.second.size();
    }
    const kube::WatchKind kind = event.first == "ADDED" ? kube::WatchKind::added : event.first == "MODIFIED" ? kube::WatchKind::modified : event.first == "DELETED" ? kube::WatchKind::deleted : kube::WatchKind::bookmark;
    if (!on_event({kind, TRY(text::parse_json(event.second, {.depth = 200}))})) break;
  }
  (*session)->close();
  return {};
}

}  // namespace

std::unique_ptr<kube::Client> ApiServer::local_client(auth::Identity identity) {
  return std::make_unique<LocalClient>(*this, std::move(identity));
}

}  // namespace slipway::api
