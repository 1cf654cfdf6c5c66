// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/hub.h"
#include "cli/output.h"

namespace slipway::cli {
namespace {

struct Line {
  std::string part, state, details;
  bool good = true;
};

const Json& condition_of(const Json& object, std::string_view type) {
  static const Json none;
  for (const Json& condition : object["status"]["conditions"].items())
    if (condition["type"].as_string() == type) return condition;
  return none;
}

// "2 Healthy, 1 Degraded"
std::string counted(const std::map<std::string, int>& counts) {
  std::vector<std::string> parts;
  for (const auto& [word, count] : counts) parts.push_back(fmt::format("{} {}", count, word));
  return parts.empty() ? "none" : join(parts, ", ");
}

Line plane_line(const Invocation& invocation, kube::Client& client) {
  const auto version = client.raw("GET", "/version");
  const auto connection_config = connection(invocation);
  const std::string where = connection_config ? connection_config->origin.to_string() : "";
  if (!version) return {"control plane", "NotReady", version.error().to_string(), false};
  const auto json = text::parse_json(*version);
  return {"control plane", "Ready", fmt::format("{}, Kubernetes {}", where, json ? (*json)["gitVersion"].str() : "?"), true};
}

Line serve_line(const Invocation& invocation, kube::Client& client) {
  const auto hub = Hub::find(invocation, client);
  if (!hub) return {"serve", "NotReady", hub.error().message, false};
  const auto ready = (*hub)->get("/readyz");
  return {"serve", ready ? "Ready" : "NotReady", ready ? "git, hub and hooks answer" : ready.error().to_string(), ready.has_value()};
}

Result<> add_nodes(kube::Client& client, std::vector<Line>& out) {
  const auto nodes = TRY(client.list(kube::resources::nodes));
  const auto pods = TRY(client.list(kube::resources::pods));
  for (const Json& node : nodes.items) {
    const Json& ready = condition_of(node, "Ready");
    const bool good = ready["status"].as_string() == "True";
    std::map<std::string, int> phases;
    for (const Json& pod : pods.items)
      if (pod["spec"]["nodeName"] == node["metadata"]["name"]) ++phases[pod["status"]["phase"].str("Pending")];
    out.push_back({"node " + node["metadata"]["name"].str(), good ? "Ready" : "NotReady", good ? "pods: " + counted(phases) : ready["message"].str("it does not report"), good});
  }
  if (nodes.items.empty()) out.push_back({"node", "NotReady", "no node has registered", false});
  return {};
}

Result<> add_work(kube::Client& client, std::vector<Line>& out) {
  std::map<std::string, int> health, runs;
  bool bad = false;
  for (const Json& app : TRY(client.list(kube::resources::apps)).items) {
    const std::string word = app["status"]["health"].str("Unknown");
    bad |= word == "Degraded";
    ++health[word];
  }
  for (const Json& run : TRY(client.list(kube::resources::pipeline_runs)).items) {
    const std::string_view status = condition_of(run, "Succeeded")["status"].as_string();
    ++runs[status == "True" ? "Succeeded" : status == "False" ? "Failed" : "Running"];
  }
  out.push_back({"repositories", fmt::format("{}", TRY(client.list(kube::resources::repositories)).items.size()), "", true});
  out.push_back({"apps", bad ? "Degraded" : "OK", counted(health), !bad});
  out.push_back({"runs", "OK", counted(runs), true});
  return {};
}

Result<Exit> status(const Invocation& invocation) {
  const auto client = TRY(connect(invocation));
  std::vector<Line> lines{plane_line(invocation, *client)};
  if (lines[0].good) {
    lines.push_back(serve_line(invocation, *client));
    TRY(add_nodes(*client, lines));
    TRY(add_work(*client, lines));
  }
  Table table({"PART", "STATE", "DETAILS"});
  bool good = true;
  std::vector<Json> objects;
  for (const Line& line : lines) {
    table.add({line.part, line.state, line.details});
    objects.push_back(Json::object({{"part", line.part}, {"state", line.state}, {"details", line.details}, {"good", line.good}}));
    good &= line.good;
  }
  TRY(show(invocation, objects, true, [&] { return table; }));
  return good ? Exit::ok : Exit::failed;
}

}  // namespace

std::vector<Command> status_commands() {
  return {{.path = "status", .arguments = "", .summary = "Tell how the system and its apps are; exit code 1 where something is not well", .flags = with_common({output_flag()}), .run = status}};
}

}  // namespace slipway::cli
