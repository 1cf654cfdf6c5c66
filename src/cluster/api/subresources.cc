// SPDX-License-Identifier: Apache-2.0
// scale, binding, token, and the reviews, which are answered and not kept.
#include <fmt/format.h>

#include "base/strings.h"
#include "cluster/api/operations.h"
#include "cluster/api/patches.h"

namespace slipway::api {
namespace {

Json scale_of(const Json& object) {
  Json metadata = Json::object();
  for (const char* key : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) metadata = metadata.with(key, object["metadata"][key]);
  std::vector<std::string> selector;
  for (const auto& one : object["spec"]["selector"]["matchLabels"].members()) selector.push_back(fmt::format("{}={}", one.key(), one.value.as_string()));
  return Json::object({{"kind", "Scale"},
                       {"apiVersion", "autoscaling/v1"},
                       {"metadata", metadata},
                       {"spec", Json::object({{"replicas", object["spec"]["replicas"].as_int()}})},
                       {"status", Json::object({{"replicas", object["status"]["replicas"].as_int()}, {"selector", join(selector, ",")}})}});
}

Json user_info(const auth::Identity& identity) {
  return Json::object({{"username", identity.user}, {"uid", identity.uid}, {"groups", Json::strings(identity.groups)}});
}

auth::Attributes attributes_of(const Json& spec) {
  const Json& resource = spec["resourceAttributes"];
  if (!resource.is_object()) return {spec["nonResourceAttributes"]["verb"].str(), {}, {}, {}, {}, {}, spec["nonResourceAttributes"]["path"].str()};
  return {resource["verb"].str(), resource["group"].str(), resource["resource"].str(), resource["subresource"].str(), resource["namespace"].str(), resource["name"].str(), {}};
}

}  // namespace

Answer<Reply> Operations::scale(const Request& request, const ResourceInfo& resource) {
  const Route& route = request.route;
  if (route.verb == "get") return Reply{200, to_json(scale_of(TRY(read(resource, route.ns, route.name))))};
  if (route.verb != "update" && route.verb != "patch") return std::unexpected(Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"));
  const Json after = TRY(modify(resource, route, "", request.param("dryRun") == "All", [&](const Json& current) -> Answer<Json> {
    const Json wanted = route.verb == "patch" ? TRY(patched(request.content_type, scale_of(current), request.body)) : TRY(parse_body(request.content_type, request.body));
    if (!wanted["spec"]["replicas"].is_int()) return bad_request("spec.replicas must be an integer");
    Json next = current.with_path({"spec", "replicas"}, wanted["spec"]["replicas"]);
    if (const auto& version = wanted["metadata"]["resourceVersion"]; !version.as_string().empty()) next = next.with_path({"metadata", "resourceVersion"}, version);
    return next;
  }));
  return Reply{200, to_json(scale_of(after))};
}

Answer<Reply> Operations::bind(const Request& request, const ResourceInfo& resource) {
  const Json body = TRY(parse_body(request.content_type, request.body));
  const std::string node = body["target"]["name"].str();
  if (node.empty()) return bad_request("target.name is required");
  const Route& route = request.route;
  for (int attempt = 1;; ++attempt) {
    const Json pod = TRY(read(resource, route.ns, route.name));
    if (const auto now = pod["spec"]["nodeName"].as_string(); !now.empty())
      return std::unexpected(Failure(409, "Conflict", fmt::format("Operation cannot be fulfilled on pods/binding \"{}\": pod {} is already assigned to node \"{}\"", route.name, route.name, now)));
    const Json conditions = pod["status"]["conditions"].is_array() ? pod["status"]["conditions"] : Json::array();
    const Json scheduled = Json::object({{"type", "PodScheduled"}, {"status", "True"}, {"lastProbeTime", nullptr}, {"lastTransitionTime", now()}});
    const auto stored = store_change(resource, pod, pod.with_path({"spec", "nodeName"}, node).with_path({"status", "conditions"}, conditions.with_item(scheduled)));
    if (!stored && stored.error().reason == "Conflict" && attempt < 20) continue;
    TRY(stored);
    return Reply{201, R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201})"};
  }
}

Answer<Reply> Operations::mint_token(const Request& request, const ResourceInfo& resource) {
  if (config_.account_tokens == nullptr) return std::unexpected(Failure(503, "ServiceUnavailable", "no key for service account tokens is set"));
  const Json body = TRY(parse_body(request.content_type, request.body));
  const Json account = TRY(read(resource, request.route.ns, request.route.name));
  const std::int64_t seconds = body["spec"]["expirationSeconds"].as_int(3600);
  if (seconds < 600 || seconds > 365 * 86400) return bad_request("spec.expirationSeconds must be between 600 and 31536000");
  auth::AccountToken token{request.route.ns, request.route.name, account["metadata"]["uid"].str(), {}, {}, {}, clock_.now() + std::chrono::seconds(seconds)};
  for (const Json& audience : body["spec"]["audiences"].items()) token.audiences.push_back(audience.str());
  if (const Json& bound = body["spec"]["boundObjectRef"]; bound["kind"].as_string() == "Pod") {
    const Json pod = TRY(read(*resources_.find("", "v1", "pods"), request.route.ns, bound["name"].as_string()));
    if (!bound["uid"].as_string().empty() && bound["uid"] != pod["metadata"]["uid"]) return bad_request("the bound object has another uid");
    token.pod = bound["name"].str();
    token.pod_uid = pod["metadata"]["uid"].str();
  }
  const auto text = config_.account_tokens->mint(token, clock_.now());
  if (!text) return std::unexpected(Failure(text.error()));
  const Json status = Json::object({{"token", *text}, {"expirationTimestamp", format_rfc3339(token.expires)}});
  return Reply{201, to_json(Json::object({{"kind", "TokenRequest"}, {"apiVersion", "authentication.k8s.io/v1"}, {"metadata", Json::object({{"name", request.route.name}, {"namespace", request.route.ns}})}, {"spec", body["spec"]}, {"status", status}}))};
}

Answer<Reply> Operations::review(const Request& request, const ResourceInfo& resource) {
  const Json body = TRY(parse_body(request.content_type, request.body));
  const std::string& kind = resource.id.kind;
  Json status;
  if (kind == "SelfSubjectReview") status = Json::object({{"userInfo", user_info(request.identity)}});
  if (kind == "SelfSubjectAccessReview" || kind == "SubjectAccessReview") {
    auth::Identity who = request.identity;
    if (kind == "SubjectAccessReview") {
      who = {body["spec"]["user"].str(), {}, {}};
      for (const Json& group : body["spec"]["groups"].items()) who.groups.push_back(group.str());
    }
    const auth::Decision decision = authorizer_.decide(who, attributes_of(body["spec"]));
    status = Json::object({{"allowed", decision.allowed}, {"reason", decision.reason}});
  }
  if (kind == "TokenReview") {
    const std::string token = body["spec"]["token"].str();
    const std::string audience = body["spec"]["audiences"][std::size_t{0}].str(auth::service_account_issuer);
    status = Json::object({{"authenticated", false}, {"error", "the token is not valid"}});
    if (config_.tokens != nullptr)
      if (const auto who = config_.tokens->authenticate(token)) status = Json::object({{"authenticated", true}, {"user", user_info(*who)}});
    if (config_.account_tokens != nullptr)
      if (const auto account = config_.account_tokens->verify(token, clock_.now(), audience)) {
        auth::Identity who = auth::service_account(account->ns, account->account);
        who.uid = account->account_uid;
        status = Json::object({{"authenticated", true}, {"user", user_info(who)}, {"audiences", Json::array({audience})}});
      }
  }
  return Reply{201, to_json(body.with("status", status))};
}

}  // namespace slipway::api
