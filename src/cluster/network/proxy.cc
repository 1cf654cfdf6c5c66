// SPDX-License-Identifier: Apache-2.0
#include "cluster/network/proxy.h"

#include "base/process.h"

namespace slipway::cluster {
namespace {

constexpr std::chrono::milliseconds sync_pause{5};
constexpr std::chrono::seconds nft_timeout{20};
constexpr std::chrono::seconds repair_period{60};  // somebody else may have flushed the rules
const kube::ObjectKey the_only_key{"", "rules"};

}  // namespace

Result<> apply_ruleset(const std::string& program) {
  TRY(run_ok({.arguments = {"nft", "-f", "-"}, .input = program, .timeout = nft_timeout}));
  return {};
}

Result<> remove_packet_rules(const std::string& table) { return apply_ruleset(remove_ruleset(table)); }

ServiceProxy::ServiceProxy(ProxyConfig config, kube::Client& client, Executor& executor, BridgeNetwork* bridge, Metrics* metrics)
    : config_(std::move(config)), bridge_(bridge), services_(client, executor, kube::resources::services, {}),
      slices_(client, executor, kube::resources::endpoint_slices, {}) {
  controller_ = std::make_unique<kube::Controller>(
      executor, "service-rules", [this](const kube::ObjectKey&, std::stop_token) { return apply(); }, 1, metrics);
  services_.on_change([this](const Json&, const Json&) { controller_->enqueue(the_only_key); });
  slices_.on_change([this](const Json&, const Json&) { controller_->enqueue(the_only_key); });
}

ServiceProxy::~ServiceProxy() {
  services_.stop();
  slices_.stop();
  controller_->request_stop();
}

void ServiceProxy::start() {
  services_.start();
  slices_.start();
  controller_->enqueue(the_only_key);
  controller_->start();
}

std::shared_ptr<const Zone> ServiceProxy::zone() const {
  const std::lock_guard lock(mutex_);
  return zone_;
}

Result<kube::Next> ServiceProxy::apply() {
  // Rules made of half of what the plane knows would cut off what works.
  if (!services_.synced() || !slices_.synced()) return kube::Next::after(sync_pause);
  const std::vector<Json> services = services_.list(), slices = slices_.list();
  const ServiceTable table = make_service_table(services, slices);
  TRY(apply_ruleset(TRY(make_ruleset(config_.rules, table))));
  if (bridge_) bridge_->set_ready_addresses(table.ready_addresses);
  auto zone = std::make_shared<const Zone>(config_.cluster_domain, config_.rules.services, config_.rules.pods, services, slices);
  const std::lock_guard lock(mutex_);
  zone_ = std::move(zone);
  return kube::Next::after(repair_period);
}

}  // namespace slipway::cluster
