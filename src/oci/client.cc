// SPDX-License-Identifier: Apache-2.0
#include "oci/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/random.h"
#include "oci/compress.h"
#include "oci/reachable.h"
#include "oci/transfer.h"

namespace slipway::oci {
namespace {

constexpr std::chrono::hours lease_lifetime{24};
constexpr const char* layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
constexpr const char* docker_layer = "application/vnd.docker.image.rootfs.diff.tar";

bool is_auth_problem(ErrorCode code) { return code == ErrorCode::unauthenticated || code == ErrorCode::forbidden || code == ErrorCode::not_found; }

// Holds what is on its way from being collected.
class Lease final {
 public:
  explicit Lease(store::BlobStore& blobs) : blobs_(blobs), name_("transfer-" + SystemRandom().uuid()) {}
  ~Lease() { (void)blobs_.release(name_); }
  Lease(const Lease&) = delete;
  Result<> hold(const store::Digest& digest) {
    const std::lock_guard lock(mutex_);
    return blobs_.lease(name_, digest, lease_lifetime);
  }

 private:
  store::BlobStore& blobs_;
  const std::string name_;
  std::mutex mutex_;
};

Result<Pulled> pull_image(Executor& executor, Remote& remote, ImageStore& images, const Reference& reference, std::stop_token stop) {
  store::BlobStore& blobs = images.blobs();
  Lease lease(blobs);
  const auto keep = [&](const FetchedManifest& fetched) -> Result<> {
    TRY(at(ManifestShape::parse(fetched.bytes), fetched.digest.value));
    TRY(lease.hold(fetched.digest));
    TRY(blobs.put(fetched.bytes));
    return {};
  };
  const FetchedManifest named = TRY(fetch_manifest(remote, reference.digest.empty() ? reference.tag : reference.digest, stop));
  TRY(keep(named));
  const store::Digest chosen = TRY(choose_platform(blobs, named.digest));
  if (chosen != named.digest) TRY(keep(TRY(fetch_manifest(remote, chosen.value, stop))));
  const Manifest manifest = TRY(read_manifest(blobs, chosen));
  if (manifest.config.size > max_config) return fail(ErrorCode::too_large, fmt::format("a configuration of more than {} bytes", max_config));
  std::uint64_t bytes = 0;
  for (const Descriptor& layer : manifest.layers)
    if (layer.size > max_image || (bytes += layer.size) > max_image) return fail(ErrorCode::too_large, fmt::format("the image has more than {} bytes", max_image));
  std::vector<Descriptor> wanted{manifest.config};
  for (const Descriptor& layer : manifest.layers)
    if (std::ranges::find(wanted, layer.digest, &Descriptor::digest) == wanted.end()) wanted.push_back(layer);
  TRY(for_each_at_once(executor, wanted.size(), layers_at_once, [&](std::size_t i, std::stop_token token) -> Result<> {
    TRY(lease.hold(wanted[i].digest));
    return blobs.has(wanted[i].digest) ? Result<>() : fetch_blob(remote, blobs, wanted[i], token);
  }, stop));
  TRY(images.tag(local_name(reference), named.digest));
  return Pulled{named.digest, chosen, bytes};
}

// Layers that are plain tars become gzip streams; the configuration stays, which names them uncompressed.
Result<store::Digest> compress_layers(Executor& executor, store::BlobStore& blobs, const store::Digest& image, Lease& lease, std::stop_token stop) {
  Manifest manifest = TRY(read_manifest(blobs, image));
  std::vector<std::size_t> plain;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i)
    if (manifest.layers[i].media_type == media::layer_tar || manifest.layers[i].media_type == docker_layer) plain.push_back(i);
  if (plain.empty()) return image;
  TRY(for_each_at_once(executor, plain.size(), 2, [&](std::size_t i, std::stop_token token) -> Result<> {
    Descriptor& layer = manifest.layers[plain[i]];
    const auto reader = TRY(blobs.open(layer.digest));
    const auto writer = TRY(blobs.create());
    std::uint64_t offset = 0;
    TRY(gzip([&](std::size_t at_most) -> Result<std::string> {
      if (token.stop_requested()) return fail(ErrorCode::unavailable, "stopped");
      std::string piece = TRY(reader->read_at(offset, at_most));
      offset += piece.size();
      return piece;
    }, [&](std::string_view piece) { return writer->write(piece); }));
    const std::uint64_t size = writer->size();
    layer = {layer.media_type == docker_layer ? std::string(docker_layer) + ".gzip" : layer_gzip, TRY(writer->commit()), size};
    return lease.hold(layer.digest);
  }, stop));
  const store::Digest digest = TRY(blobs.put(manifest.to_text()));
  TRY(lease.hold(digest));
  return digest;
}

Result<> push_image(Executor& executor, Remote& remote, store::BlobStore& blobs, const store::Digest& image, const Reference& to, const std::string& from, std::stop_token stop) {
  const Manifest manifest = TRY(read_manifest(blobs, image));
  std::vector<Descriptor> parts{manifest.config};
  for (const Descriptor& layer : manifest.layers)
    if (std::ranges::find(parts, layer.digest, &Descriptor::digest) == parts.end()) parts.push_back(layer);
  for (const Descriptor& part : parts)
    if (!blobs.has(part.digest)) return fail(ErrorCode::not_found, fmt::format("blob {} of the image is not in the store", part.digest.value));
  TRY(for_each_at_once(executor, parts.size(), layers_at_once, [&](std::size_t i, std::stop_token token) { return send_blob(remote, blobs, parts[i], from, token); }, stop));
  return send_manifest(remote, to.tag.empty() ? image.value : to.tag, TRY(blobs.get(image, max_manifest)), manifest.media_type, stop);
}

}  // namespace

Reference local_name(const Reference& reference) {
  Reference out = reference;
  if (out.tag.empty()) out.tag = "sha256-" + reference.digest.substr(7);
  out.digest.clear();
  return out;
}

Result<> for_each_at_once(Executor& executor, std::size_t count, std::size_t at_once, const std::function<Result<>(std::size_t, std::stop_token)>& body, std::stop_token stop) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  Result<> outcome;
  std::stop_source ended;
  const std::stop_callback forward(stop, [&ended] { ended.request_stop(); });
  const auto work = [&](std::stop_token) {
    for (std::size_t i = next++; i < count && !ended.stop_requested(); i = next++) {
      auto done = body(i, ended.get_token());
      if (done) continue;
      const std::lock_guard lock(mutex);
      if (outcome) outcome = std::move(done);  // the first one is the cause, the others its echo
      ended.request_stop();
    }
  };
  {
    std::vector<std::unique_ptr<Task>> tasks;
    for (std::size_t i = 0; i < std::min(count, at_once); ++i) tasks.push_back(executor.spawn("transfer", work));
    for (const auto& task : tasks) task->join();
  }
  if (outcome && stop.stop_requested()) return fail(ErrorCode::unavailable, "stopped");
  return outcome;
}

namespace {
RemoteConfig with_attempts(RemoteConfig config, int attempts) {
  config.attempts = std::min(config.attempts, attempts);
  return config;
}
}  // namespace

Client::Client(Executor& executor, RemoteConfig config) : executor_(executor), config_(std::move(config)), hasty_(with_attempts(config_, 2)), connections_(config_.tls) {}

template <class T>
Result<T> Client::with_credentials(const Reference& reference, const Keys& keys, const std::function<Result<T>(const Credential&)>& body) {
  std::vector<Credential> candidates;
  for (const DockerConfig& config : keys)
    for (Credential& one : TRY(config.find(reference)))
      if (std::ranges::find(candidates, one) == candidates.end()) candidates.push_back(std::move(one));
  if (candidates.empty()) candidates.emplace_back();
  for (std::size_t i = 0;; ++i) {
    auto done = body(candidates[i]);
    if (done || !is_auth_problem(done.error().code) || i + 1 == candidates.size()) return done;
  }
}

Result<Pulled> Client::pull(ImageStore& images, const Reference& reference, const Keys& keys, std::stop_token stop) {
  return at(with_credentials<Pulled>(reference, keys, [&](const Credential& credential) {
    Remote remote(executor_, connections_, config_, reference, credential, keys, "pull");
    return pull_image(executor_, remote, images, reference, stop);
  }), reference.to_string());
}

Result<store::Digest> Client::resolve(const Reference& reference, const Keys& keys, std::stop_token stop) {
  if (!reference.digest.empty()) return store::Digest::parse(reference.digest);
  return at(with_credentials<store::Digest>(reference, keys, [&](const Credential& credential) {
    Remote remote(executor_, connections_, hasty_, reference, credential, keys, "pull");
    return head_manifest(remote, reference.tag, stop);
  }), reference.to_string());
}

Result<store::Digest> Client::push(ImageStore& images, const store::Digest& image, const Reference& to, const Keys& keys, const Reference* from, std::stop_token stop) {
  if (!to.digest.empty()) return fail(ErrorCode::invalid, fmt::format("{}: an image is pushed to a tag, not to a digest", to.to_string()));
  store::BlobStore& blobs = images.blobs();
  Lease lease(blobs);
  const store::Digest chosen = TRY(choose_platform(blobs, image));
  const store::Digest sent = TRY(at(compress_layers(executor_, blobs, chosen, lease, stop), to.to_string()));
  const std::string mount = from && from->registry == to.registry && from->repository != to.repository ? from->repository : "";
  TRY(at(with_credentials<bool>(to, keys, [&](const Credential& credential) -> Result<bool> {
    Remote remote(executor_, connections_, config_, to, credential, keys, "pull,push", mount);
    TRY(push_image(executor_, remote, blobs, sent, to, mount, stop));
    return true;
  }), to.to_string()));
  TRY(images.tag(to, sent));
  return sent;
}

}  // namespace slipway::oci
