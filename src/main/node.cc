// SPDX-License-Identifier: Apache-2.0
#include "main/node.h"

#include <fmt/format.h>

#include "base/counters.h"
#include "base/log.h"
#include "cluster/network/bridge.h"
#include "cluster/network/dns_server.h"
#include "cluster/network/proxy.h"
#include "cluster/node/agent.h"
#include "cluster/node/build.h"
#include "main/access.h"
#include "main/build_logs.h"
#include "main/credentials.h"
#include "main/foreign_plane.h"
#include "main/images.h"
#include "main/node_logs.h"
#include "main/shim_image.h"
#include "net/server.h"

namespace slipway::app {
namespace {

using sandbox::Ipv4;
using sandbox::Ipv4Range;

constexpr std::uint16_t dns_port = 53;

Result<cluster::BridgeConfig> bridge_config(const DataFolder& data) {
  return cluster::BridgeConfig{.pods = TRY(Ipv4Range::parse("10.244.0.0/24")),
                               .services = TRY(Ipv4Range::parse("10.96.0.0/16")),
                               .dns_service = TRY(Ipv4::parse("10.96.0.10")),
                               .address_file = data.node() + "/addresses"};
}

cluster::NodeConfig node_config(const NodeOptions& options) {
  return {.name = options.name, .data = options.data.node(), .host_ip = "10.244.0.1", .kubelet_port = node_port, .api_host = "10.96.0.1", .api_port = "443",
          .pod_cidr = "10.244.0.0/24"};
}

cluster::BuilderConfig builder_config(const DataFolder& data) { return {.data = data.node(), .layers = data.node() + "/layers"}; }

class Node final {
 public:
  explicit Node(const NodeOptions& options) : options_(options) {}
  ~Node() {
    server_.reset();
    logs_.reset();
    builder_.reset();
    agent_.reset();
    dns_.reset();
    proxy_.reset();
  }

  Result<> open() {
    const Credentials credentials = TRY(read_credentials(options_.data));
    client_ = TRY(kube::make_client(TRY(kube::load_kubeconfig(options_.kubeconfig))));
    if (options_.foreign) TRY(meet_plane());
    const cluster::BridgeConfig bridge = TRY(bridge_config(options_.data));
    network_ = TRY(cluster::BridgeNetwork::open(bridge));
    TRY(open_proxy(bridge));
    TRY(store_shim());
    images_ = TRY(make_images(options_.data, *executor_, registries_, options_.registry));
    cluster::NodeConfig config = node_config(options_);
    if (!options_.foreign) config.cluster_ca_pem = credentials.ca_pem;
    for (const Ipv4 resolver : resolvers_) config.host_nameservers.push_back(resolver.to_string());
    agent_ = TRY(cluster::NodeAgent::start(config, *client_, *executor_, *images_, *network_, &metrics_));
    blobs_ = TRY(store::BlobStore::open_folder(options_.data.blobs()));
    names_ = std::make_unique<oci::ImageStore>(options_.data.names(), *blobs_);
    build_logs_ = std::make_unique<BuildLogs>(*client_, credentials.node_port_token, *executor_);
    cluster::BuilderConfig builder = builder_config(options_.data);
    builder.on_log_begin = [this](const std::string& uid, const std::string& path) { build_logs_->begin(uid, path); };
    builder.registry = options_.registry;
    builder.push = [this](const store::Digest& image, const oci::Reference& to, const std::vector<std::string>& configs, std::stop_token stop) {
      return registries_.push(*names_, image, to, keys_of(configs), nullptr, stop);
    };
    builder.on_log_end = [this](const std::string& uid) { build_logs_->end(uid); };
    builder_ = TRY(cluster::ImageBuilder::start(std::move(builder), *client_, *executor_, *images_, *names_, *network_, &metrics_));
    return open_server(credentials);
  }

 private:
  // Waits until serve has given this node its roles.
  Result<> meet_plane() {
    TRY(check_service_network(*client_, *executor_, {}));
    plane_authority_ = TRY(client_authority(*client_, *executor_, {}));
    return {};
  }

  // A foreign plane's API server calls the node's own address, with a certificate of that plane.
  Result<> open_server(const Credentials& credentials) {
    const net::TlsServerConfig tls{credentials.server_certificate_pem, credentials.server_key_pem, plane_authority_};
    NodeLogs::MayRead may_read;
    if (options_.foreign) {
      may_read = [this](const auth::Identity& identity) {
        return check_access(*client_, identity, {.verb = "get", .resource = "nodes", .subresource = "proxy", .name = options_.name});
      };
    }
    logs_ = std::make_unique<NodeLogs>(*agent_, *executor_, credentials.node_port_token, std::move(may_read));
    const net::Handler handler = [this](std::shared_ptr<net::Exchange> e) { logs_->handle(std::move(e)); };
    std::vector<net::Endpoint> endpoints{{{"127.0.0.1", node_port, true, false}, tls, handler}};
    if (options_.foreign) endpoints.push_back({{network_->gateway().to_string(), node_port, true, true}, tls, handler});
    server_ = TRY(net::Server::start(std::move(endpoints)));
    return {};
  }

  Result<> store_shim() {
    const auto blobs = TRY(store::BlobStore::open_folder(options_.data.blobs()));
    oci::ImageStore images(options_.data.names(), *blobs);
    return store_shim_image(images);
  }

  Result<> open_proxy(const cluster::BridgeConfig& bridge) {
    resolvers_ = cluster::parse_resolvers(read_file("/etc/resolv.conf", 1 << 20).value_or(""));
    const cluster::Endpoint dns{network_->gateway(), dns_port};
    cluster::ProxyConfig config;
    config.rules.pods = bridge.pods;
    config.rules.services = bridge.services;
    config.rules.dns_service = bridge.dns_service;
    config.rules.dns_server = dns;
    proxy_ = std::make_unique<cluster::ServiceProxy>(config, *client_, *executor_, network_.get(), &metrics_);
    dns_ = TRY(cluster::DnsServer::start({.listen = dns, .resolvers = resolvers_}, [this] { return proxy_->zone(); }));
    proxy_->start();
    return {};
  }

  const NodeOptions& options_;
  Metrics metrics_;
  std::unique_ptr<Executor> executor_ = make_system_executor();
  oci::Client registries_{*executor_, {}};
  std::unique_ptr<kube::Client> client_;
  std::string plane_authority_;  // of a foreign plane's client certificates
  std::unique_ptr<cluster::BridgeNetwork> network_;
  std::vector<Ipv4> resolvers_;
  std::unique_ptr<cluster::ServiceProxy> proxy_;
  std::unique_ptr<cluster::DnsServer> dns_;
  std::unique_ptr<cluster::ImageProvider> images_;
  std::unique_ptr<cluster::NodeAgent> agent_;
  std::unique_ptr<store::BlobStore> blobs_;
  std::unique_ptr<oci::ImageStore> names_;
  std::unique_ptr<BuildLogs> build_logs_;
  std::unique_ptr<cluster::ImageBuilder> builder_;
  std::unique_ptr<NodeLogs> logs_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace

Result<> run_node(const NodeOptions& options, const std::function<void()>& wait_for_stop) {
  Node node(options);
  TRY(node.open());
  log::info("Node is up", {{"node", options.name}});
  wait_for_stop();
  return {};
}

Result<> purge_node(const DataFolder& data) {
  auto network = TRY(cluster::BridgeNetwork::open(TRY(bridge_config(data))));
  TRY(cluster::purge_builds(builder_config(data), *network));
  TRY(cluster::purge_pods(node_config({.data = data}), network.get()));
  TRY(network->remove_all());
  return cluster::remove_packet_rules("slipway");
}

}  // namespace slipway::app
