// SPDX-License-Identifier: Apache-2.0
#include "forge/repositories.h"

#include <fmt/format.h>

#include "kube/events.h"

namespace slipway::forge {
namespace {

using kube::Next;
using kube::ObjectKey;

constexpr std::string_view branch_prefix = "refs/heads/";

class Repositories final {
 public:
  Repositories(kube::Manager& manager, RepositoryDependencies dependencies)
      : manager_(manager), dependencies_(std::move(dependencies)), informer_(manager.informer(kube::resources::repositories)), events_(manager, "slipway-repository") {}

  Result<Next> reconcile(const ObjectKey& key) {
    const Json object = informer_.get(key);
    if (object.is_null() || !object["metadata"]["deletionTimestamp"].is_null()) return Next::done();
    const auto name = source::RepositoryName::parse(key.ns, key.name);
    if (!name) return say(object, name.error().message);
    const bool hosted = !object["spec"]["hosted"].is_null(), connected = !object["spec"]["connect"].is_null();
    if (hosted == connected) return say(object, "spec needs one of hosted: {} and connect: {url: …}");
    const bool mirror = dependencies_.repositories.is_mirror(*name);
    if (hosted && mirror) return say(object, "this repository was connected before; delete it and create it anew to host it");
    if (connected && !mirror) return Next::done();  // nothing was fetched yet
    if (hosted) TRY(dependencies_.repositories.create(*name));
    std::string problem;
    for (const source::Push& push : TRY(dependencies_.journal.pending()))
      if (push.repository == *name) TRY(handle(object, push, problem));
    return write_status(object, *name, problem);
  }

 private:
  std::string url_of(const ObjectKey& key) const { return fmt::format("{}/git/{}/{}.git", dependencies_.base_url, key.ns, key.name); }

  Result<> handle(const Json& object, const source::Push& push, std::string& problem) {
    if (!push.after.empty() && push.ref.starts_with(branch_prefix)) {
      const ObjectKey key = kube::key_of(object);
      const PushEvent event{key.ns, key.name, url_of(key), push.ref.substr(branch_prefix.size()), push.after,
                            dependencies_.repositories.describe(push.repository, push.after).value_or("")};
      TRY(start_runs(object, push, event, problem));
    }
    TRY(dependencies_.journal.remove(push.id));
    if (dependencies_.on_new_commits) dependencies_.on_new_commits(push.repository.ns, push.repository.name);
    return {};
  }

  // A file that is wrong is the author's to mend: told, and not tried again. A plane that does not answer is.
  Result<> start_runs(const Json& object, const source::Push& push, const PushEvent& event, std::string& problem) {
    const auto files = TRY(dependencies_.repositories.files(push.repository, push.after, ".tekton"));
    const auto runs = dependencies_.runs_for_push(files, event);
    if (!runs) {
      problem = fmt::format("commit {}: {}", push.after.substr(0, 10), runs.error().to_string());
      events_.warning(object, "InvalidPipeline", problem);
      return {};
    }
    for (const Json& run : *runs) {
      auto created = manager_.client().create(kube::resources::pipeline_runs, run);
      if (created) events_.normal(object, "RunStarted", fmt::format("Run {} of commit {}", run["metadata"]["name"].as_string(), push.after.substr(0, 10)));
      if (!created && created.error().code != ErrorCode::already_exists) return std::unexpected(std::move(created.error()));
    }
    return {};
  }

  Result<Next> say(const Json& object, const std::string& message) {
    TRY(patch(object, Json::object({{"message", message}})));
    return Next::done();
  }

  Result<Next> write_status(const Json& object, const source::RepositoryName& name, const std::string& problem) {
    std::vector<Json> refs;
    for (const auto& [ref, commit] : TRY(dependencies_.repositories.refs(name)))
      if (refs.size() < 100) refs.push_back(Json::object({{"name", ref}, {"commit", commit}}));
    const std::string message = problem.empty() && object["status"]["refs"] == Json::array(refs) ? object["status"]["message"].str() : problem;
    Json status = Json::object({{"url", url_of(kube::key_of(object))}, {"refs", Json::array(std::move(refs))}, {"message", message}});
    if (object["spec"]["connect"].is_null() && object["status"]["conditions"].is_null())
      status = status.with("conditions", Json::array({Json::object({{"type", "Ready"}, {"status", "True"}, {"reason", "Hosted"}, {"message", ""}, {"lastTransitionTime", format_rfc3339(manager_.clock().now())}})}));
    TRY(patch(object, status));
    return Next::done();
  }

  Result<> patch(const Json& object, const Json& status) {
    bool same = true;
    for (const auto& member : status.members()) same &= object["status"][member.key()] == member.value;
    if (same) return {};
    informer_.observed(TRY(manager_.client().patch(kube::resources::repositories, kube::key_of(object), kube::PatchType::merge, Json::object({{"status", status}}), {}, "status")));
    return {};
  }

  kube::Manager& manager_;
  const RepositoryDependencies dependencies_;
  kube::Informer& informer_;
  kube::EventRecorder events_;
};

}  // namespace

std::function<void(const ObjectKey&)> register_repositories(kube::Manager& manager, RepositoryDependencies dependencies) {
  auto& journal = dependencies.journal;
  const auto state = std::make_shared<Repositories>(manager, std::move(dependencies));
  auto& controller = manager.controller("repository", [state](const ObjectKey& key, const std::stop_token&) { return state->reconcile(key); });
  manager.informer(kube::resources::repositories).on_change([&controller](const Json& before, const Json& after) {
    if (!after.is_null() && before["spec"] != after["spec"]) controller.enqueue(kube::key_of(after));
  });
  journal.on_push([&controller, &journal] {
    const auto pending = journal.pending();
    if (!pending) return;
    for (const source::Push& push : *pending) controller.enqueue({push.repository.ns, push.repository.name});
  });
  return [&controller](const ObjectKey& key) { controller.enqueue(key); };
}

}  // namespace slipway::forge
