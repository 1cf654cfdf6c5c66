// SPDX-License-Identifier: Apache-2.0
#include "main/image_commands.h"

#include <fmt/format.h>

#include "base/executor.h"
#include "base/strings.h"
#include "cli/output.h"
#include "main/data_folder.h"
#include "oci/client.h"

namespace slipway::app {
namespace {

using cli::Exit;
using cli::Flag;
using cli::Invocation;
using text::Json;

const Flag data_flag{"data", 0, "FOLDER", "where everything of this installation lies", default_data_folder, false};

// A secret is read from a file: an argument list is open to every process of the machine.
Result<oci::DockerConfig> read_credentials_file(const std::string& path, const oci::Reference& reference) {
  const std::string text = TRY(read_file(path, oci::max_docker_config));
  if (trim(text).starts_with('{')) return at(oci::DockerConfig::parse(text, oci::Helpers::run), path);
  const auto line = trim(text);
  if (line.find(':') == line.npos || line.find('\n') != line.npos) return fail(ErrorCode::invalid, path + " is neither one line user:password nor a docker configuration");
  const Json entry = Json::object({{"auth", to_base64(line)}});
  return oci::DockerConfig::parse(text::to_json(Json::object({{"auths", Json::object({{reference.registry, entry}})}})), oci::Helpers::refuse);
}

// What the command line works with.
class Registries final {
 public:
  static Result<std::unique_ptr<Registries>> open(const Invocation& invocation, const oci::Reference& reference) {
    auto out = std::make_unique<Registries>();
    const DataFolder data{invocation.get("data")};
    out->blobs = TRY(store::BlobStore::open_folder(data.blobs()));
    out->images = std::make_unique<oci::ImageStore>(data.names(), *out->blobs);
    oci::RemoteConfig config;
    if (invocation.has("tls-ca-file")) config.tls.ca_pem = TRY(read_file(invocation.get("tls-ca-file")));
    config.plain_http = invocation.all("plain-http");
    out->keys.push_back(invocation.has("creds-file") ? TRY(read_credentials_file(invocation.get("creds-file"), reference)) : TRY(oci::DockerConfig::of_user()));
    out->client = std::make_unique<oci::Client>(*out->executor, std::move(config));
    return out;
  }
  std::unique_ptr<Executor> executor = make_system_executor();
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<oci::ImageStore> images;
  oci::Keys keys;
  std::unique_ptr<oci::Client> client;
};

Result<Exit> pull(const Invocation& invocation) {
  const auto reference = TRY(oci::Reference::parse(invocation.arguments[0]));
  TRY(prepare({invocation.get("data")}));
  const auto registries = TRY(Registries::open(invocation, reference));
  cli::progress(fmt::format("pulling {}\n", reference.to_string()));
  auto pulled = registries->client->pull(*registries->images, reference, registries->keys, {});
  if (!pulled && (pulled.error().code == ErrorCode::unavailable || pulled.error().code == ErrorCode::timeout))
    return fail(pulled.error().code, fmt::format("no registry answers: {}; `slipway image import PATH {}` brings an image in from a file", pulled.error().to_string(), reference.to_string()));
  const auto done = TRY(std::move(pulled));
  cli::print(fmt::format("{}@{}\n", reference.name(), done.named.value));
  return Exit::ok;
}

Result<Exit> push(const Invocation& invocation) {
  const std::string& image = invocation.arguments[0];
  const std::string& to = invocation.arguments[invocation.arguments.size() > 1 ? 1 : 0];
  cli::print(fmt::format("{}@{}\n", TRY(oci::Reference::parse(to)).name(), TRY(push_from_store(invocation, image, to))));
  return Exit::ok;
}

std::uint64_t size_of(const store::BlobStore& blobs, const store::Digest& digest) {
  const auto chosen = oci::choose_platform(blobs, digest);
  const auto manifest = chosen ? oci::read_manifest(blobs, *chosen) : std::unexpected(chosen.error());
  if (!manifest) return 0;
  std::uint64_t size = manifest->config.size;
  for (const auto& layer : manifest->layers) size += layer.size;
  return size;
}

Result<Exit> list(const Invocation& invocation) {
  const DataFolder data{invocation.get("data")};
  const auto blobs = TRY(store::BlobStore::open_folder(data.blobs()));
  const auto images = TRY(oci::ImageStore(data.names(), *blobs).list());
  if (invocation.get("output") == "json") {
    std::vector<Json> out;
    for (const auto& image : images) out.push_back(Json::object({{"name", image.reference.to_string()}, {"digest", image.manifest.value}, {"size", size_of(*blobs, image.manifest)}}));
    cli::print(text::to_json(Json::array(std::move(out))) + "\n");
    return Exit::ok;
  }
  for (const auto& image : images) cli::print(fmt::format("{}\t{}\t{}\n", image.reference.to_string(), image.manifest.value, size_of(*blobs, image.manifest)));
  return Exit::ok;
}

}  // namespace

std::vector<Flag> registry_flags(std::vector<Flag> flags) {
  for (const Flag& flag : {data_flag, Flag{"creds-file", 0, "FILE", "user:password in a file, or a docker configuration; ~/.docker/config.json without it"},
                           Flag{"tls-ca-file", 0, "FILE", "certificates to trust instead of the system's"},
                           Flag{"plain-http", 0, "HOST", "speak to this registry without TLS", "", true}})
    flags.push_back(flag);
  return flags;
}

Result<std::string> push_from_store(const Invocation& invocation, const std::string& image, const std::string& destination) {
  const auto from = TRY(oci::Reference::parse(image)), to = TRY(oci::Reference::parse(destination));
  const auto registries = TRY(Registries::open(invocation, to));
  const auto digest = TRY(registries->images->resolve(from));
  cli::progress(fmt::format("pushing {}\n", to.to_string()));
  return TRY(registries->client->push(*registries->images, digest, to, registries->keys, &from, {})).value;
}

std::vector<cli::Command> image_commands() {
  return {
      {.path = "image pull", .arguments = "IMAGE", .summary = "Fetch an image from a registry into the local store",
       .details = "Credentials come from ~/.docker/config.json (also its helpers) or --creds-file, never from an argument.", .flags = registry_flags({}), .run = pull},
      {.path = "image push", .arguments = "IMAGE [DESTINATION]", .summary = "Bring an image of the local store to a registry",
       .details = "Layers are compressed on the way, so the digest that is printed is the one under which the image lies there.", .flags = registry_flags({}), .run = push},
      {.path = "image list", .arguments = "", .summary = "List the names of the local image store with digest and bytes", .flags = {data_flag, cli::output_flag()}, .run = list},
  };
}

}  // namespace slipway::app
