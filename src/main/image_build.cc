// SPDX-License-Identifier: Apache-2.0
#include "main/image_build.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/executor.h"
#include "base/random.h"
#include "base/strings.h"
#include "ci/dockerfile/ignore.h"
#include "cli/output.h"
#include "cluster/node/build_files.h"
#include "kube/client.h"
#include "main/context_memory.h"
#include "main/data_folder.h"
#include "main/image_commands.h"
#include "oci/image_store.h"
#include "store/unpack.h"

namespace slipway::app {
namespace {

using cli::Exit;
using cli::Invocation;
using text::Json;

constexpr std::chrono::milliseconds look_again{100}, look_soon{10};
constexpr int soon_times = 50;
constexpr std::size_t pack_buffer = 1 << 20;
constexpr std::chrono::hours context_life{2};

Result<std::string> real_path(const std::string& path) {
  char* found = ::realpath(path.c_str(), nullptr);
  if (!found) return fail_errno("cannot find", path);
  std::string out(found);
  ::free(found);
  return out;
}

// The folder without what .dockerignore leaves out; the Dockerfile and its rules always go along.
Result<store::Digest> upload(store::BlobStore& blobs, const DataFolder& data, const std::string& folder, const std::string& dockerfile) {
  std::string text;
  for (const std::string& file : {folder + "/" + dockerfile + ".dockerignore", folder + "/.dockerignore"})
    if (exists(file)) {
      text = TRY(read_file(file, dockerfile::max_ignore_file));
      break;
    }
  const auto rules = TRY(dockerfile::IgnoreRules::parse(text));
  const auto goes_along = [&](const std::string& plain) { return !rules.ignores(plain) || plain == dockerfile || plain == dockerfile + ".dockerignore" || plain == ".dockerignore"; };
  const ContextMemory memory(data.contexts(), folder);
  const auto state = TRY(ContextMemory::look(folder, goes_along));
  if (const auto known = memory.recall(state)) {
    TRY(blobs.lease("image build " + known->value, *known, context_life));
    if (blobs.has(*known)) return *known;
  }
  const auto blob = TRY(blobs.create());
  std::string buffer;
  store::PackOptions options;
  options.chosen = [&](const std::string& path, const struct stat&) { return goes_along(path.ends_with('/') ? path.substr(0, path.size() - 1) : path); };
  TRY(store::pack(folder, [&](std::string_view bytes) -> Result<> {
    buffer += bytes;
    if (buffer.size() < pack_buffer) return {};
    TRY(blob->write(buffer));
    buffer.clear();
    return {};
  }, options));
  TRY(blob->write(buffer));
  const auto digest = TRY(blob->commit());
  TRY(blobs.lease("image build " + digest.value, digest, context_life));
  memory.keep(state, digest);
  return digest;
}

Json pairs(const std::vector<std::string>& words) {
  std::vector<Json> out;
  for (const std::string& word : words) {
    const auto equal = word.find('=');
    const std::string name = word.substr(0, equal);
    // A name alone takes its value from the environment, and means nothing where that has none.
    const char* inherited = equal == word.npos ? ::getenv(name.c_str()) : nullptr;
    if (equal == word.npos && !inherited) continue;
    out.push_back(Json::object({{"name", name}, {"value", inherited ? std::string(inherited) : word.substr(equal + 1)}}));
  }
  return Json::array(std::move(out));
}

Result<Json> spec_of(const Invocation& invocation, const store::Digest& context, const std::string& dockerfile, const std::string& image) {
  Json labels = Json::object();
  for (const std::string& label : invocation.all("label")) labels = labels.with(label.substr(0, label.find('=')), label.find('=') == label.npos ? "" : label.substr(label.find('=') + 1));
  return Json::object({{"context", Json::object({{"blob", context.value}})}, {"dockerfile", dockerfile}, {"target", invocation.get("target")},
                       {"buildArgs", pairs(invocation.all("build-arg"))}, {"labels", labels}, {"image", image}, {"push", false}});
}

// Shows what the log has gained until the build has ended.
Result<Json> follow(kube::Client& client, const kube::ObjectKey& key, const std::string& log) {
  const auto executor = make_system_executor();
  UniqueFd file;
  const auto show = [&] {
    if (!file) file = UniqueFd(::open(log.c_str(), O_RDONLY | O_CLOEXEC));
    char buffer[65536];
    for (ssize_t got = 0; file && (got = ::read(file.get(), buffer, sizeof buffer)) > 0;)
      for (const auto line : split_lines({buffer, static_cast<std::size_t>(got)})) cli::progress(printable(line) + "\n");
  };
  for (int times = 0;; ++times) {
    Json build = TRY(client.get(kube::resources::image_builds, key));
    show();
    const auto phase = build["status"]["phase"].as_string();
    if (phase == "Succeeded" || phase == "Failed") return build;
    executor->sleep(times < soon_times ? look_soon : look_again, {});
  }
}

Result<Exit> build(const Invocation& invocation) {
  const DataFolder data{invocation.get("data")};
  const std::string folder = TRY(real_path(invocation.arguments[0]));
  const std::string file = TRY(real_path(invocation.has("file") ? invocation.get("file") : folder + "/Dockerfile"));
  if (!file.starts_with(folder + "/")) return fail(ErrorCode::invalid, fmt::format("{} lies outside of {}: a Dockerfile is sent with its context", file, folder));
  const std::string dockerfile = file.substr(folder.size() + 1);
  const std::string image = invocation.has("tag") ? invocation.get("tag") : fmt::format("127.0.0.1:5000/{}:latest", to_lower(base_name(folder)));
  const auto reference = TRY(oci::Reference::parse(image));
  const std::string kubeconfig = invocation.get("kubeconfig").empty() ? data.kubeconfig() : invocation.get("kubeconfig");
  const auto client = TRY(kube::make_client(TRY(kube::load_kubeconfig(kubeconfig, invocation.get("context")))));
  const auto blobs = TRY(store::BlobStore::open_folder(data.blobs()));
  const auto context = TRY(at(upload(*blobs, data, folder, dockerfile), folder));
  const kube::ObjectKey key{invocation.get("namespace"), "build-" + SystemRandom().name_suffix(8)};
  TRY(client->create(kube::resources::image_builds,
                     Json::object({{"apiVersion", kube::resources::image_builds.api_version()}, {"kind", "ImageBuild"},
                                   {"metadata", Json::object({{"name", key.name}, {"namespace", key.ns}})}, {"spec", TRY(spec_of(invocation, context, dockerfile, reference.to_string()))}})));
  const Json done = TRY(follow(*client, key, cluster::build_log_path(data.node(), key.ns, key.name)));
  if (done["status"]["phase"].as_string() != "Succeeded") return fail(ErrorCode::invalid, done["status"]["message"].str());
  std::string digest = done["status"]["digest"].str();
  // Its caller's credentials push it: they stay with this command.
  if (invocation.has("push")) digest = TRY(push_from_store(invocation, reference.to_string(), reference.to_string()));
  cli::print(fmt::format("{}@{}\n", reference.to_string(), digest));
  return Exit::ok;
}

}  // namespace

cli::Command image_build_command() {
  return {.path = "image build",
          .arguments = "DIR",
          .summary = "Build an image from a folder with a Dockerfile and store it",
          .details = "The output of the steps goes to stderr, the name and digest of the image to stdout.",
          .flags = cli::with_common(registry_flags({{"tag", 't', "NAME", "of the image; 127.0.0.1:5000/DIR:latest without it"},
                                     {"file", 'f', "FILE", "the Dockerfile; DIR/Dockerfile without it"},
                                     {"target", 0, "STAGE", "stop at this stage"},
                                     {"build-arg", 0, "NAME=VALUE", "value of an ARG", "", true},
                                     {"label", 0, "NAME=VALUE", "label of the image", "", true},
                                     {"push", 0, "", "bring it to the registry of its name, with the credentials of ~/.docker/config.json or --creds-file"}})),
          .run = build};
}

}  // namespace slipway::app
