// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/patches.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::api {
namespace {

std::string_view media_type(std::string_view content_type) { return trim(content_type.substr(0, content_type.find(';'))); }

std::unexpected<Failure> unsupported(std::string_view type) {
  return std::unexpected(Failure(415, "UnsupportedMediaType",
                                 fmt::format("the body of the request was in an unknown format - accepted media types "
                                             "include: application/json, application/merge-patch+json; got {}",
                                             printable(type))));
}

}  // namespace

Json merge_patch(const Json& target, const Json& patch) {
  if (!patch.is_object()) return patch;
  Json out = target.is_object() ? target : Json::object();
  for (const auto& member : patch.members()) {
    if (member.value.is_null()) out = out.without(member.key());
    else out = out.with(member.key(), merge_patch(out[member.key()], member.value));
  }
  return out;
}

Answer<Json> parse_body(std::string_view content_type, std::string_view body) {
  const std::string_view type = media_type(content_type);
  if (!type.empty() && type != "application/json" && !type.ends_with("+json")) return unsupported(type);
  const auto value = text::parse_json(body);
  if (!value) return bad_request(fmt::format("the object provided is unrecognized: {}", value.error().to_string()));
  return *value;
}

Answer<Json> patched(std::string_view content_type, const Json& current, std::string_view body) {
  if (media_type(content_type) != "application/merge-patch+json") return unsupported(media_type(content_type));
  const Json patch = TRY(parse_body(content_type, body));
  if (!patch.is_object()) return bad_request("a merge patch must be an object");
  return merge_patch(current, patch);
}

}  // namespace slipway::api
