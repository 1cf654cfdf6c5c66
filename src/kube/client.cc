// SPDX-License-Identifier: Apache-2.0
#include "kube/client.h"

#include <fmt/format.h>

#include "kube/paths.h"

namespace slipway::kube {

ObjectKey key_of(const Json& object) {
  const Json& metadata = object["metadata"];
  return {metadata["namespace"].str(), metadata["name"].str()};
}

namespace {

// One table of code, HTTP status and reason (k8s.io/apimachinery StatusReason). The first row of a code is what it
// becomes; every row is read.
struct StatusRow {
  ErrorCode code;
  int http;
  std::string_view reason;
};
constexpr StatusRow status_table[] = {
    {ErrorCode::invalid, 422, "Invalid"},
    {ErrorCode::invalid, 400, "BadRequest"},
    {ErrorCode::invalid, 405, "MethodNotAllowed"},
    {ErrorCode::invalid, 406, "NotAcceptable"},
    {ErrorCode::invalid, 415, "UnsupportedMediaType"},
    {ErrorCode::unauthenticated, 401, "Unauthorized"},
    {ErrorCode::forbidden, 403, "Forbidden"},
    {ErrorCode::not_found, 404, "NotFound"},
    {ErrorCode::already_exists, 409, "AlreadyExists"},
    {ErrorCode::conflict, 409, "Conflict"},
    {ErrorCode::expired, 410, "Expired"},
    {ErrorCode::expired, 410, "Gone"},
    {ErrorCode::too_large, 413, "RequestEntityTooLarge"},
    {ErrorCode::throttled, 429, "TooManyRequests"},
    {ErrorCode::timeout, 504, "Timeout"},
    {ErrorCode::unavailable, 503, "ServiceUnavailable"},
    {ErrorCode::no_space, 507, "InsufficientStorage"},
    {ErrorCode::internal, 500, "InternalError"},
};

}  // namespace

Error error_from_status(int http_status, std::string_view body) {
  const auto status = text::parse_json(body);
  const std::string reason = status ? (*status)["reason"].str() : "";
  std::string message = status ? (*status)["message"].str() : "";
  if (message.empty()) message = fmt::format("the API answered {}", http_status);
  for (const StatusRow& row : status_table)
    if (row.reason == reason) return {row.code, std::move(message), {}};
  for (const StatusRow& row : status_table)
    if (row.http == http_status && row.code != ErrorCode::already_exists) return {row.code, std::move(message), {}};
  return {ErrorCode::internal, std::move(message), {}};
}

int http_status_of(ErrorCode code) {
  for (const StatusRow& row : status_table)
    if (row.code == code) return row.http;
  return 500;
}

std::string_view reason_of(ErrorCode code) {
  for (const StatusRow& row : status_table)
    if (row.code == code) return row.reason;
  return "InternalError";
}

namespace resources {
const Resource namespaces{"", "v1", "namespaces", "Namespace", false};
const Resource config_maps{"", "v1", "configmaps", "ConfigMap"};
const Resource secrets{"", "v1", "secrets", "Secret"};
const Resource service_accounts{"", "v1", "serviceaccounts", "ServiceAccount"};
const Resource pods{"", "v1", "pods", "Pod"};
const Resource services{"", "v1", "services", "Service"};
const Resource nodes{"", "v1", "nodes", "Node", false};
const Resource events{"", "v1", "events", "Event"};
const Resource endpoint_slices{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"};
const Resource leases{"coordination.k8s.io", "v1", "leases", "Lease"};
const Resource replica_sets{"apps", "v1", "replicasets", "ReplicaSet"};
const Resource deployments{"apps", "v1", "deployments", "Deployment"};
const Resource custom_resource_definitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false};
const Resource tasks{"tekton.dev", "v1", "tasks", "Task"};
const Resource pipelines{"tekton.dev", "v1", "pipelines", "Pipeline"};
const Resource task_runs{"tekton.dev", "v1", "taskruns", "TaskRun"};
const Resource pipeline_runs{"tekton.dev", "v1", "pipelineruns", "PipelineRun"};
const Resource repositories{"slipway.dev", "v1alpha1", "repositories", "Repository"};
const Resource apps{"slipway.dev", "v1alpha1", "apps", "App"};
const Resource releases{"slipway.dev", "v1alpha1", "releases", "Release"};
const Resource image_builds{"slipway.dev", "v1alpha1", "imagebuilds", "ImageBuild"};
}  // namespace resources

namespace {

constexpr std::size_t max_object_line = 16 * 1024 * 1024;
constexpr std::chrono::minutes watch_stall{5};  // a server that sends neither events nor bookmarks is taken for gone (F8)

class HttpClient final : public Client {
 public:
  HttpClient(ClientConfig config, std::unique_ptr<net::Client> http) : config_(std::move(config)), http_(std::move(http)) {}

  Result<Json> get(const Resource& resource, const ObjectKey& key, std::string_view subresource) override {
    return object(request("GET", path_of(resource, key, subresource)));
  }

  Result<ObjectList> list(const Resource& resource, const ListOptions& options) override {
    const Json list = TRY(object(request("GET", path_of(resource, {options.ns, ""}) + query_of(options))));
    ObjectList out{{}, list["metadata"]["resourceVersion"].str(), list["metadata"]["continue"].str()};
    // Items of a list carry no kind of their own; everyone who reads one later expects it.
    for (const Json& item : list["items"].items())
      out.items.push_back(item.contains("kind") ? item : item.with("apiVersion", resource.api_version()).with("kind", resource.kind));
    return out;
  }

  Result<Json> create(const Resource& resource, const Json& body, std::string_view subresource, std::string_view manager) override {
    const ObjectKey key = key_of(body);
    const ObjectKey at = subresource.empty() ? ObjectKey{key.ns, ""} : key;
    return object(request("POST", path_of(resource, at, subresource) + query_of(PatchOptions{.field_manager = std::string(manager)}), body));
  }

  Result<Json> update(const Resource& resource, const Json& body, std::string_view subresource) override {
    return object(request("PUT", path_of(resource, key_of(body), subresource), body));
  }

  Result<Json> patch(const Resource& resource, const ObjectKey& key, PatchType type, const Json& body, const PatchOptions& options,
                     std::string_view subresource) override {
    return object(request("PATCH", path_of(resource, key, subresource) + query_of(options), body, content_type_of(type)));
  }

  Result<Json> remove(const Resource& resource, const ObjectKey& key, const DeleteOptions& options) override {
    return object(request("DELETE", path_of(resource, key), body_of(options)));
  }

  Result<> watch(const Resource& resource, const WatchOptions& options, std::function<bool(const WatchEvent&)> on_event,
                 std::stop_token stop) override {
    net::ClientRequest call = request("GET", path_of(resource, {options.ns, ""}) + query_of(options));
    call.stall = watch_stall;
    std::string pending;
    Result<> outcome;
    const auto take = [&](std::string_view line) -> bool {
      auto event = parse_watch_event(line);
      if (!event) outcome = std::unexpected(std::move(event.error()));
      return event && on_event(*event);
    };
    TRY(lines_of(call, pending, outcome, take, stop));
    return outcome;
  }

  Result<std::string> raw(std::string_view method, std::string_view target, std::string_view body, std::string_view content_type) override {
    net::ClientRequest call = request(std::string(method), std::string(target));
    call.body = std::string(body);
    if (!content_type.empty()) call.headers.set("Content-Type", std::string(content_type));
    net::Response answer = TRY(http_->send(call));
    if (answer.status >= 300) return std::unexpected(error_from_status(answer.status, answer.body));
    return std::move(answer.body);
  }

  Result<> raw_stream(std::string_view target, std::function<bool(std::string_view)> on_piece, std::stop_token stop) override {
    net::ClientRequest call = request("GET", std::string(target));
    call.stall = std::chrono::milliseconds(0);
    int status = 0;
    std::string problem;
    auto streamed = http_->stream(
        call, [&](const net::Response& head) { return (status = head.status) > 0; },
        [&](std::string_view piece) {
          if (status < 300) return on_piece(piece);
          problem += piece;
          return problem.size() < max_object_line;
        },
        stop);
    if (!streamed && !stop.stop_requested()) return streamed;
    return status >= 300 ? Result<>(std::unexpected(error_from_status(status, problem))) : Result<>{};
  }

 private:
  net::ClientRequest request(std::string method, std::string target) const {
    net::ClientRequest call{.method = std::move(method), .target = std::move(target)};
    call.headers.set("Accept", "application/json");
    call.headers.set("User-Agent", config_.user_agent);
    if (!config_.bearer_token.empty()) call.headers.set("Authorization", "Bearer " + config_.bearer_token);
    if (!config_.impersonate_user.empty()) call.headers.set("Impersonate-User", config_.impersonate_user);
    return call;
  }

  net::ClientRequest request(std::string method, std::string target, const Json& body, std::string_view content_type = "application/json") const {
    net::ClientRequest call = request(std::move(method), std::move(target));
    call.headers.set("Content-Type", std::string(content_type));
    call.body = text::to_json(body);
    return call;
  }

  Result<Json> object(const net::ClientRequest& call) {
    const net::Response answer = TRY(http_->send(call, max_object_line * 16));
    if (answer.status >= 300) return std::unexpected(error_from_status(answer.status, answer.body));
    return text::parse_json(answer.body);
  }

  Result<> lines_of(const net::ClientRequest& call, std::string& pending, Result<>& outcome,
                    const std::function<bool(std::string_view)>& take, std::stop_token stop) {
    int status = 0;
    const auto on_piece = [&](std::string_view piece) {
      pending += piece;
      if (status >= 300 || pending.size() > max_object_line) return pending.size() <= max_object_line;
      std::size_t from = 0;
      for (std::size_t end; (end = pending.find('\n', from)) != pending.npos; from = end + 1)
        if (end > from && !take(std::string_view(pending).substr(from, end - from))) return false;
      pending.erase(0, from);
      return true;
    };
    auto streamed = http_->stream(call, [&](const net::Response& head) { return (status = head.status) > 0; }, on_piece, stop);
    if (stop.stop_requested()) return {};
    if (streamed && status >= 300) return std::unexpected(error_from_status(status, pending));
    if (!streamed && status == 200 && outcome) return {};  // cut off in the middle: the caller resumes where it stood
    return streamed;
  }

  const ClientConfig config_;
  const std::unique_ptr<net::Client> http_;
};

}  // namespace

Result<std::unique_ptr<Client>> make_client(ClientConfig config) {
  auto http = TRY(net::make_client(config.origin, config.tls));
  return std::make_unique<HttpClient>(std::move(config), std::move(http));
}

}  // namespace slipway::kube
