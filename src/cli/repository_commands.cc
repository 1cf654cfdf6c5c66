// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/output.h"

namespace slipway::cli {
namespace {

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

Result<Exit> list(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  const auto found = TRY(client->list(kube::resources::repositories, {.ns = invocation.get("namespace")}));
  TRY(show(invocation, found.items, true, [&] {
    Table table({"NAME", "URL", "BRANCHES", "AGE"});
    for (const Json& one : found.items) table.add({one["metadata"]["name"].str(), one["status"]["url"].str(), std::to_string(one["status"]["refs"].size()), age_of(one)});
    return table;
  }));
  return Exit::ok;
}

}  // namespace

std::vector<Command> repository_commands() {
  return {
      {.path = "repo create", .arguments = "NAME", .summary = "Host a git repository and print its address", .flags = with_common({}), .run = create},
      {.path = "repo list", .arguments = "", .summary = "List the repositories", .flags = with_common({output_flag()}), .run = list},
  };
}

}  // namespace slipway::cli
