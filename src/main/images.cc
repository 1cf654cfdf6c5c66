// SPDX-License-Identifier: Apache-2.0
#include "main/images.h"

#include <fmt/format.h>

#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "oci/rootfs.h"

namespace slipway::app {
namespace {

using cluster::ImageRequest;
using cluster::ImageRootfs;
using cluster::PullPolicy;

// One pull of a name at a time: who comes second waits and finds it there.
class OneAtATime final {
 public:
  explicit OneAtATime(Executor& executor) : executor_(executor), monitor_(executor.make_monitor()) {}

  template <class Body>
  auto run(const std::string& name, std::stop_token stop, Body body) -> decltype(body(true)) {
    bool waited = false;
    {
      Guard guard(*monitor_);
      waited = busy_.contains(name);
      if (!guard.wait_until([&] { return !busy_.contains(name); }, stop, {}, executor_.clock())) return fail(ErrorCode::unavailable, "stopped");
      busy_.insert(name);
    }
    auto result = body(waited);
    const Guard guard(*monitor_);
    busy_.erase(name);
    monitor_->notify_all();
    return result;
  }

 private:
  Executor& executor_;
  std::unique_ptr<Monitor> monitor_;
  std::set<std::string> busy_;
};

class Images final : public cluster::ImageProvider {
 public:
  Images(const DataFolder& data, std::unique_ptr<store::BlobStore> blobs, Executor& executor, oci::Client& client, std::string registry)
      : blobs_(std::move(blobs)), images_(data.names(), *blobs_), rootfs_(data.node() + "/layers", images_), executor_(executor), client_(client), registry_(std::move(registry)), pulls_(executor) {}

  Result<ImageRootfs> ensure(const ImageRequest& request, std::stop_token stop) override {
    const auto name = TRY(oci::Reference::parse(request.reference));
    const bool own = is_own_registry(name.registry, registry_) || name.registry == "slipway.dev";
    if (own || request.policy == PullPolicy::never || (request.policy == PullPolicy::if_not_present && is_here(name))) {
      auto found = rootfs_.ensure(name);
      if (!found && found.error().code == ErrorCode::not_found && !own) return std::unexpected(with_advice(found.error(), request.reference));
      return image_of(TRY(std::move(found)));
    }
    return pull(request, name, stop);
  }

 private:
  // Its manifests and all that they name; an image that an import left incomplete is fetched.
  bool is_here(const oci::Reference& name) const {
    const auto digest = images_.resolve(name);
    const auto chosen = digest ? oci::choose_platform(*blobs_, *digest) : digest;
    const auto manifest = chosen ? oci::read_manifest(*blobs_, *chosen) : std::unexpected(chosen.error());
    return manifest && blobs_->has(manifest->config.digest);
  }

  Result<ImageRootfs> pull(const ImageRequest& request, const oci::Reference& name, std::stop_token stop) {
    const Steady asked = executor_.clock().steady();
    return pulls_.run(name.to_string(), stop, [&](bool waited) -> Result<ImageRootfs> {
      if (waited && is_here(name)) return image_of(TRY(rootfs_.ensure(name)));
      const oci::Keys keys = keys_of(request.docker_configs ? request.docker_configs() : std::vector<std::string>());
      if (request.policy == PullPolicy::always && is_here(name)) {
        const auto same = unchanged(name, keys, stop);
        if (!same) return std::unexpected(with_advice(same.error(), request.reference));
        if (*same) return image_of(TRY(rootfs_.ensure(name)));
      }
      if (request.on_pull) request.on_pull();
      const Steady begun = executor_.clock().steady();
      const auto pulled = client_.pull(images_, name, keys, stop);
      if (!pulled) return std::unexpected(with_advice(pulled.error(), request.reference));
      ImageRootfs out = image_of(TRY(rootfs_.ensure(pulled->named)));
      const Steady now = executor_.clock().steady();
      const auto span = [&](Steady from) { return std::chrono::duration_cast<std::chrono::milliseconds>(now - from); };
      out.pulled = true;
      out.bytes = pulled->bytes;
      out.took = span(begun);
      out.with_waiting = span(asked);
      return out;
    });
  }

  // Whether the registry still has under the name what is here. Where no registry answers, what is here serves: an
  // installation without a way out lives on imported images.
  Result<bool> unchanged(const oci::Reference& name, const oci::Keys& keys, std::stop_token stop) {
    const auto current = client_.resolve(name, keys, stop);
    if (current) return *current == TRY(images_.resolve(name));
    const ErrorCode code = current.error().code;
    if (code != ErrorCode::unavailable && code != ErrorCode::timeout) return std::unexpected(current.error());
    log::warn("No registry answers; the local image serves", {{"image", name.to_string()}, {"reason", current.error().to_string()}});
    return true;
  }

  static Error with_advice(const Error& error, const std::string& reference) {
    const bool silent = error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout;
    const std::string advice = fmt::format("`slipway image import PATH {}` brings it in from a file", reference);
    return {error.code, fmt::format("failed to pull and unpack image \"{}\": {}{}; {}", reference, silent ? "no registry answers: " : "", error.to_string(), advice), {}};
  }

  static ImageRootfs image_of(const oci::Rootfs& rootfs) {
    const auto& defaults = rootfs.defaults;
    return {rootfs.layers, {defaults.entrypoint, defaults.command, defaults.environment, defaults.user, defaults.working_folder, defaults.stop_signal}, rootfs.manifest.value};
  }

  const std::unique_ptr<store::BlobStore> blobs_;
  oci::ImageStore images_;
  oci::RootfsStore rootfs_;
  Executor& executor_;
  oci::Client& client_;
  const std::string registry_;
  OneAtATime pulls_;
};

}  // namespace

bool is_own_registry(std::string_view image_registry, std::string_view own) {
  const auto plain = [](std::string_view name) { return name.starts_with("localhost:") ? "127.0.0.1" + std::string(name.substr(9)) : std::string(name); };
  return plain(image_registry) == plain(own);
}

oci::Keys keys_of(const std::vector<std::string>& docker_configs) {
  oci::Keys out;
  for (const std::string& text : docker_configs) {
    auto config = oci::DockerConfig::parse(text, oci::Helpers::refuse);
    if (config) out.push_back(std::move(*config));
    else log::warn("A docker configuration cannot be read", {{"reason", config.error().to_string()}});
  }
  return out;
}

Result<std::unique_ptr<cluster::ImageProvider>> make_images(const DataFolder& data, Executor& executor, oci::Client& client, const std::string& registry) {
  return std::make_unique<Images>(data, TRY(store::BlobStore::open_folder(data.blobs())), executor, client, registry);
}

}  // namespace slipway::app
