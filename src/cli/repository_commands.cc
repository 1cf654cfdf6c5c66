// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/output.h"
#include "base/files.h"
#include "base/strings.h"
#include "forge/connected.h"

namespace slipway::cli {
namespace {

using forge::min_webhook_secret, forge::origin_annotation;

constexpr std::size_t max_secret = 64 * 1024;

Result<Exit> create(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const Json repository = Json::object({{"apiVersion", kube::resources::repositories.api_version()}, {"kind", "Repository"},
                                        {"metadata", Json::object({{"name", invocation.arguments[0]}, {"namespace", invocation.get("namespace")}})},
                                        {"spec", Json::object({{"hosted", Json::object()}})}});
  Json created = TRY(client->create(kube::resources::repositories, repository));
  const kube::ObjectKey key = kube::key_of(created);
  // The controller makes it; its address is in the status then.
  Result<> watched = client->watch(kube::resources::repositories, {.ns = key.ns, .field_selector = "metadata.name=" + key.name, .resource_version = "0"},
                                   [&](const kube::WatchEvent& event) {
                                     if (event.kind != kube::WatchKind::bookmark) created = event.object;
                                     return created["status"]["url"].is_null();
                                   }, {});
  TRY(std::move(watched));
  print(created["status"]["url"].str() + "\n");
  return Exit::ok;
}

// A secret from a file, or from stdin for "-"; never from the command line itself (C1).
Result<std::string> read_secret(const std::string& path) {
  std::string text = path == "-" ? TRY(read_all(0, max_secret)) : TRY(read_file(path, max_secret));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) return fail(ErrorCode::invalid, fmt::format("{} is empty", path));
  return text;
}

// "60s", "5m", "1h", or a number of seconds.
Result<std::int64_t> parse_interval(std::string_view text) {
  const char unit = text.empty() ? ' ' : text.back();
  const std::int64_t factor = unit == 'h' ? 3600 : unit == 'm' ? 60 : 1;
  const auto number = parse_int(unit == 's' || factor > 1 ? text.substr(0, text.size() - 1) : text);
  if (!number || *number < 1 || *number > 86'400) return fail(ErrorCode::invalid, fmt::format("--poll {} is no interval: write 60s, 5m or 1h", printable(text)));
  return *number * factor;
}

std::string secret_name(const std::string& repository) { return "repository-" + repository; }

// What was given by files becomes a Secret, bound to the address's origin; null where nothing was.
Result<Json> secret_of(const Invocation& invocation, const std::string& origin) {
  std::vector<std::string> files{invocation.get("token-file"), invocation.get("webhook-secret-file")};
  if (files[0] == "-" && files[1] == "-") return fail(ErrorCode::invalid, "only one of --token-file and --webhook-secret-file may be -");
  Json data = Json::object();
  if (!files[0].empty()) data = data.with("token", to_base64(TRY(read_secret(files[0]))));
  if (invocation.has("username")) data = data.with("username", to_base64(invocation.get("username")));
  if (invocation.has("ca-file")) data = data.with("ca.crt", to_base64(TRY(read_secret(invocation.get("ca-file")))));
  if (!files[1].empty()) {
    const std::string secret = TRY(read_secret(files[1]));
    if (secret.size() < min_webhook_secret) return fail(ErrorCode::invalid, fmt::format("a webhook's secret has at least {} characters; `openssl rand -hex 32` makes one", min_webhook_secret));
    data = data.with("webhookSecret", to_base64(secret));
  }
  if (data.empty()) return Json();
  return Json::object({{"apiVersion", "v1"}, {"kind", "Secret"}, {"type", "Opaque"},
                       {"metadata", Json::object({{"name", secret_name(invocation.arguments[0])}, {"namespace", invocation.get("namespace")},
                                                  {"annotations", Json::object({{origin_annotation, origin}})}})},
                       {"data", data}});
}

Result<Json> connect_spec(const Invocation& invocation, const std::string& url, const Json& secret) {
  const auto poll = TRY(parse_interval(invocation.get("poll")));
  Json spec = Json::object({{"url", url}, {"pollIntervalSeconds", poll}});
  if (const auto branches = invocation.all("branch"); !branches.empty()) spec = spec.with("branches", Json::strings(branches));
  if (invocation.has("provider")) spec = spec.with("provider", invocation.get("provider"));
  const auto refer = [](const std::string& name) { return Json::object({{"name", name}}); };
  const std::string own = secret_name(invocation.arguments[0]);
  if (invocation.has("secret")) spec = spec.with("credentialsRef", refer(invocation.get("secret")));
  else if (secret["data"].contains("token") || secret["data"].contains("ca.crt")) spec = spec.with("credentialsRef", refer(own));
  if (secret["data"].contains("webhookSecret")) spec = spec.with("webhookSecretRef", refer(own));
  return spec;
}

// Waits for the first fetch, or for what stands in its way.
Result<Json> first_fetch(kube::Client& client, const kube::ObjectKey& key, const std::string& request) {
  Json repository;
  bool waits = true;
  while (waits)  // a watch may end before its time
    TRY(client.watch(kube::resources::repositories, {.ns = key.ns, .field_selector = "metadata.name=" + key.name, .resource_version = "0"},
                     [&](const kube::WatchEvent& event) {
                       if (event.kind != kube::WatchKind::bookmark) repository = event.object;
                       const Json& status = repository["status"];
                       const bool seen = status["source"]["observedRequest"].as_string() == request;
                       waits = event.kind != kube::WatchKind::deleted && (!seen || (status["source"]["message"].as_string().empty() && status["url"].is_null()));
                       return waits;
                     }, {}));
  return repository;
}

Result<Exit> connect_repository(const Invocation& invocation) {
  if (invocation.has("secret") && (invocation.has("token-file") || invocation.has("username") || invocation.has("ca-file")))
    return fail(ErrorCode::invalid, "--secret names a Secret that holds the token; leave --token-file, --username and --ca-file out");
  const auto url = TRY(source::RemoteUrl::parse(invocation.arguments[1]));
  const Json secret = TRY(secret_of(invocation, url.origin()));
  const Json spec = TRY(connect_spec(invocation, url.to_string(), secret));
  const auto client = TRY(connect(invocation));
  const kube::ObjectKey key{invocation.get("namespace"), invocation.arguments[0]};
  // Connected again: with another token, address or interval.
  const auto old = client->get(kube::resources::repositories, key);
  if (old && (*old)["spec"]["connect"].is_null()) return fail(ErrorCode::already_exists, fmt::format("a hosted repository {} is here already; connect under another name", key.name));
  if (!secret.is_null()) TRY(client->patch(kube::resources::secrets, kube::key_of(secret), kube::PatchType::apply, secret, {.field_manager = "slipway-cli", .force = true}));
  if (invocation.has("secret"))  // whoever connects says for which host the Secret is
    TRY(client->patch(kube::resources::secrets, {key.ns, invocation.get("secret")}, kube::PatchType::merge,
                      Json::object({{"metadata", Json::object({{"annotations", Json::object({{origin_annotation, url.origin()}})}})}})));
  const std::string request = format_rfc3339_micro(SystemClock().now());
  const Json repository = Json::object({{"apiVersion", kube::resources::repositories.api_version()}, {"kind", "Repository"},
                                        {"metadata", Json::object({{"name", key.name}, {"namespace", key.ns}, {"annotations", Json::object({{forge::fetch_annotation, request}})}})},
                                        {"spec", Json::object({{"connect", spec}})}});
  progress(fmt::format("fetching {}\n", url.to_string()));
  TRY(client->patch(kube::resources::repositories, key, kube::PatchType::apply, repository, {.field_manager = "slipway-cli", .force = true}));
  const Json fetched = TRY(first_fetch(*client, key, request));
  if (const std::string problem = fetched["status"]["source"]["message"].str(); !problem.empty())
    return fail(ErrorCode::unavailable, fmt::format("repository {} is connected, but not fetched yet: {}", key.name, problem));
  print(fetched["status"]["url"].str() + "\n");
  if (spec.contains("webhookSecretRef")) {
    const std::string own = fetched["status"]["url"].str();
    progress(fmt::format("webhooks: POST {}/hooks/v1/{}/{} (content type application/json, push events)\n", own.substr(0, own.find("/git/")), key.ns, key.name));
  }
  return Exit::ok;
}

std::string from_of(const Json& repository) {
  const Json& source = repository["status"]["source"];
  if (repository["spec"]["connect"].is_null()) return "hosted";
  return source["message"].as_string().empty() ? repository["spec"]["connect"]["url"].str() : source["message"].str();
}

Result<Exit> list(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const auto found = TRY(client->list(kube::resources::repositories, {.ns = invocation.get("namespace")}));
  TRY(show(invocation, found.items, true, [&] {
    Table table({"NAME", "URL", "BRANCHES", "AGE", "FROM"});
    for (const Json& one : found.items) table.add({one["metadata"]["name"].str(), one["status"]["url"].str(), std::to_string(one["status"]["refs"].size()), age_of(one), from_of(one)});
    return table;
  }));
  return Exit::ok;
}

}  // namespace

std::vector<Command> repository_commands() {
  return {
      {.path = "repo create", .arguments = "NAME", .summary = "Host a git repository and print its address", .flags = with_common({}), .run = create},
      {.path = "repo connect", .arguments = "NAME URL", .summary = "Follow a repository of GitHub, GitLab, Bitbucket, Gitea or another git server",
       .details = "Commits that appear there start what a push to a hosted repository starts. Without a webhook they are\nfound at the interval of --poll. Secrets come from files; - is stdin.",
       .flags = with_common({{.name = "branch", .value = "NAME", .help = "follow this branch alone (repeatable; release/* for many)", .repeated = true},
                             {.name = "poll", .value = "INTERVAL", .help = "how often to look", .fallback = "60s"},
                             {.name = "token-file", .value = "FILE", .help = "the token that may read it"},
                             {.name = "username", .value = "NAME", .help = "who the token is of, where the server asks"},
                             {.name = "secret", .value = "NAME", .help = "a Secret that holds token (or username and password) already"},
                             {.name = "ca-file", .value = "FILE", .help = "certificates of a private authority"},
                             {.name = "webhook-secret-file", .value = "FILE", .help = "the secret that the webhook is signed with"},
                             {.name = "provider", .value = "NAME", .help = "take webhooks of github, gitlab, bitbucket or gitea alone"}}),
       .run = connect_repository},
      {.path = "repo list", .arguments = "", .summary = "List the repositories", .flags = with_common({output_flag()}), .run = list},
  };
}

}  // namespace slipway::cli
