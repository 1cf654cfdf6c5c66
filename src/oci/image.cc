// SPDX-License-Identifier: Apache-2.0
#include "oci/image.h"

#include <fmt/format.h>

namespace slipway::oci {
namespace {

using text::Json;

constexpr std::size_t max_layers = 512;

Result<Descriptor> descriptor_of(const Json& value) {
  if (!value.is_object() || value["size"].as_int(-1) < 0) return fail(ErrorCode::invalid, "a descriptor without digest or size");
  return Descriptor{value["mediaType"].str(), TRY(store::Digest::parse(value["digest"].as_string())), static_cast<std::uint64_t>(value["size"].as_int())};
}

Json json_of(const Descriptor& descriptor) {
  return Json::object({{"mediaType", descriptor.media_type}, {"digest", descriptor.digest.value}, {"size", descriptor.size}});
}

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.items()) out.push_back(item.str());
  return out;
}

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> out;
  for (const auto& member : object.members()) out.emplace_back(member.key());
  return out;
}

Json set_of(const std::vector<std::string>& names) {
  Json out = Json::object();
  for (const auto& name : names) out = out.with(name, Json::object());
  return out;
}

}  // namespace

Result<Manifest> Manifest::parse(std::string_view text) {
  if (text.size() > max_manifest) return fail(ErrorCode::too_large, fmt::format("a manifest of more than {} bytes", max_manifest));
  const Json json = TRY(text::parse_json(text));
  // What is both an index and a manifest is read differently by different programs (B6).
  if (!json["manifests"].is_null()) return fail(ErrorCode::invalid, "an index where a manifest was expected, or both in one");
  if (json["schemaVersion"].as_int() != 2 || json["layers"].size() > max_layers) return fail(ErrorCode::invalid, "not an image manifest of schema version 2");
  Manifest out{json["mediaType"].str(media::manifest), TRY(descriptor_of(json["config"])), {}};
  for (const Json& layer : json["layers"].items()) out.layers.push_back(TRY(descriptor_of(layer)));
  return out;
}

std::string Manifest::to_text() const {
  std::vector<Json> list;
  for (const Descriptor& layer : layers) list.push_back(json_of(layer));
  return text::to_json(Json::object({{"schemaVersion", 2}, {"mediaType", media_type}, {"config", json_of(config)}, {"layers", Json::array(std::move(list))}}));
}

Result<ImageConfiguration> ImageConfiguration::parse(std::string_view text) {
  const Json json = TRY(text::parse_json(text));
  if (!json.is_object()) return fail(ErrorCode::invalid, "not an image configuration");
  const Json& config = json["config"];
  ImageConfiguration out;
  ContainerDefaults& d = out.defaults;
  d.entrypoint = strings_of(config["Entrypoint"]);
  d.command = strings_of(config["Cmd"]);
  d.environment = strings_of(config["Env"]);
  d.user = config["User"].str();
  d.working_folder = config["WorkingDir"].str();
  d.stop_signal = config["StopSignal"].str();
  for (const auto& label : config["Labels"].members()) d.labels[std::string(label.key())] = label.value.str();
  d.exposed_ports = keys_of(config["ExposedPorts"]);
  d.volumes = keys_of(config["Volumes"]);
  d.shell = strings_of(config["Shell"]);
  d.health_check = config["Healthcheck"];
  out.diff_ids = strings_of(json["rootfs"]["diff_ids"]);
  out.created = json["created"].str();
  out.history = json["history"];
  return out;
}

std::string ImageConfiguration::to_text() const {
  Json config = Json::object();
  const auto list = [&](std::string_view name, const std::vector<std::string>& values) {
    if (!values.empty()) config = config.with(name, Json::strings(values));
  };
  const auto word = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) config = config.with(name, value);
  };
  word("User", defaults.user);
  if (!defaults.exposed_ports.empty()) config = config.with("ExposedPorts", set_of(defaults.exposed_ports));
  list("Env", defaults.environment);
  list("Entrypoint", defaults.entrypoint);
  list("Cmd", defaults.command);
  if (!defaults.volumes.empty()) config = config.with("Volumes", set_of(defaults.volumes));
  word("WorkingDir", defaults.working_folder);
  if (!defaults.labels.empty()) {
    Json labels = Json::object();
    for (const auto& [key, value] : defaults.labels) labels = labels.with(key, value);
    config = config.with("Labels", labels);
  }
  word("StopSignal", defaults.stop_signal);
  list("Shell", defaults.shell);
  if (!defaults.health_check.is_null()) config = config.with("Healthcheck", defaults.health_check);
  Json json = Json::object({{"architecture", "amd64"}, {"os", "linux"}, {"config", config},
                            {"rootfs", Json::object({{"type", "layers"}, {"diff_ids", Json::strings(diff_ids)}})}});
  if (!created.empty()) json = json.with("created", created);
  if (!history.empty()) json = json.with("history", history);
  return text::to_json(json);
}

Result<store::Digest> choose_platform(const store::BlobStore& blobs, const store::Digest& digest) {
  const Json json = TRY(text::parse_json(TRY(blobs.get(digest, max_manifest))));
  if (json["manifests"].is_null()) return digest;
  for (const Json& one : json["manifests"].items())
    if (one["platform"]["os"].as_string() == "linux" && one["platform"]["architecture"].as_string() == "amd64") return store::Digest::parse(one["digest"].as_string());
  return fail(ErrorCode::not_found, fmt::format("{} has no image for linux/amd64", digest.value));
}

Result<Manifest> read_manifest(const store::BlobStore& blobs, const store::Digest& digest) {
  return at(Manifest::parse(TRY(blobs.get(digest, max_manifest))), digest.value);
}

Result<ImageConfiguration> read_configuration(const store::BlobStore& blobs, const Manifest& manifest) {
  return at(ImageConfiguration::parse(TRY(blobs.get(manifest.config.digest, max_config))), manifest.config.digest.value);
}

Result<store::Digest> write_image(store::BlobStore& blobs, const ImageConfiguration& configuration, const std::vector<Descriptor>& layers) {
  const std::string text = configuration.to_text();
  const store::Digest config = TRY(blobs.put(text));
  const Manifest manifest{media::manifest, {media::config, config, text.size()}, layers};
  return blobs.put(manifest.to_text());
}

}  // namespace slipway::oci
