// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "base/strings.h"
#include "cli/connect.h"
#include "cli/hub.h"
#include "cli/output.h"
#include "deliver/sync/why.h"
#include "desired/diff.h"
#include "desired/set.h"
#include "kube/discovery.h"

namespace slipway::cli {
namespace {

constexpr const char* rollback_annotation = "slipway.dev/rollback-to";

kube::ObjectKey key_of(const Invocation& invocation) { return {invocation.get("namespace"), invocation.arguments[0]}; }

Result<Exit> create(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const std::string name = invocation.arguments[0];
  Json spec = Json::object({{"repository", invocation.has("repository") ? invocation.get("repository") : name}, {"branch", invocation.get("branch")}, {"path", invocation.get("path")}});
  if (invocation.has("target-namespace")) spec = spec.with("namespace", invocation.get("target-namespace"));
  if (invocation.has("progress-deadline")) spec = spec.with("progressDeadlineSeconds", TRY(invocation.number("progress-deadline")));
  const Json app = Json::object({{"apiVersion", kube::resources::apps.api_version()}, {"kind", "App"},
                                 {"metadata", Json::object({{"name", name}, {"namespace", invocation.get("namespace")}})}, {"spec", spec}});
  TRY(client->create(kube::resources::apps, app));
  print(fmt::format("app/{} created\n", name));
  return Exit::ok;
}

std::string short_commit(const Json& stage) { return stage["commit"].str().substr(0, 10); }

Table app_table(const std::vector<Json>& apps) {
  Table table({"NAME", "SYNC", "HEALTH", "COMMIT", "RELEASE", "AGE", "MESSAGE"});
  for (const Json& app : apps) {
    const Json& status = app["status"];
    table.add({app["metadata"]["name"].str(), status["sync"].str("Unknown"), status["health"].str("Unknown"), short_commit(status["applied"]),
               status["applied"]["release"].str("-"), age_of(app), status["message"].str()});
  }
  return table;
}

Result<Exit> list(const Invocation& invocation) {
  const auto found = TRY(TRY(connect(invocation))->list(kube::resources::apps, {.ns = invocation.get("namespace")}));
  TRY(show(invocation, found.items, true, [&] { return app_table(found.items); }));
  return Exit::ok;
}

Result<Exit> get(const Invocation& invocation) {
  const std::vector<Json> app{TRY(TRY(connect(invocation))->get(kube::resources::apps, key_of(invocation)))};
  TRY(show(invocation, app, false, [&] { return app_table(app); }));
  return Exit::ok;
}

Result<Exit> history(const Invocation& invocation) {
  const Json app = TRY(TRY(connect(invocation))->get(kube::resources::apps, key_of(invocation)));
  Table table({"AT", "RESULT", "COMMIT", "RELEASE"});
  for (const Json& one : app["status"]["history"].items()) table.add({one["at"].str(), one["result"].str(), short_commit(one), one["release"].str()});
  print(table.text());
  return Exit::ok;
}

// The live objects beside the applied release's: what was changed by other hands since.
Result<Exit> diff(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const auto hub = TRY(Hub::find(invocation, *client));
  const kube::ObjectKey key = key_of(invocation);
  const Json app = TRY(client->get(kube::resources::apps, key));
  const std::string release = invocation.arguments.size() > 1 ? invocation.arguments[1] : app["status"]["applied"]["release"].str();
  if (release.empty()) return fail(ErrorCode::not_found, fmt::format("app {} has applied no release yet", key.name));
  const auto set = TRY(desired::Set::parse(TRY(hub->get(fmt::format("/deliver/v1/releases/{}/{}", key.ns, release)))));
  const auto resources = TRY(kube::discover(*client));
  bool differs = false;
  for (const auto& one : set.objects) {
    const auto id = desired::id_of(one.object);
    const auto resource = std::ranges::find_if(resources, [&](const kube::Resource& r) { return r.kind == id.kind && r.group == id.group; });
    if (resource == resources.end()) return fail(ErrorCode::not_found, "the plane does not serve " + id.to_string());
    const auto live = client->get(*resource, {id.ns, id.name});
    if (!live && live.error().code != ErrorCode::not_found) return std::unexpected(live.error());
    const auto lines = live ? desired::diff(one.object, *live) : std::vector<std::string>{"is not there"};
    if (lines.empty()) continue;
    differs = true;
    print(fmt::format("{}  ({})\n", id.to_string(), one.source));
    for (const std::string& line : lines) print("  " + printable(line) + "\n");
  }
  if (!differs) progress(fmt::format("the objects are as release {} wants them\n", release));
  return differs ? Exit::failed : Exit::ok;
}

// To the release that is named, or the healthy one before the present.
Result<Exit> rollback(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const Json app = TRY(client->get(kube::resources::apps, key_of(invocation)));
  const Json& status = app["status"];
  std::string release = invocation.arguments.size() > 1 ? invocation.arguments[1] : "";
  for (const Json& one : status["history"].items())
    if (release.empty() && one["result"].as_string() == "Healthy" && one["release"] != status["applied"]["release"]) release = one["release"].str();
  if (release.empty()) return fail(ErrorCode::not_found, "there is no earlier healthy release to go back to");
  const std::string head = status["desired"]["commit"].str();
  const Json patch = Json::object({{"metadata", Json::object({{"annotations", Json::object({{rollback_annotation, release + "@" + head}})}})}});
  TRY(client->patch(kube::resources::apps, key_of(invocation), kube::PatchType::merge, patch));
  print(fmt::format("app/{} goes back to {} until the next commit\n", invocation.arguments[0], release));
  return Exit::ok;
}

Result<Exit> why(const Invocation& invocation) {
  std::string target = invocation.arguments[0];
  if (!target.starts_with("app/")) return std::unexpected(Error{ErrorCode::invalid, "why takes app/NAME", {"usage"}});
  const auto client = TRY(connect(invocation));
  const auto facts = TRY(deliver::gather(*client, {invocation.get("namespace"), target.substr(4)}));
  const auto chain = deliver::explain(facts);
  if (invocation.get("output") == "json") print(text::to_json_indented(deliver::to_json(chain)) + "\n");
  else print(deliver::to_text(chain));
  return Exit::ok;
}

}  // namespace

std::vector<Command> app_commands() {
  return {
      {.path = "app create", .arguments = "NAME", .summary = "Deliver the manifests of a repository",
       .flags = with_common({{"repository", 'r', "NAME", "the repository (default: the app's name)"}, {"branch", 0, "NAME", "the branch to follow", "main"},
                             {"path", 0, "PATH", "the folder of manifests", "deploy"}, {"target-namespace", 0, "NAME", "where its objects go (default: its own)"},
                             {"progress-deadline", 0, "SECONDS", "how long a release may take to become healthy"}}),
       .run = create},
      {.path = "app list", .arguments = "", .summary = "List the apps", .flags = with_common({output_flag()}), .run = list},
      {.path = "app get", .arguments = "NAME", .summary = "Show an app", .flags = with_common({output_flag()}), .run = get},
      {.path = "app history", .arguments = "NAME", .summary = "Show what was released, and how it went", .flags = with_common({}), .run = history},
      {.path = "app diff", .arguments = "NAME [RELEASE]", .summary = "Show how the live objects differ from a release (default: the applied one); exit code 1 where they do", .flags = with_common({}), .run = diff},
      {.path = "app rollback", .arguments = "NAME [RELEASE]", .summary = "Go back to an earlier release until the next commit", .flags = with_common({}), .run = rollback},
      {.path = "why", .arguments = "app/NAME", .summary = "Tell why an app is as it is: commit, run, images, objects, pods, rollback", .flags = with_common({output_flag()}), .run = why},
  };
}

}  // namespace slipway::cli
