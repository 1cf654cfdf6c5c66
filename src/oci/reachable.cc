// SPDX-License-Identifier: Apache-2.0
#include "oci/reachable.h"

#include <fmt/format.h>

namespace slipway::oci {
namespace {

using text::Json;

constexpr std::size_t max_parts = 1024;

bool is_index(std::string_view type) { return type == media::index || type == media::docker_list; }
bool is_image(std::string_view type) { return type == media::manifest || type == media::docker_manifest; }

Result<Descriptor> part_of(const Json& value) {
  if (!value.is_object() || value["size"].as_int(-1) < 0) return fail(ErrorCode::invalid, "a descriptor without digest or size");
  return Descriptor{value["mediaType"].str(), TRY(store::Digest::parse(value["digest"].as_string())), static_cast<std::uint64_t>(value["size"].as_int())};
}

}  // namespace

Result<ManifestShape> ManifestShape::parse(std::string_view text) {
  const Json json = TRY(text::parse_json(text, {.refuse_duplicate_keys = true}));
  const bool index = json["manifests"].is_array(), image = json["config"].is_object();
  if (json["schemaVersion"].as_int() != 2 || index == image || (index && json.contains("layers")))
    return fail(ErrorCode::invalid, "neither an image manifest nor an index of schema version 2, or both in one");
  ManifestShape out{json["mediaType"].str(index ? media::index : media::manifest), json["mediaType"].is_string(), {}, {}, {}, json["annotations"]};
  if (index ? !is_index(out.media_type) : !is_image(out.media_type)) return fail(ErrorCode::invalid, "the mediaType does not fit what the manifest holds");
  if (image) out.parts.push_back(TRY(part_of(json["config"])));
  const Json& list = json[index ? "manifests" : "layers"];
  if (list.size() > max_parts) return fail(ErrorCode::too_large, fmt::format("a manifest that names more than {} blobs", max_parts));
  for (const Json& part : list.items())
    if (part["urls"].empty()) out.parts.push_back(TRY(part_of(part)));
  if (!json["subject"].is_null()) out.subject = TRY(part_of(json["subject"])).digest.value;
  out.artifact_type = json["artifactType"].str(json["config"]["mediaType"].as_string());
  return out;
}

Result<std::set<store::Digest>> reachable(const store::BlobStore& blobs, std::vector<store::Digest> manifests) {
  std::set<store::Digest> out;
  while (!manifests.empty()) {
    const store::Digest digest = std::move(manifests.back());
    manifests.pop_back();
    if (!out.insert(digest).second) continue;
    const auto bytes = blobs.get(digest, max_manifest);
    if (!bytes && bytes.error().code == ErrorCode::not_found) continue;
    const ManifestShape shape = TRY(at(ManifestShape::parse(TRY(bytes)), digest.value));
    for (const Descriptor& part : shape.parts) {
      if (is_index(part.media_type) || is_image(part.media_type)) manifests.push_back(part.digest);
      else out.insert(part.digest);
    }
  }
  return out;
}

}  // namespace slipway::oci
