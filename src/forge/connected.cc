// SPDX-License-Identifier: Apache-2.0
#include "forge/connected.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kube/events.h"

namespace slipway::forge {
namespace {

using kube::Next;
using kube::ObjectKey;

constexpr std::size_t max_branches = 100;
constexpr int max_waits = 6;  // for a commit that a webhook told of and the forge does not show yet
constexpr std::chrono::minutes longest_pause{15}, longest_pause_told{5};
constexpr std::chrono::seconds first_pause_told{5}, status_pause{60};
constexpr int workers = 4;  // a slow remote holds up its own repository

std::unexpected<Error> wrong(std::string_view field, std::string_view why) { return fail(ErrorCode::invalid, fmt::format("spec.connect.{} {}", field, why)); }

Result<std::string> secret_value(const Json& secret, std::string_view key) {
  const auto decoded = from_base64(secret["data"][key].as_string());
  if (!decoded) return fail(ErrorCode::invalid, fmt::format("Secret {}: {} is not base64", secret["metadata"]["name"].as_string(), key));
  std::string out = *decoded;
  while (out.ends_with('\n') || out.ends_with('\r')) out.pop_back();  // files end with one
  return out;
}

// Who a token is of, where nobody says: most servers look at the token alone.
std::string usual_user(const source::RemoteUrl& url, std::optional<Provider> provider) {
  if (provider == Provider::github) return "x-access-token";
  if (provider == Provider::gitlab) return "oauth2";
  return provider == Provider::bitbucket || url.host == "bitbucket.org" ? "x-token-auth" : "git";
}

bool is_header_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 32 && c != 127; });
}

class Connected final {
 public:
  Connected(kube::Manager& manager, ConnectedDependencies dependencies)
      : manager_(manager), dependencies_(std::move(dependencies)), informer_(manager.informer(kube::resources::repositories)), events_(manager, "slipway-repository") {}

  Result<Next> reconcile(const ObjectKey& key, const std::stop_token& stop) {
    const auto name = source::RepositoryName::parse(key.ns, key.name);
    const Json object = informer_.get(key);
    if (!name || (!object.is_null() && !object["metadata"]["deletionTimestamp"].is_null())) return Next::done();
    if (object.is_null()) return remove(key, *name);
    if (object["spec"]["connect"].is_null()) return Next::done();
    if (!begin(key, object)) return Next::done();  // it is not time yet, and its time is in the queue
    const auto spec = parse_connect(object);
    if (!spec) return after_failure(key, object, default_poll, spec.error());
    return look(key, *name, object, *spec, stop);
  }

  void wake(const ObjectKey& key) {
    const std::lock_guard lock(mutex_);
    states_[key].woken = true;
  }

 private:
  struct State {
    Json spec;
    std::string request;
    bool woken = false;
    Steady due{};
    Steady status_at{};
    int failures = 0;
    int waits = 0;
  };

  bool begin(const ObjectKey& key, const Json& object) {
    const std::lock_guard lock(mutex_);
    State& state = states_[key];
    const std::string request = request_of(object);
    const bool changed = state.spec != object["spec"] || state.request != request;
    if (!changed && !state.woken && manager_.clock().steady() < state.due) return false;
    if (changed) state.failures = 0, state.status_at = {};
    state.request = request;
    if (state.woken) state.waits = 0;
    state.woken = false;
    state.spec = object["spec"];
    return true;
  }

  Next schedule(const ObjectKey& key, std::chrono::milliseconds pause) {
    const std::lock_guard lock(mutex_);
    states_[key].due = manager_.clock().steady() + pause;
    return Next::after(pause);
  }

  Result<Next> look(const ObjectKey& key, const source::RepositoryName& name, const Json& object, const ConnectSpec& spec, const std::stop_token& stop) {
    source::SyncRequest request{spec.url, {}, spec.branches};
    if (!spec.credentials.empty()) {
      auto credential = read_credential(manager_.client(), {key.ns, spec.credentials}, spec.url, spec.provider);
      if (!credential) return after_failure(key, object, spec.poll, credential.error());
      request.credential = std::move(*credential);
    }
    const auto pending = dependencies_.deliveries.pending(name);  // before the fetch: what comes later needs another
    std::vector<source::ToldPush> told;
    for (const Delivery& one : pending)
      for (const RefChange& change : one.changes)
        if (!change.after.empty() && change.ref.starts_with("refs/heads/") && source::selects(spec.branches, change.ref)) told.push_back({change.ref, change.before, change.after});
    const auto synced = dependencies_.mirrors.sync(name, request, told, stop);
    if (stop.stop_requested()) return Next::done();
    if (!synced) return after_failure(key, object, spec.poll, synced.error());
    return after_success(key, name, object, spec, *synced, pending, told);
  }

  Result<Next> after_success(const ObjectKey& key, const source::RepositoryName& name, const Json& object, const ConnectSpec& spec, const source::SyncOutcome& synced,
                             const std::vector<Delivery>& pending, const std::vector<source::ToldPush>& told) {
    const int waits = wait_for_told(key, name, object, told);
    if (waits == 0) {
      std::vector<std::uint64_t> done;
      for (const Delivery& one : pending) done.push_back(one.sequence);
      dependencies_.deliveries.settle(name, done);
    }
    const auto pause = waits > 0 ? next_look(std::chrono::seconds(1), waits, false, random()) : next_look(spec.poll, 0, false, random());
    if (synced.changed) log::info("Fetched", {{"repository", name.to_string()}, {"url", spec.url.to_string()}});
    if (dependencies_.on_fetched) dependencies_.on_fetched(key);
    {
      const std::lock_guard lock(mutex_);
      states_[key].failures = 0;
    }
    const std::string now = format_rfc3339(manager_.clock().now());
    Json source = Json::object({{"url", spec.url.to_string()}, {"defaultBranch", synced.default_branch}, {"failures", 0}, {"message", ""}, {"lastFetchTime", now}, {"lastAttemptTime", now}});
    if (!pending.empty()) source = source.with("lastDelivery", describe(pending.back()));
    return write(key, object, source, {"True", "Fetched", ""}, pause);
  }

  static std::string request_of(const Json& object) { return object["metadata"]["annotations"][fetch_annotation].str(); }

  static Json describe(const Delivery& delivery) {
    return Json::object({{"provider", name_of(delivery.provider)}, {"id", delivery.id}, {"time", format_rfc3339(delivery.arrived)}});
  }

  // A forge may tell of a push before it shows it: how often that was waited for. 0: all is here, or is waited for no more.
  int wait_for_told(const ObjectKey& key, const source::RepositoryName& name, const Json& object, const std::vector<source::ToldPush>& told) {
    const auto missing = std::ranges::find_if(told, [&](const source::ToldPush& one) { return !dependencies_.mirrors.holds(name, one.after); });
    const std::lock_guard lock(mutex_);
    State& state = states_[key];
    if (missing == told.end()) return state.waits = 0;
    if (++state.waits < max_waits) return state.waits;
    state.waits = 0;
    events_.warning(object, "CommitNotFound", fmt::format("a webhook told of commit {} on {}, which the remote does not show", missing->after.substr(0, 10), missing->ref));
    return 0;
  }

  Result<Next> after_failure(const ObjectKey& key, const Json& object, std::chrono::seconds poll, const Error& error) {
    int failures = 0;
    {
      const std::lock_guard lock(mutex_);
      failures = ++states_[key].failures;
    }
    const auto name = source::RepositoryName::parse(key.ns, key.name);
    const bool told = name && !dependencies_.deliveries.pending(*name).empty();
    if (failures == 1) events_.warning(object, "FetchFailed", error.message);
    const Json source = Json::object({{"failures", failures}, {"message", error.message}, {"lastAttemptTime", format_rfc3339(manager_.clock().now())}});
    return write(key, object, source, {"False", error.code == ErrorCode::invalid ? "InvalidSpec" : "FetchFailed", error.message}, next_look(poll, failures, told, random()));
  }

  struct Ready {
    std::string_view status, reason;
    std::string message;
  };

  static Json condition(const Json& object, const Ready& ready, const std::string& now) {
    std::string since = now;
    for (const Json& one : object["status"]["conditions"].items())
      if (one["type"].as_string() == "Ready" && one["status"].as_string() == ready.status) since = one["lastTransitionTime"].str(now);
    return Json::object({{"type", "Ready"}, {"status", ready.status}, {"reason", ready.reason}, {"message", ready.message}, {"lastTransitionTime", since}});
  }

  static bool differs_beyond_times(const Json& object, const Json& source, const Json& ready) {
    const Json& old = object["status"]["source"];
    for (const auto& member : source.members())
      if (!member.key().ends_with("Time") && old[member.key()] != member.value) return true;
    return object["status"]["conditions"] != Json::array({ready});
  }

  Result<Next> write(const ObjectKey& key, const Json& object, Json source, const Ready& ready, std::chrono::milliseconds pause) {
    if (const std::string request = request_of(object); !request.empty()) source = source.with("observedRequest", request);
    const Json one = condition(object, ready, format_rfc3339(manager_.clock().now()));
    const Steady now = manager_.clock().steady();
    {
      const std::lock_guard lock(mutex_);
      State& state = states_[key];
      const bool spare = state.status_at != Steady{} && now - state.status_at < status_pause && !differs_beyond_times(object, source, one);
      if (!spare) state.status_at = now;
      if (spare) {
        state.due = now + pause;
        return Next::after(pause);
      }
    }
    auto patched = manager_.client().patch(kube::resources::repositories, key, kube::PatchType::merge,
                                           Json::object({{"status", Json::object({{"source", source}, {"conditions", Json::array({one})}})}}), {}, "status");
    if (patched) informer_.observed(*patched);
    else if (patched.error().code != ErrorCode::not_found) log::warn("The status of a repository could not be written", {{"repository", key.to_string()}, {"reason", patched.error().to_string()}});
    return schedule(key, pause);
  }

  // The object is gone: so is what was fetched for it. It can be fetched again.
  Result<Next> remove(const ObjectKey& key, const source::RepositoryName& name) {
    {
      const std::lock_guard lock(mutex_);
      states_.erase(key);
    }
    if (!dependencies_.repositories.is_mirror(name)) return Next::done();
    const auto lock = dependencies_.repositories.push_lock(name);
    const std::lock_guard guard(*lock);
    for (const source::Push& push : TRY(dependencies_.journal.pending()))
      if (push.repository == name) TRY(dependencies_.journal.remove(push.id));
    dependencies_.deliveries.forget(name);
    TRY(dependencies_.repositories.remove(name));
    return Next::done();
  }

  static std::uint64_t random() { return SystemRandom().below(1'000'000); }

  kube::Manager& manager_;
  const ConnectedDependencies dependencies_;
  kube::Informer& informer_;
  kube::EventRecorder events_;
  std::mutex mutex_;
  std::map<ObjectKey, State> states_;
};

}  // namespace

Result<ConnectSpec> parse_connect(const Json& object) {
  const Json& connect = object["spec"]["connect"];
  if (!connect["url"].is_string()) return wrong("url", "is missing: the repository's https address");
  ConnectSpec out;
  out.url = TRY(at(source::RemoteUrl::parse(connect["url"].as_string()), "spec.connect.url"));
  if (connect["branches"].size() > max_branches) return wrong("branches", fmt::format("has more than {} entries", max_branches));
  for (const Json& one : connect["branches"].items()) out.branches.push_back(one.str());
  TRY(at(source::check_branches(out.branches), "spec.connect.branches"));
  if (const Json& poll = connect["pollIntervalSeconds"]; !poll.is_null()) {
    out.poll = std::chrono::seconds(poll.as_int());
    if (out.poll < min_poll || out.poll > max_poll) return wrong("pollIntervalSeconds", fmt::format("must be from {} to {}", min_poll.count(), max_poll.count()));
  }
  if (const Json& provider = connect["provider"]; !provider.is_null()) {
    out.provider = provider_of(provider.as_string());
    if (!out.provider) return wrong("provider", "must be github, gitlab, bitbucket or gitea");
  }
  out.credentials = connect["credentialsRef"]["name"].str();
  out.webhook_secret = connect["webhookSecretRef"]["name"].str();
  out.webhook_key = connect["webhookSecretRef"]["key"].str("webhookSecret");
  return out;
}

std::chrono::milliseconds next_look(std::chrono::seconds interval, int failures, bool told, std::uint64_t random) {
  const auto doubled = [&](std::chrono::milliseconds first, std::chrono::milliseconds longest) { return std::min(first * (std::int64_t{1} << std::clamp(failures, 0, 20)), std::max(first, longest)); };
  std::chrono::milliseconds out = doubled(interval, longest_pause);
  if (told && failures > 0) out = std::min(out, doubled(first_pause_told, longest_pause_told));
  const auto fifth = static_cast<std::uint64_t>(out.count()) / 5 + 1;
  return out - out / 10 + std::chrono::milliseconds(random % fifth);
}

Result<source::RemoteCredential> read_credential(kube::Client& client, const ObjectKey& key, const source::RemoteUrl& url, std::optional<Provider> provider) {
  auto read = client.get(kube::resources::secrets, key);
  if (!read && read.error().code == ErrorCode::not_found)
    return fail(ErrorCode::unauthenticated, fmt::format("there is no Secret {} in namespace {}, which spec.connect.credentialsRef names", key.name, key.ns));
  const Json secret = TRY(std::move(read));
  if (const auto origin = secret["metadata"]["annotations"][origin_annotation].as_string(); origin != url.origin())
    return fail(ErrorCode::forbidden, fmt::format("Secret {} is not for {}: whoever owns it sets its annotation {}={}", key.name, url.origin(), origin_annotation, url.origin()));
  source::RemoteCredential out;
  out.token = TRY(secret_value(secret, secret["data"].contains("token") ? "token" : "password"));
  out.username = TRY(secret_value(secret, "username"));
  out.ca_pem = TRY(secret_value(secret, "ca.crt"));
  if (!out.ca_pem.empty()) out.ca_pem += "\n";
  if (out.username.empty()) out.username = usual_user(url, provider);
  if (!is_header_text(out.token) || !is_header_text(out.username) || out.username.find(':') != out.username.npos)
    return fail(ErrorCode::invalid, fmt::format("Secret {}: user name or token hold a line break, or the name a colon", key.name));
  return out;
}

Result<WebhookTarget> webhook_target(kube::Manager& manager, const source::RepositoryName& repository) {
  const Json object = manager.informer(kube::resources::repositories).get({repository.ns, repository.name});
  if (object.is_null() || object["spec"]["connect"].is_null()) return fail(ErrorCode::not_found, "not a connected repository");
  const ConnectSpec spec = TRY(parse_connect(object));
  if (spec.webhook_secret.empty()) return fail(ErrorCode::not_found, "no webhook is set up");
  const Json secret = TRY(manager.client().get(kube::resources::secrets, {repository.ns, spec.webhook_secret}));
  std::string value = TRY(secret_value(secret, spec.webhook_key));
  return WebhookTarget{spec.url.to_string(), spec.provider, std::move(value)};
}

std::function<void(const ObjectKey&)> register_connected(kube::Manager& manager, ConnectedDependencies dependencies) {
  auto& repositories = dependencies.repositories;
  const auto state = std::make_shared<Connected>(manager, std::move(dependencies));
  auto& controller = manager.controller("connected-repository", [state](const ObjectKey& key, const std::stop_token& stop) { return state->reconcile(key, stop); }, workers);
  manager.informer(kube::resources::repositories).on_change([&controller](const Json& before, const Json& after) {
    if (after.is_null()) controller.enqueue(kube::key_of(before));
    else if (!after["spec"]["connect"].is_null() && (before["spec"] != after["spec"] || before["metadata"]["annotations"] != after["metadata"]["annotations"])) controller.enqueue(kube::key_of(after));
  });
  // Those whose object went while nobody looked.
  for (const auto& name : repositories.list())
    if (repositories.is_mirror(name)) controller.enqueue({name.ns, name.name});
  return [state, &controller](const ObjectKey& key) {
    state->wake(key);
    controller.enqueue(key);
  };
}

}  // namespace slipway::forge
