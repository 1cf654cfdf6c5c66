// SPDX-License-Identifier: Apache-2.0
#include "deliver/sync/why.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "deliver/sync/runs.h"
#include "desired/health.h"
#include "desired/set.h"

namespace slipway::deliver {
namespace {

std::string short_commit(const Json& commit) { return commit.str().substr(0, 10); }

const Json& named(const std::vector<Json>& objects, const Json& name) {
  static const Json none;
  for (const Json& one : objects)
    if (one["metadata"]["name"] == name) return one;
  return none;
}

const Json& succeeded(const Json& run) {
  static const Json none;
  for (const Json& condition : run["status"]["conditions"].items())
    if (condition["type"].as_string() == "Succeeded") return condition;
  return none;
}

std::string why_not_ready(const Json& pod) {
  for (const Json& container : pod["status"]["containerStatuses"].items()) {
    const Json& waiting = container["state"]["waiting"];
    if (!waiting.is_null()) return fmt::format("container {} waits: {} {}", container["name"].as_string(), waiting["reason"].as_string(), waiting["message"].as_string());
    const Json& ended = container["state"]["terminated"];
    if (!ended.is_null()) return fmt::format("container {} ended: {} (exit code {})", container["name"].as_string(), ended["reason"].as_string(), ended["exitCode"].as_int());
    if (!container["ready"].as_bool()) return fmt::format("container {} runs but is not ready", container["name"].as_string());
  }
  return pod["status"]["phase"].str("Pending");
}

class Explainer final {
 public:
  explicit Explainer(const Facts& facts) : facts_(facts), status_(facts.app["status"]) {}

  std::vector<Link> run() {
    add("app", fmt::format("{}: {}, {}{}", facts_.app["metadata"]["name"].as_string(), status_["sync"].as_string("Unknown"), status_["health"].as_string("Unknown"),
                           status_["message"].as_string().empty() ? "" : "; " + status_["message"].str()));
    explain_runs();
    explain_release();
    explain_objects();
    for (const Json& one : status_["quarantined"].items())
      add("rollback", fmt::format("release {} of commit {} is quarantined since {}: {}", one["release"].as_string(), short_commit(one["commit"]), one["at"].as_string(), one["reason"].as_string()));
    for (const Json& one : status_["drift"].items())
      add("drift", fmt::format("{} {} at {}: {}", one["kind"].as_string(), one["name"].as_string(), one["at"].as_string(), one["what"].as_string()));
    return std::move(chain_);
  }

 private:
  void add(std::string what, std::string text) { chain_.push_back({std::move(what), std::move(text)}); }

  void explain_runs() {
    const Json* newest = nullptr;
    for (const Json& run : facts_.runs)
      if (!newest || run["metadata"]["creationTimestamp"].str() >= (*newest)["metadata"]["creationTimestamp"].str()) newest = &run;
    if (!newest) return;
    add("commit", short_commit((*newest)["metadata"]["labels"]["slipway.dev/commit"]));
    add("run", fmt::format("{}: {} {}", (*newest)["metadata"]["name"].as_string(), succeeded(*newest)["reason"].as_string("Running"), succeeded(*newest)["message"].as_string()));
    for (const Json& task : facts_.task_runs) {
      if (task["metadata"]["labels"]["tekton.dev/pipelineRun"] != (*newest)["metadata"]["name"]) continue;
      const bool failed = succeeded(task)["status"].as_string() == "False";
      add("step", failed ? why_task_failed(task) : fmt::format("task {}: {}", task["metadata"]["labels"]["tekton.dev/pipelineTask"].as_string(), succeeded(task)["reason"].as_string("Pending")));
    }
  }

  void explain_release() {
    const Json& release = named(facts_.releases, status_["applied"]["release"]);
    if (release.is_null()) return;
    add("release", fmt::format("{} of commit {} ({})", release["metadata"]["name"].as_string(), short_commit(release["spec"]["commit"]), release["status"]["phase"].as_string("Applying")));
    for (const Json& image : release["spec"]["images"].items()) add("image", fmt::format("{}@{}", image["name"].as_string(), image["digest"].as_string()));
  }

  void explain_objects() {
    for (const Json& deployment : facts_.deployments) {
      const auto report = desired::health_of(deployment);
      add("object", fmt::format("Deployment {}: {}{}", deployment["metadata"]["name"].as_string(), desired::name_of(report.health), report.message.empty() ? "" : "; " + report.message));
      for (const Json& set : facts_.replica_sets)
        for (const Json& owner : set["metadata"]["ownerReferences"].items())
          if (owner["uid"] == deployment["metadata"]["uid"]) explain_pods(set);
    }
  }

  void explain_pods(const Json& set) {
    for (const Json& pod : facts_.pods)
      for (const Json& owner : pod["metadata"]["ownerReferences"].items()) {
        if (owner["uid"] != set["metadata"]["uid"]) continue;
        const bool ready = desired::health_of(pod).health == desired::Health::healthy;
        add("pod", fmt::format("{}: {}", pod["metadata"]["name"].as_string(), ready ? "ready" : why_not_ready(pod)));
      }
  }

  const Facts& facts_;
  const Json& status_;
  std::vector<Link> chain_;
};

}  // namespace

Result<Facts> gather(kube::Client& client, const kube::ObjectKey& key) {
  Facts facts;
  facts.app = TRY(client.get(kube::resources::apps, key));
  const std::string own = std::string(desired::app_label) + "=" + key.name, target = facts.app["spec"]["namespace"].str(key.ns);
  facts.releases = TRY(client.list(kube::resources::releases, {.ns = key.ns, .label_selector = own})).items;
  facts.runs = TRY(client.list(kube::resources::pipeline_runs, {.ns = key.ns, .label_selector = "slipway.dev/repository=" + facts.app["spec"]["repository"].str()})).items;
  facts.task_runs = TRY(client.list(kube::resources::task_runs, {.ns = key.ns})).items;
  facts.deployments = TRY(client.list(kube::resources::deployments, {.ns = target, .label_selector = own})).items;
  facts.replica_sets = TRY(client.list(kube::resources::replica_sets, {.ns = target})).items;
  facts.pods = TRY(client.list(kube::resources::pods, {.ns = target})).items;
  return facts;
}

std::vector<Link> explain(const Facts& facts) { return Explainer(facts).run(); }

std::string to_text(const std::vector<Link>& chain) {
  std::string out;
  for (const Link& link : chain) out += fmt::format("{:<9} {}\n", link.what, printable(link.text));
  return out;
}

Json to_json(const std::vector<Link>& chain) {
  std::vector<Json> out;
  for (const Link& link : chain) out.push_back(Json::object({{"what", link.what}, {"text", link.text}}));
  return Json::object({{"chain", Json::array(std::move(out))}});
}

}  // namespace slipway::deliver
