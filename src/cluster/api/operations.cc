// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/operations.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "cluster/api/defaults.h"
#include "cluster/api/field_check.h"
#include "cluster/api/patches.h"
#include "cluster/api/tables.h"
#include "cluster/api/validation.h"

namespace slipway::api {
namespace {

constexpr std::size_t kept_pins = 64;
constexpr int conflict_attempts = 20;

Answer<bool> wants_dry_run(const Request& request) {
  const std::string_view value = request.param("dryRun");
  if (!value.empty() && value != "All")
    return bad_request(fmt::format("invalid dryRun: {}: supported values: \"All\"", printable(value)));
  return value == "All";
}

bool keeps_generation(const ResourceInfo& resource) {
  const std::string& kind = resource.id.kind;
  return resource.custom || kind == "Deployment" || kind == "ReplicaSet" || kind == "Pod" || kind == "EndpointSlice" ||
         kind == "CustomResourceDefinition";
}

Json without_status_and_metadata(const Json& object) { return object.without("status").without("metadata"); }

std::unexpected<Failure> not_found(const ResourceInfo& resource, std::string_view name) {
  Failure out(404, "NotFound", fmt::format("{} \"{}\" not found", resource.qualified(), name));
  out.group = resource.id.group;
  out.kind = resource.id.plural;
  out.name = name;
  return std::unexpected(std::move(out));
}

std::unexpected<Failure> conflict(const ResourceInfo& resource, std::string_view name, std::string_view why) {
  Failure out(409, "Conflict", fmt::format("Operation cannot be fulfilled on {} \"{}\": {}", resource.qualified(), name, why));
  out.group = resource.id.group;
  out.kind = resource.id.plural;
  out.name = name;
  return std::unexpected(std::move(out));
}

}  // namespace

Operations::Operations(store::ObjectStore& store, ResourceTable& resources, const Clock& clock, const ApiConfig& config,
                       const auth::Authorizer& authorizer)
    : store_(store), resources_(resources), clock_(clock), config_(config), authorizer_(authorizer) {}

std::string Operations::now() const { return format_rfc3339(clock_.now()); }

Answer<ResourcePointer> Operations::resource_of(const Route& route) const {
  auto found = resources_.find(route.group, route.version, route.plural);
  if (found == nullptr) return std::unexpected(Failure(404, "NotFound", "the server could not find the requested resource"));
  return found;
}

Answer<Json> Operations::read(const ResourceInfo& resource, std::string_view ns, std::string_view name) const {
  const auto object = store_.pin().objects.get(resource.storage_key(resource.id.namespaced ? ns : "", name));
  if (object == nullptr) return not_found(resource, name);
  return from_stored(*object);
}

Answer<Reply> Operations::run(const Request& request) {
  const ResourcePointer resource = TRY(resource_of(request.route));
  const Route& route = request.route;
  const auto unserved = [] { return std::unexpected(Failure(404, "NotFound", "the server could not find the requested resource")); };
  const std::string& sub = route.subresource;
  const bool core = route.group.empty();
  if (!resource->stored) return route.verb == "create" && sub.empty() ? review(request, *resource) : unserved();
  if (sub == "scale" && resource->has_scale) return scale(request, *resource);
  if (sub == "binding" && core && route.plural == "pods" && route.verb == "create") return bind(request, *resource);
  if (sub == "token" && core && route.plural == "serviceaccounts" && route.verb == "create") return mint_token(request, *resource);
  const bool finalize = sub == "finalize" && core && route.plural == "namespaces" && route.verb == "update";
  if (!sub.empty() && !(sub == "status" && resource->has_status) && !finalize) return unserved();
  if (route.verb == "get") return get(request, *resource);
  if (route.verb == "list") return list(request, *resource);
  if (route.verb == "create" && sub.empty()) return create(request, *resource);
  if (route.verb == "update" && !route.name.empty()) return update(request, *resource);
  if (route.verb == "patch" && !route.name.empty()) return patch(request, *resource);
  if (route.verb == "delete" && sub.empty()) return remove(request, *resource);
  if (route.verb == "deletecollection") return remove_collection(request, *resource);
  return std::unexpected(Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"));
}

Answer<Reply> Operations::get(const Request& request, const ResourceInfo& resource) {
  const Route& route = request.route;
  const auto object = store_.pin().objects.get(resource.storage_key(resource.id.namespaced ? route.ns : "", route.name));
  if (object == nullptr) return not_found(resource, route.name);
  if (!accepts_table(request.accept)) return Reply{200, shown(resource, *object)};
  const Json metadata = Json::object({{"resourceVersion", std::to_string(object->revision)}});
  return Reply{200, to_json(make_table(resource, {as_shown(resource, *object)}, metadata, TRY(parse_include_object(request.param("includeObject"))), TableHead::with_columns, clock_.now()))};
}

Answer<Reply> Operations::list(const Request& request, const ResourceInfo& resource) {
  const Selectors selectors = TRY(Selectors::parse(request.param("labelSelector"), request.param("fieldSelector")));
  const auto limit = parse_int(request.param("limit")).value_or(0);
  if (limit < 0) return bad_request("limit must not be negative");
  store::Pinned pinned = store_.pin();
  std::string from = list_prefix(resource, request.route.ns);
  const std::string prefix = from;
  // A continue token is "revision:key", so that all pages show one state.
  if (const std::string_view token = request.param("continue"); !token.empty()) {
    const auto text = from_base64url(token);
    const std::size_t colon = text ? text->find(':') : std::string::npos;
    const auto revision = text ? parse_int(std::string_view(*text).substr(0, colon)) : std::nullopt;
    if (!revision || colon == std::string::npos || !std::string_view(*text).substr(colon + 1).starts_with(prefix))
      return bad_request("continue key is not valid");
    std::lock_guard lock(pins_mutex_);
    const auto found = pins_.find(static_cast<std::uint64_t>(*revision));
    if (found == pins_.end())
      return std::unexpected(Failure(410, "Expired", "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter."));
    pinned = found->second;
    from = text->substr(colon + 1);
  }
  const bool table = accepts_table(request.accept);
  const IncludeObject include = TRY(parse_include_object(request.param("includeObject")));
  std::vector<Json> rows;
  std::string items, next;
  std::int64_t count = 0;
  pinned.objects.scan(from, [&](const std::string& key, const store::ObjectPointer& object) {
    if (!key.starts_with(prefix)) return false;
    if (!selectors.empty() && !selectors.match(from_stored(*object))) return true;
    if (limit > 0 && count == limit) {
      next = key;
      return false;
    }
    if (count++ > 0 && !table) items += ',';
    if (table) {
      rows.push_back(as_shown(resource, *object));
      return true;
    }
    items += shown(resource, *object);
    return true;
  });
  Json metadata = Json::object({{"resourceVersion", std::to_string(pinned.revision)}});
  if (!next.empty()) {
    metadata = metadata.with("continue", to_base64url(fmt::format("{}:{}", pinned.revision, next)));
    std::lock_guard lock(pins_mutex_);
    pins_[pinned.revision] = pinned;
    if (pins_.size() > kept_pins) pins_.erase(pins_.begin());
  }
  if (table) return Reply{200, to_json(make_table(resource, rows, metadata, include, TableHead::with_columns, clock_.now()))};
  return Reply{200, fmt::format(R"({{"kind":"{}","apiVersion":"{}","metadata":{},"items":[{}]}})", resource.list_kind(),
                                resource.id.api_version(), to_json(metadata), items)};
}

Answer<Reply> Operations::create(const Request& request, const ResourceInfo& resource) {
  std::vector<std::string> duplicates;
  const Json object = TRY(parse_body(request.content_type, request.body, &duplicates));
  if (!request.route.name.empty()) return std::unexpected(Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"));
  auto warnings = TRY(check_fields(request, resource, object, {}, duplicates));
  return Reply{201, to_json(TRY(create_object(resource, object, request.route.ns, TRY(wants_dry_run(request))))), "application/json", std::move(warnings)};
}

Answer<Json> Operations::create_object(const ResourceInfo& resource, Json object, const std::string& ns, bool dry_run) {
  object = TRY(admit_new(resource, std::move(object), ns));
  TRY(validate(resource, object, {}));
  const bool service = resource.id.kind == "Service";
  if (service) object = TRY(addresses_.allocate(object, {}));
  if (dry_run) {
    if (service) addresses_.give_back(object, {});
    return object;
  }
  auto stored = store_change(resource, {}, object);
  if (!stored && service) addresses_.give_back(object, {});
  return stored;
}

Answer<Json> Operations::store_change(const ResourceInfo& resource, const Json& before, const Json& after) {
  store::Write write = to_write(resource, after);
  if (write.value.size() > object_limit)
    return std::unexpected(Failure(413, "RequestEntityTooLarge", fmt::format("the object has {} bytes, more than {}", write.value.size(), object_limit)));
  write.expected = 0;
  if (!before.is_null()) write.expected = static_cast<std::uint64_t>(parse_int(before["metadata"]["resourceVersion"].as_string()).value_or(0));
  const std::string name = after["metadata"]["name"].str();
  const auto stored = store_.write(std::move(write));
  if (stored) {
    const Json out = from_stored(**stored);
    after_change(resource, before, out);
    return out;
  }
  switch (stored.error().code) {
    case ErrorCode::already_exists: {
      Failure out(409, "AlreadyExists", fmt::format("{} \"{}\" already exists", resource.qualified(), name));
      out.group = resource.id.group, out.kind = resource.id.plural, out.name = name;
      return std::unexpected(std::move(out));
    }
    case ErrorCode::conflict:
      return conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again");
    case ErrorCode::not_found: return not_found(resource, name);
    default: return std::unexpected(Failure(stored.error()));
  }
}

Answer<Json> Operations::modify(const ResourceInfo& resource, const Route& route, std::string_view subresource, bool dry_run,
                                const Change& change) {
  for (int attempt = 1;; ++attempt) {
    const Json current = TRY(read(resource, route.ns, route.name));
    const Json wanted = TRY(change(current));
    const bool pinned = !wanted["metadata"]["resourceVersion"].as_string().empty() &&
                        wanted["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"];
    if (pinned) return conflict(resource, route.name, "the object has been modified; please apply your changes to the latest version and try again");
    Json next = TRY(merged(resource, current, wanted, subresource));
    if (next == current) return next;
    TRY(validate(resource, next, current));
    if (dry_run) return next;
    const bool service = resource.id.kind == "Service" && subresource.empty();
    if (service) next = TRY(addresses_.allocate(next, current));
    const Json& metadata = next["metadata"];
    const bool gone = metadata.contains("deletionTimestamp") && metadata["finalizers"].empty() &&
                      next["spec"]["finalizers"].empty() && metadata["deletionGracePeriodSeconds"].as_int() == 0;
    auto stored = gone ? erase(resource, next) : store_change(resource, current, next);
    if (stored) {
      if (service) addresses_.give_back(current, next);
      return stored;
    }
    if (service) addresses_.give_back(next, current);
    if (stored.error().reason != "Conflict" || attempt >= conflict_attempts) return stored;
  }
}

// What an update may say, over what only the server says.
Answer<Json> Operations::merged(const ResourceInfo& resource, const Json& current, Json wanted, std::string_view subresource) {
  const Json& old = current["metadata"];
  if (!wanted["metadata"]["uid"].as_string().empty() && wanted["metadata"]["uid"] != old["uid"])
    return conflict(resource, old["name"].as_string(), fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", wanted["metadata"]["uid"].as_string(), old["uid"].as_string()));
  if (subresource == "status") return wanted["status"].is_null() ? current.without("status") : current.with("status", wanted["status"]);
  if (subresource == "finalize") return current.with_path({"spec", "finalizers"}, wanted.at_path({"spec", "finalizers"}));
  Json metadata = wanted["metadata"].is_object() ? wanted["metadata"] : Json::object();
  for (const char* key : {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "generateName"})
    metadata = old.contains(key) ? metadata.with(key, old[key]) : metadata.without(key);
  if (!metadata.contains("managedFields") && old.contains("managedFields")) metadata = metadata.with("managedFields", old["managedFields"]);
  wanted = wanted.with("apiVersion", current["apiVersion"]).with("kind", current["kind"]).with("metadata", metadata);
  if (resource.has_status) wanted = current.contains("status") ? wanted.with("status", current["status"]) : wanted.without("status");
  if (resource.id.kind == "Service" && wanted["spec"]["clusterIP"].as_string().empty() && wanted["spec"].is_object())
    wanted = wanted.with_path({"spec", "clusterIP"}, current["spec"]["clusterIP"]);
  if (resource.id.kind == "Namespace") wanted = wanted.with("spec", current["spec"]);
  if (resource.custom && resource.schema.is_object()) {
    const Json whole = wanted;
    wanted = pruned(resource.schema, whole);
    for (const char* key : {"apiVersion", "kind", "metadata"}) wanted = wanted.with(key, whole[key]);
  }
  wanted = with_defaults(resource, std::move(wanted));
  if (keeps_generation(resource) && without_status_and_metadata(wanted) != without_status_and_metadata(current))
    wanted = wanted.with_path({"metadata", "generation"}, old["generation"].as_int() + 1);
  return wanted;
}

Answer<Reply> Operations::update(const Request& request, const ResourceInfo& resource) {
  std::vector<std::string> duplicates, warnings;
  const Json wanted = TRY(parse_body(request.content_type, request.body, &duplicates));
  const Route& route = request.route;
  if (wanted["metadata"]["name"].as_string() != route.name)
    return bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", printable(wanted["metadata"]["name"].as_string()), route.name));
  if (wanted["kind"].as_string() != resource.id.kind)
    return bad_request(fmt::format("{} in version \"{}\" cannot be handled as a {}", printable(wanted["kind"].as_string()), resource.id.version, resource.id.kind));
  return Reply{200, to_json(TRY(modify(resource, route, route.subresource, TRY(wants_dry_run(request)), [&](const Json& current) -> Answer<Json> {
    warnings = TRY(check_fields(request, resource, wanted, current, duplicates));
    return kube::track_update(current, wanted, writer_of(request, resource));
  }))), "application/json", std::move(warnings)};
}

Answer<Reply> Operations::patch(const Request& request, const ResourceInfo& resource) {
  if (is_apply(request.content_type)) return apply(request, resource);
  const Route& route = request.route;
  std::vector<std::string> warnings;
  return Reply{200, to_json(TRY(modify(resource, route, route.subresource, TRY(wants_dry_run(request)), [&](const Json& current) -> Answer<Json> {
    const Json next = TRY(patched(request.content_type, current, request.body));
    warnings = TRY(check_fields(request, resource, next, current, {}));
    return kube::track_update(current, next, writer_of(request, resource));
  }))), "application/json", std::move(warnings)};
}

// Warnings, or a refusal in the words for this way of writing.
Answer<std::vector<std::string>> Operations::check_fields(const Request& request, const ResourceInfo& resource, const Json& object, const Json& before, const std::vector<std::string>& duplicates) const {
  if (!request.checks_fields) return std::vector<std::string>();
  const FieldCheck check = TRY(parse_field_check(request.param("fieldValidation")));
  if (check == FieldCheck::ignore) return std::vector<std::string>();
  auto faults = field_faults(resource, object, before, duplicates);
  if (faults.empty() || check == FieldCheck::warn) return faults;
  const std::string& kind = resource.id.kind;
  if (request.method != "PATCH" && !resource.custom)
    return bad_request(fmt::format("{} in version \"{}\" cannot be handled as a {}: {}", kind, resource.id.version, kind, strict_message(faults)));
  return bad_request(strict_message(faults));
}

kube::Applier Operations::writer_of(const Request& request, const ResourceInfo& resource) const {
  const std::string_view manager = request.param("fieldManager");
  return {std::string(manager.empty() ? "unknown" : manager), resource.id.api_version(), request.route.subresource, now(),
          request.param("force") == "true" ? kube::Force::yes : kube::Force::no};
}

// Server-side apply; of what is not there it makes the object.
Answer<Reply> Operations::apply(const Request& request, const ResourceInfo& resource) {
  if (request.param("fieldManager").empty())
    return std::unexpected(Failure(400, "BadRequest", "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"));
  const Route& route = request.route;
  std::vector<std::string> duplicates;
  Json wanted = TRY(parse_body(request.content_type, request.body, &duplicates));
  if (wanted["apiVersion"].as_string() != resource.id.api_version() || wanted["kind"].as_string() != resource.id.kind)
    return bad_request(fmt::format("the applied object is a {}/{}, the request is for a {}/{}", printable(wanted["apiVersion"].as_string()),
                                   printable(wanted["kind"].as_string()), resource.id.api_version(), resource.id.kind));
  if (!wanted["metadata"]["managedFields"].empty()) return bad_request("metadata.managedFields must be nil");
  wanted = wanted.with_path({"metadata", "name"}, route.name);
  auto warnings = TRY(check_fields(request, resource, wanted, {}, duplicates));
  const kube::Applier applier = writer_of(request, resource);
  const auto outcome = [&](const Json& live) -> Answer<Json> {
    auto applied = kube::apply(live, wanted, applier);
    if (applied) return *applied;
    return std::unexpected(Failure(409, "Conflict", applied.error().message));
  };
  const bool dry_run = TRY(wants_dry_run(request));
  const auto present = read(resource, route.ns, route.name);
  if (!present && present.error().code == 404 && route.subresource.empty()) {
    auto created = create_object(resource, TRY(outcome({})), route.ns, dry_run);
    if (created) return Reply{201, to_json(*created), "application/json", std::move(warnings)};
    if (created.error().reason != "AlreadyExists") return std::unexpected(created.error());
  }
  return Reply{200, to_json(TRY(modify(resource, route, route.subresource, dry_run, outcome))), "application/json", std::move(warnings)};
}

}  // namespace slipway::api
