// SPDX-License-Identifier: Apache-2.0
// The client of a Kubernetes API, embedded or real: everything above this folder speaks to a plane through it.
//
// Objects are text::Json in the API's own shape. A Client may be used from any thread; calls block the caller. Errors
// carry the Status answer: its reason decides the code, its message is the text.
// Sources: Kubernetes API concepts (resource URIs, list chunking, watch, patch types).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/client.h"
#include "text/json.h"

namespace slipway::kube {

using text::Json;

// A served resource: {"apps", "v1", "deployments", "Deployment", namespaced}.
struct Resource {
  std::string group;  // empty: the core group
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  bool operator==(const Resource&) const = default;
};

struct ObjectKey {
  std::string ns;  // empty: cluster-scoped
  std::string name;
  std::string to_string() const { return ns.empty() ? name : ns + "/" + name; }
  auto operator<=>(const ObjectKey&) const = default;
};
ObjectKey key_of(const Json& object);  // from metadata

struct ListOptions {
  std::string ns;  // empty: all
  std::string label_selector;
  std::string field_selector;
  std::int64_t limit = 0;
  std::string continue_token;
  std::string resource_version;
};

struct ObjectList {
  std::vector<Json> items;
  std::string resource_version;
  std::string continue_token;
};

enum class PatchType { json, merge, strategic, apply };

struct PatchOptions {
  std::string field_manager;  // required for apply
  bool force = false;         // apply: take over fields of others
  bool dry_run = false;
};

enum class Propagation { background, foreground, orphan };

struct DeleteOptions {
  std::optional<Propagation> propagation;
  std::string uid;               // precondition
  std::string resource_version;  // precondition
  std::optional<std::int64_t> grace_seconds;
};

enum class WatchKind { added, modified, deleted, bookmark };

struct WatchEvent {
  WatchKind kind = WatchKind::added;
  Json object;
};

struct WatchOptions {
  std::string ns;
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;
  bool bookmarks = true;
};

class Client {
 public:
  virtual ~Client() = default;

  // `subresource` is "" or "status", "scale", "binding", "token", …
  virtual Result<Json> get(const Resource& resource, const ObjectKey& key, std::string_view subresource = {}) = 0;
  virtual Result<ObjectList> list(const Resource& resource, const ListOptions& options = {}) = 0;
  virtual Result<Json> create(const Resource& resource, const Json& object, std::string_view subresource = {},
                              std::string_view field_manager = {}) = 0;
  // Replaces; conflict when the object's resourceVersion is not the newest.
  virtual Result<Json> update(const Resource& resource, const Json& object, std::string_view subresource = {}) = 0;
  virtual Result<Json> patch(const Resource& resource, const ObjectKey& key, PatchType type, const Json& body,
                             const PatchOptions& options = {}, std::string_view subresource = {}) = 0;
  virtual Result<Json> remove(const Resource& resource, const ObjectKey& key, const DeleteOptions& options = {}) = 0;
  // Calls on_event for each event until it answers false, the stop is requested (ok) or the server ends the watch
  // (ok: the caller resumes from the last resourceVersion seen). Code `expired`: list anew.
  virtual Result<> watch(const Resource& resource, const WatchOptions& options,
                         std::function<bool(const WatchEvent&)> on_event, std::stop_token stop) = 0;
  // Any other path of the API ("/version", pod logs): the body as it is.
  virtual Result<std::string> raw(std::string_view method, std::string_view target, std::string_view body = {},
                                  std::string_view content_type = {}) = 0;
  // A streamed body, piece by piece (logs -f).
  virtual Result<> raw_stream(std::string_view target, std::function<bool(std::string_view)> on_piece,
                              std::stop_token stop) = 0;
};

// Over HTTP. `bearer_token` may be empty where a client certificate is used.
struct ClientConfig {
  net::Origin origin;
  net::TlsClientConfig tls;
  std::string bearer_token;
  std::string user_agent = "slipway";
  std::string impersonate_user;  // "system:serviceaccount:ns:name"
};
Result<std::unique_ptr<Client>> make_client(ClientConfig config);
// Reads a kubeconfig (files and inline data; exec and auth-provider plugins are refused: T8).
Result<ClientConfig> load_kubeconfig(const std::string& path, std::string_view context = {});
// The same as a kubeconfig of its own, that names no other file.
std::string write_kubeconfig(const ClientConfig& config);

// From a Kubernetes Status answer and back: one table of code, HTTP status and reason.
Error error_from_status(int http_status, std::string_view body);
int http_status_of(ErrorCode code);
std::string_view reason_of(ErrorCode code);

// The resources that the program itself names.
namespace resources {
extern const Resource namespaces, config_maps, secrets, service_accounts, pods, services, nodes, events, endpoint_slices,
    leases, replica_sets, deployments, custom_resource_definitions;
extern const Resource tasks, pipelines, task_runs, pipeline_runs;           // tekton.dev/v1
extern const Resource repositories, apps, releases, image_builds;            // slipway.dev/v1alpha1
}  // namespace resources

}  // namespace slipway::kube
