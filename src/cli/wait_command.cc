// SPDX-License-Identifier: Apache-2.0
// `slipway wait`: until an object is as it should be, with kubectl wait's way of saying how.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/executor.h"
#include "base/strings.h"
#include "ci/tekton/pipeline.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/output.h"
#include "kube/discovery.h"
#include "text/jsonpath.h"

namespace slipway::cli {
namespace {

constexpr std::chrono::milliseconds pause{100};

Error usage(std::string text) { return Error{ErrorCode::invalid, std::move(text), {"usage"}}; }

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool same_word(std::string_view a, std::string_view b) { return lower(std::string(a)) == lower(std::string(b)); }

// "app", "apps", "apps.slipway.dev" or "App"; "run" is a PipelineRun.
Result<kube::Resource> resource_of(kube::Client& client, std::string_view word) {
  if (word == "run") return kube::resources::pipeline_runs;
  for (const kube::Resource& one : TRY(kube::discover(client)))
    if (same_word(word, one.plural) || same_word(word, one.kind) || same_word(word, one.plural + "." + one.group)) return one;
  return fail(ErrorCode::not_found, fmt::format("the plane serves no kind named \"{}\"", printable(word)));
}

// What is waited for: an object's absence, a condition, or the value at a path.
struct Wish {
  enum class Kind { gone, condition, path } kind = Kind::condition;
  std::string subject, value;

  static Result<Wish> parse(std::string_view text) {
    if (text == "delete") return Wish{Kind::gone, {}, {}};
    const bool is_path = text.starts_with("jsonpath=");
    if (!is_path && !text.starts_with("condition=")) return std::unexpected(usage("--for takes condition=TYPE[=VALUE], jsonpath='{.path}'=VALUE or delete"));
    std::string rest(text.substr(text.find('=') + 1));
    if (rest.starts_with('\'') && rest.find('\'', 1) != rest.npos) rest = rest.substr(1, rest.find('\'', 1) - 1) + rest.substr(rest.find('\'', 1) + 1);
    const auto equals = is_path ? rest.find("}=") : rest.find('=');
    if (is_path && equals == rest.npos) return std::unexpected(usage("--for=jsonpath needs a value: jsonpath='{.status.phase}'=Running"));
    const std::size_t cut = is_path ? equals + 1 : equals;
    Wish wish{is_path ? Kind::path : Kind::condition, rest.substr(0, cut), cut == rest.npos ? "True" : rest.substr(cut + 1)};
    if (wish.subject.empty()) return std::unexpected(usage("--for=condition needs a type: condition=Healthy"));
    return wish;
  }

  Result<bool> holds(const Json& object) const {
    if (kind == Kind::gone) return false;
    if (kind == Kind::path) return TRY(TRY(text::JsonPath::parse(subject)).print(object)) == value;
    for (const Json& one : object["status"]["conditions"].items()) {
      // A condition of an earlier generation tells nothing of this one.
      const bool is_stale = one["observedGeneration"].as_int(0) != 0 && one["observedGeneration"].as_int(0) < object["metadata"]["generation"].as_int(0);
      if (same_word(one["type"].as_string(), subject)) return !is_stale && same_word(one["status"].as_string(), value);
    }
    return false;
  }
};

std::string default_wish(std::string_view kind) {
  if (kind == "App") return "condition=Healthy";
  if (kind == "PipelineRun" || kind == "TaskRun" || kind == "ImageBuild") return "condition=Succeeded";
  if (kind == "Deployment") return "condition=Available";
  return "condition=Ready";
}

Result<Exit> wait(const Invocation& invocation) {
  const std::string& target = invocation.arguments[0];
  const auto slash = target.find('/');
  if (slash == target.npos || slash + 1 == target.size()) return std::unexpected(usage("wait takes KIND/NAME, for instance app/hello"));
  const auto client = TRY(connect(invocation));
  const kube::Resource resource = TRY(resource_of(*client, std::string_view(target).substr(0, slash)));
  const kube::ObjectKey key{resource.namespaced ? invocation.get("namespace") : "", target.substr(slash + 1)};
  const std::string wanted = invocation.has("for") ? invocation.get("for") : default_wish(resource.kind);
  const Wish wish = TRY(Wish::parse(wanted));
  const auto limit = std::chrono::seconds(TRY(tekton::parse_duration(invocation.get("timeout"), 30)));
  const auto executor = make_system_executor();
  const Steady deadline = executor->clock().steady() + limit;
  while (true) {
    const auto object = client->get(resource, key);
    const bool is_absent = !object && object.error().code == ErrorCode::not_found;
    if (!object && (!is_absent || wish.kind != Wish::Kind::gone)) return std::unexpected(object.error());
    if (is_absent || TRY(wish.holds(*object))) {
      print(fmt::format("{} {}\n", target, wish.kind == Wish::Kind::gone ? "deleted" : "condition met"));
      return Exit::ok;
    }
    if (executor->clock().steady() >= deadline)
      return fail(ErrorCode::timeout, fmt::format("{} was not {} after {}", target, wish.kind == Wish::Kind::gone ? "gone" : "as --for=" + wanted + " asks", format_duration(limit)));
    executor->sleep(pause, {});
  }
}

}  // namespace

std::vector<Command> wait_commands() {
  return {{.path = "wait", .arguments = "KIND/NAME", .summary = "Wait until an object is as it should be; exit code 124 where it is not in time",
           .details = "Without --for: an app until it is healthy, a run until it has succeeded, a Deployment until it is available, all else until it is ready.",
           .flags = with_common({{"for", 0, "WISH", "condition=TYPE[=VALUE], jsonpath='{.path}'=VALUE or delete"}, {"timeout", 0, "DURATION", "for how long", "30s"}}), .run = wait}};
}

}  // namespace slipway::cli
