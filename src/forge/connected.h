// SPDX-License-Identifier: Apache-2.0
// The controller of connected repositories: fetches when a webhook says so and at an interval, tells in the status how
// it went, and removes the mirror of a repository that is gone. What a fetch brings becomes a push in the journal.
#pragma once

#include <functional>

#include "base/random.h"
#include "forge/deliveries.h"
#include "kube/control.h"
#include "source/mirror.h"

namespace slipway::forge {

using text::Json;

constexpr std::chrono::seconds default_poll{60}, min_poll{5}, max_poll{24 * 3600};
constexpr const char* origin_annotation = "slipway.dev/origin";  // of a Secret: the only origin that it is sent to

constexpr const char* fetch_annotation = "slipway.dev/fetch-requested-at";  // of a Repository: any new value asks for one fetch

// spec.connect of a Repository.
struct ConnectSpec {
  source::RemoteUrl url;
  std::vector<std::string> branches;
  std::chrono::seconds poll = default_poll;
  std::optional<Provider> provider;
  std::string credentials;     // name of a Secret; empty: none
  std::string webhook_secret;  // name of a Secret; empty: no webhooks
  std::string webhook_key = "webhookSecret";
};
Result<ConnectSpec> parse_connect(const Json& object);  // names the field that is wrong; pure

// When to look again: at the interval; after failures later and later, sooner where a webhook told of a push. `random`
// spreads it by a tenth to either side, so that many repositories do not come at once. Pure.
std::chrono::milliseconds next_look(std::chrono::seconds interval, int failures, bool told, std::uint64_t random);

// What a Secret of the namespace holds for this origin (T2).
Result<source::RemoteCredential> read_credential(kube::Client& client, const kube::ObjectKey& secret, const source::RemoteUrl& url, std::optional<Provider> provider);

// What a webhook's address needs to know of a repository.
struct WebhookTarget {
  std::string url;
  std::optional<Provider> provider;
  std::string secret;
};
Result<WebhookTarget> webhook_target(kube::Manager& manager, const source::RepositoryName& repository);

struct ConnectedDependencies {
  source::Repositories& repositories;
  source::Mirrors& mirrors;
  source::PushJournal& journal;
  Deliveries& deliveries;
  std::function<void(const kube::ObjectKey&)> on_fetched;
};
// Answers how to have a repository fetched now; any thread.
std::function<void(const kube::ObjectKey&)> register_connected(kube::Manager& manager, ConnectedDependencies dependencies);

}  // namespace slipway::forge
