// SPDX-License-Identifier: Apache-2.0
#include "main/serve.h"

#include <fmt/format.h>

#include <cstdlib>

#include "auth/tokens.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/strings.h"
#include "ci/tekton/pac.h"
#include "ci/tekton/runs.h"
#include "cluster/api/api.h"
#include "cluster/controllers/controllers.h"
#include "deliver/sync/sync.h"
#include "forge/repositories.h"
#include "forge/webhook_routes.h"
#include "hub/attempts.h"
#include "hub/log_routes.h"
#include "kube/control.h"
#include "main/access.h"
#include "main/definitions.h"
#include "main/foreign_plane.h"
#include "main/node_logs.h"
#include "main/off_loop.h"
#include "main/processes.h"
#include "main/shim_image.h"
#include "net/server.h"
#include "oci/registry.h"
#include "source/git_http.h"

namespace slipway::app {
namespace {

using text::Json;

// What delivery asks of the hosted repositories.
class HostedCommits final : public deliver::Commits {
 public:
  explicit HostedCommits(source::Repositories& repositories) : repositories_(repositories) {}
  Result<std::string> head(const std::string& ns, const std::string& repository, const std::string& branch) override {
    return repositories_.head(TRY(source::RepositoryName::parse(ns, repository)), branch);
  }
  Result<cd::Files> files(const std::string& ns, const std::string& repository, const std::string& commit, const std::string& path) override {
    return repositories_.files(TRY(source::RepositoryName::parse(ns, repository)), commit, path);
  }

 private:
  source::Repositories& repositories_;
};

// Proxies of this process are git's too, where it fetches from elsewhere (C3).
std::vector<std::string> proxy_environment() {
  std::vector<std::string> out;
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"})
    if (const char* value = std::getenv(name); value && *value) out.push_back(fmt::format("{}={}", name, value));
  return out;
}

constexpr std::size_t max_release = 64 * 1024 * 1024;
constexpr const char* pods_gateway = "10.244.0.1";  // the bridge's address: how pods reach serve

// The parts in the order in which they come up; they go down in the opposite order.
class Serve final {
 public:
  explicit Serve(const ServeOptions& options) : options_(options), journal_(options.data.pushes()), repositories_(options.data.git(), journal_, executor_->clock()) {}
  ~Serve() { close(); }

  Result<> open() {
    credentials_ = TRY(read_credentials(options_.data));
    tokens_ = TRY(auth::TokenFile::open(options_.data.tokens()));
    metrics_.gauge("slipway_build_info", "The running build", {{"version", version}}).set(1);
    TRY(open_plane());
    git_ = std::make_unique<source::GitHttp>(repositories_, *executor_, [this](std::string_view token, const source::RepositoryName& name, source::GitAccess access) { return may_use_git(token, name, access); });
    blobs_ = TRY(store::BlobStore::open_folder(options_.data.blobs()));
    images_ = std::make_unique<oci::ImageStore>(options_.data.names(), *blobs_);
    registry_ = std::make_unique<oci::Registry>(oci::RegistryConfig{.name = fmt::format("127.0.0.1:{}", options_.ports.registry), .folder = options_.data.serve() + "/registry",
                                                                    .may_write = [this](std::string_view token) { return access_->may(token, {.verb = "put", .path = "/v2/"}); }},
                                                *images_, *executor_);
    attempts_ = std::make_unique<hub::Attempts>(options_.data.hub() + "/attempts", *blobs_, logs_, *executor_);
    TRY(open_server());
    TRY(repositories_.recover());
    manager_ = std::make_unique<kube::Manager>(*client_, *executor_, &metrics_);
    if (api_) cluster::register_controllers(*manager_, {});
    TRY(apply_definitions(*client_));
    if (!api_) TRY(apply_roles(*client_));
    if (!api_) TRY(wait_until_served(*client_, *executor_, {}));
    TRY(publish_info());
    if (options_.beside_node) register_pipelines();
    auto on_new_commits = deliver::register_sync(*manager_, {*blobs_, commits_});
    auto runs = [this](const source::Files& files, const forge::PushEvent& event) { return runs_for_push(files, event); };
    auto on_fetched = forge::register_repositories(*manager_, {repositories_, journal_, std::move(runs), base_url(), std::move(on_new_commits)});
    TRY(open_hooks(std::move(on_fetched)));
    starter_ = executor_->spawn("start", [this](std::stop_token stop) {
      manager_->start(stop);
      ready_ = true;
    });
    return {};
  }

  void close() {
    ready_ = false;
    starter_.reset();
    if (manager_) manager_->stop();
    if (api_) api_->stop();
    server_.reset();
    off_loop_.reset();
    hooks_.reset();
    registry_.reset();
    git_.reset();
    manager_.reset();
    client_.reset();
    api_.reset();
  }

 private:
  std::string base_url() const { return fmt::format("https://{}:{}", options_.ports.address, options_.ports.https); }

  // Where pods reach this process.
  std::string pods_url() const { return options_.beside_node ? fmt::format("https://{}:{}", pods_gateway, options_.ports.https) : base_url(); }

  Result<std::vector<Json>> runs_for_push(const source::Files& files, const forge::PushEvent& event) const {
    if (!options_.beside_node && !files.empty()) return fail(ErrorCode::invalid, "pipelines run on Slipway's own node alone; start it with `slipway up --kubeconfig FILE --node NAME`");
    return tekton::pipeline_runs_for_push(files, {event.ns, event.repository, event.url, event.branch, event.commit, ""});
  }

  void register_pipelines() {
    tekton::register_pipeline_runs(*manager_);
    tekton::register_task_runs(*manager_, {*attempts_, *blobs_, repositories_, base_url(), pods_url(), credentials_.server_pin,
                                           std::string(shim_image), [this](const std::string& image) { return image_command(image); }});
  }

  Result<> open_hooks(std::function<void(const kube::ObjectKey&)> on_fetched) {
    deliveries_ = TRY(forge::Deliveries::open(options_.data.hooks(), executor_->clock()));
    auto wake = forge::register_connected(*manager_, {repositories_, mirrors_, journal_, *deliveries_, std::move(on_fetched)});
    const auto target = [this](const source::RepositoryName& repository) { return forge::webhook_target(*manager_, repository); };
    hooks_ = std::make_unique<forge::WebhookRoutes>(forge::WebhookDependencies{*executor_, *deliveries_, metrics_, target, std::move(wake)});
    return {};
  }

  // How commands find this process: published where every authenticated user may read.
  Result<> publish_info() {
    const Json info = Json::object({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", Json::object({{"name", "slipway-info"}, {"namespace", "kube-public"}})},
                                    {"data", Json::object({{"url", base_url()}, {"pin", credentials_.server_pin}, {"ca", credentials_.ca_pem}, {"version", version}})}});
    TRY(client_->patch(kube::resources::config_maps, {"kube-public", "slipway-info"}, kube::PatchType::apply, info, {.field_manager = "slipway", .force = true}));
    return {};
  }

  // The stored set of a release: what was applied, whatever the repository says now.
  void serve_release(net::Exchange& exchange) {
    const auto parts = split(exchange.head().url.path, '/');  // "", deliver, v1, releases, NS, NAME
    if (parts.size() != 6) return answer(exchange, 404, "not found");
    const auth::Attributes wanted{.verb = "get", .group = "slipway.dev", .resource = "releases", .ns = std::string(parts[4]), .name = std::string(parts[5])};
    if (auto allowed = may(exchange, wanted); !allowed) return refuse(exchange, allowed.error());
    const auto read = [&]() -> Result<std::string> {
      const Json release = TRY(client_->get(kube::resources::releases, {std::string(parts[4]), std::string(parts[5])}));
      return blobs_->get(TRY(store::Digest::parse(release["spec"]["blob"].as_string())), max_release);
    }();
    if (!read) return answer(exchange, read.error().code == ErrorCode::not_found ? 404 : 500, read.error().to_string());
    exchange.respond({200, {{"Content-Type", "application/json"}}, *read});
  }

  Result<tekton::ImageCommand> image_command(const std::string& image) const {
    const auto digest = TRY(oci::choose_platform(*blobs_, TRY(images_->resolve(TRY(oci::Reference::parse(image))))));
    const auto configuration = TRY(oci::read_configuration(*blobs_, TRY(oci::read_manifest(*blobs_, digest))));
    return tekton::ImageCommand{configuration.defaults.entrypoint, configuration.defaults.command};
  }

  Result<> open_plane() {
    if (!options_.kubeconfig.empty()) {
      client_ = TRY(kube::make_client(TRY(kube::load_kubeconfig(options_.kubeconfig))));
      access_ = plane_access(*client_, executor_->clock());
      off_loop_ = std::make_unique<OffLoop>(*executor_);
      return {};
    }
    access_ = embedded_access(*tokens_);
    account_tokens_ = TRY(auth::AccountTokens::open(credentials_.account_key_pem));
    node_logs_ = std::make_unique<RemoteNodeLogs>(TRY(net::make_client({true, "127.0.0.1", node_port}, {.pinned_sha256 = credentials_.server_pin})), credentials_.node_port_token);
    files_ = store::make_system_files();
    api::ApiConfig config{.folder = options_.data.api(), .ca_pem = credentials_.ca_pem, .port = options_.ports.api, .tokens = tokens_.get(),
                          .account_tokens = account_tokens_.get(), .logs = node_logs_.get(), .metrics = &metrics_};
    config.on_store_failure = [](const Error& error) {
      log::error("The store failed; the process ends so that nothing is acknowledged that is not durable", {{"reason", error.to_string()}});
      std::_Exit(3);
    };
    api_ = TRY(api::Api::open(*files_, *executor_, std::move(config)));
    client_ = api_->local_client(auth::controller("serve"));
    return publish_endpoint();
  }

  // Pods reach the API at the Service `kubernetes`, which leads to the bridge's address.
  Result<> publish_endpoint() {
    const Json slice = Json::object(
        {{"apiVersion", "discovery.k8s.io/v1"}, {"kind", "EndpointSlice"},
         {"metadata", Json::object({{"name", "kubernetes"}, {"namespace", "default"}, {"labels", Json::object({{"kubernetes.io/service-name", "kubernetes"}})}})},
         {"addressType", "IPv4"},
         {"endpoints", Json::array({Json::object({{"addresses", Json::array({pods_gateway})}, {"conditions", Json::object({{"ready", true}})}})})},
         {"ports", Json::array({Json::object({{"name", "https"}, {"port", int{options_.ports.api}}, {"protocol", "TCP"}})})}});
    auto created = client_->create(kube::resources::endpoint_slices, slice);
    if (!created && created.error().code != ErrorCode::already_exists) return std::unexpected(std::move(created.error()));
    return {};
  }

  Result<> open_server() {
    const net::TlsServerConfig tls{credentials_.server_certificate_pem, credentials_.server_key_pem, credentials_.ca_pem};
    const auto https = [this](std::shared_ptr<net::Exchange> exchange) {
      if (off_loop_ && asks_plane(exchange->head().url.path)) return off_loop_->handle(std::move(exchange), [this](std::shared_ptr<net::Exchange> e) { route(std::move(e)); });
      route(std::move(exchange));
    };
    std::vector<net::Endpoint> endpoints{{{options_.ports.address, options_.ports.https, true, false}, tls, https}};
    if (options_.beside_node) endpoints.push_back({{pods_gateway, options_.ports.https, true, true}, tls, https});
    const auto registry = [this](std::shared_ptr<net::Exchange> exchange) {
      const std::string& method = exchange->head().method;
      if (off_loop_ && method != "GET" && method != "HEAD") return off_loop_->handle(std::move(exchange), [this](std::shared_ptr<net::Exchange> e) { registry_->handle(std::move(e)); });
      registry_->handle(std::move(exchange));
    };
    endpoints.push_back({{"127.0.0.1", options_.ports.registry, false, false}, {}, registry});  // plain: loopback alone
    if (api_) {
      const auto api = [this](std::shared_ptr<net::Exchange> exchange) { api_->handle(std::move(exchange)); };
      endpoints.push_back({{options_.ports.address, options_.ports.api, true, false}, tls, api});
      endpoints.push_back({{pods_gateway, options_.ports.api, true, true}, tls, api});
    }
    server_ = TRY(net::Server::start(std::move(endpoints)));
    return {};
  }

  // Where a foreign plane is asked who may, which takes its time.
  static bool asks_plane(std::string_view path) {
    for (const char* prefix : {"/git/", "/hub/v1/logs/", "/deliver/v1/releases/", "/metrics"})
      if (path.starts_with(prefix)) return true;
    return false;
  }

  void route(std::shared_ptr<net::Exchange> exchange) {
    const std::string& path = exchange->head().url.path;
    if (path.starts_with("/git/")) return git_->handle(std::move(exchange));
    if (path.starts_with("/hub/v1/attempts/")) return attempts_->handle(std::move(exchange));
    if (path.starts_with("/hub/v1/logs/")) return serve_log(std::move(exchange));
    if (path.starts_with("/deliver/v1/releases/")) return serve_release(*exchange);
    // hooks_ is made before ready_ is set; a forge sends again what is not taken.
    if (path.starts_with("/hooks/v1/")) return ready_ ? hooks_->handle(std::move(exchange)) : answer(*exchange, 503, "starting");
    if (path == "/livez") return answer(*exchange, 200, "ok");
    if (path == "/readyz") return answer(*exchange, ready_ ? 200 : 503, ready_ ? "ok" : "starting");
    if (path == "/metrics") return serve_metrics(*exchange);
    answer(*exchange, 404, "not found");
  }

  void serve_metrics(net::Exchange& exchange) {
    if (auto allowed = may(exchange, {.verb = "get", .path = "/metrics"}); !allowed) return refuse(exchange, allowed.error());
    exchange.respond({200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, metrics_.text()});
  }

  void serve_log(std::shared_ptr<net::Exchange> exchange) {
    if (auto allowed = may_use_logs(*exchange); !allowed) return refuse(*exchange, allowed.error());
    log_routes_.handle(std::move(exchange));
  }

  static void answer(net::Exchange& exchange, int status, std::string_view text) {
    exchange.respond({status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::string(text) + "\n"});
  }

  static void refuse(net::Exchange& exchange, const Error& error) {
    answer(exchange, error.code == ErrorCode::forbidden ? 403 : error.code == ErrorCode::unauthenticated ? 401 : 503, error.message);
  }

  Result<> may(const net::Exchange& exchange, const auth::Attributes& wanted) { return access_->may(source::token_of(exchange.head().headers), wanted); }

  Result<> may_use_git(std::string_view token, const source::RepositoryName& name, source::GitAccess access) {
    return access_->may(token, {.verb = access == source::GitAccess::write ? "update" : "get", .group = "slipway.dev", .resource = "repositories", .subresource = "git",
                                .ns = name.ns, .name = name.name});
  }

  // Who may reads; the node beside this process brings the logs of its builds.
  Result<> may_use_logs(const net::Exchange& exchange) {
    const net::RequestHead& head = exchange.head();
    if (head.method != "GET" && equals_in_constant_time(source::token_of(head.headers), credentials_.node_port_token)) return {};
    return may(exchange, {.verb = to_lower(head.method), .path = head.url.path});
  }

  const ServeOptions& options_;
  Metrics metrics_;
  std::unique_ptr<Executor> executor_ = make_system_executor();
  Credentials credentials_;
  std::unique_ptr<auth::TokenFile> tokens_;
  std::unique_ptr<auth::AccountTokens> account_tokens_;
  std::unique_ptr<RemoteNodeLogs> node_logs_;
  std::unique_ptr<store::FileSystem> files_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<Access> access_;
  std::unique_ptr<OffLoop> off_loop_;  // on a foreign plane
  source::PushJournal journal_;
  source::Repositories repositories_;
  HostedCommits commits_{repositories_};
  source::Mirrors mirrors_{repositories_, journal_, executor_->clock(), proxy_environment()};
  std::unique_ptr<forge::Deliveries> deliveries_;
  std::unique_ptr<store::BlobStore> blobs_;
  std::unique_ptr<oci::ImageStore> images_;
  hub::Logs logs_{options_.data.hub() + "/logs", *executor_};
  hub::LogRoutes log_routes_{logs_, *executor_};
  std::unique_ptr<oci::Registry> registry_;
  std::unique_ptr<hub::Attempts> attempts_;
  std::unique_ptr<source::GitHttp> git_;
  std::unique_ptr<forge::WebhookRoutes> hooks_;
  std::unique_ptr<kube::Manager> manager_;
  std::unique_ptr<net::Server> server_;
  std::atomic<bool> ready_{false};
  std::unique_ptr<Task> starter_;
};

}  // namespace

Result<> serve(const ServeOptions& options, const std::function<void()>& wait_for_stop) {
  Serve process(options);
  TRY(process.open());
  log::info("Serving", {{"api", std::int64_t{options.ports.api}}, {"https", std::int64_t{options.ports.https}}});
  wait_for_stop();
  return {};
}

}  // namespace slipway::app
