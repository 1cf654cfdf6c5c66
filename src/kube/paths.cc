// SPDX-License-Identifier: Apache-2.0
#include "kube/paths.h"

#include <fmt/format.h>

namespace slipway::kube {
namespace {

class Query {
 public:
  Query& add(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    ((text_ += text_.empty() ? '?' : '&') += name) += '=';
    text_ += net::percent_encode(value);
    return *this;
  }
  std::string text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

std::string path_of(const Resource& resource, const ObjectKey& key, std::string_view subresource) {
  std::string path = resource.group.empty() ? "/api/" + resource.version : fmt::format("/apis/{}/{}", resource.group, resource.version);
  if (resource.namespaced && !key.ns.empty()) path += "/namespaces/" + net::percent_encode(key.ns);
  path += "/" + resource.plural;
  if (!key.name.empty()) path += "/" + net::percent_encode(key.name);
  if (!subresource.empty()) (path += "/") += subresource;
  return path;
}

std::string query_of(const ListOptions& options) {
  return Query()
      .add("labelSelector", options.label_selector)
      .add("fieldSelector", options.field_selector)
      .add("limit", options.limit ? std::to_string(options.limit) : "")
      .add("continue", options.continue_token)
      .add("resourceVersion", options.resource_version)
      .text();
}

std::string query_of(const WatchOptions& options) {
  return Query()
      .add("watch", "true")
      .add("labelSelector", options.label_selector)
      .add("fieldSelector", options.field_selector)
      .add("resourceVersion", options.resource_version)
      .add("allowWatchBookmarks", options.bookmarks ? "true" : "")
      .text();
}

std::string query_of(const PatchOptions& options) {
  return Query()
      .add("fieldManager", options.field_manager)
      .add("force", options.force ? "true" : "")
      .add("dryRun", options.dry_run ? "All" : "")
      .text();
}

std::string_view content_type_of(PatchType type) {
  switch (type) {
    case PatchType::json: return "application/json-patch+json";
    case PatchType::merge: return "application/merge-patch+json";
    case PatchType::strategic: return "application/strategic-merge-patch+json";
    case PatchType::apply: return "application/apply-patch+yaml";
  }
  return {};
}

Json body_of(const DeleteOptions& options) {
  Json body = Json::object({{"apiVersion", "v1"}, {"kind", "DeleteOptions"}});
  if (options.propagation) {
    constexpr std::string_view names[] = {"Background", "Foreground", "Orphan"};
    body = body.with("propagationPolicy", names[static_cast<std::size_t>(*options.propagation)]);
  }
  if (!options.uid.empty()) body = body.with_path({"preconditions", "uid"}, options.uid);
  if (!options.resource_version.empty()) body = body.with_path({"preconditions", "resourceVersion"}, options.resource_version);
  if (options.grace_seconds) body = body.with("gracePeriodSeconds", *options.grace_seconds);
  return body;
}

Result<WatchEvent> parse_watch_event(std::string_view line) {
  const Json event = TRY(text::parse_json(line));
  const std::string_view type = event["type"].as_string();
  const Json& object = event["object"];
  if (type == "ADDED") return WatchEvent{WatchKind::added, object};
  if (type == "MODIFIED") return WatchEvent{WatchKind::modified, object};
  if (type == "DELETED") return WatchEvent{WatchKind::deleted, object};
  if (type == "BOOKMARK") return WatchEvent{WatchKind::bookmark, object};
  if (type == "ERROR") return std::unexpected(error_from_status(static_cast<int>(object["code"].as_int(500)), text::to_json(object)));
  return fail(ErrorCode::internal, fmt::format("a watch event of unknown type {}", type));
}

}  // namespace slipway::kube
