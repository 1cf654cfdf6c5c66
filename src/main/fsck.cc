// SPDX-License-Identifier: Apache-2.0
#include "main/fsck.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include "base/executor.h"
#include "base/process.h"
#include "base/strings.h"
#include "oci/image_store.h"
#include "source/repositories.h"
#include "store/objects.h"

namespace slipway::app {
namespace {

constexpr std::size_t max_told = 20;

bool is_running(const DataFolder& data) {
  const UniqueFd fd(::open(data.supervisor_pid().c_str(), O_RDWR | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

Result<> check_blobs(const store::BlobStore& blobs, std::vector<Finding>& out) {
  std::uint64_t checked = 0, bad = 0;
  TRY(blobs.for_each([&](const store::Digest& digest, std::uint64_t) {
    ++checked;
    const auto verified = blobs.verify(digest);
    if (verified) return;
    if (++bad <= max_told) out.push_back({"blob " + digest.value, verified.error().message, true});
  }));
  out.push_back({"blobs", fmt::format("{} checked, {} damaged", checked, bad), bad > 0});
  return {};
}

Result<> check_image(const store::BlobStore& blobs, const oci::ImageStore::Named& image, std::vector<Finding>& out) {
  const auto complain = [&](const std::string& what) { out.push_back({"image " + image.reference.to_string(), what, true}); };
  const auto chosen = oci::choose_platform(blobs, image.manifest);
  if (!chosen) return complain(chosen.error().to_string()), Result<>{};
  const auto manifest = oci::read_manifest(blobs, *chosen);
  if (!manifest) return complain(manifest.error().to_string()), Result<>{};
  if (!blobs.has(manifest->config.digest)) complain("its configuration is missing: " + manifest->config.digest.value);
  for (const oci::Descriptor& layer : manifest->layers)
    if (!blobs.has(layer.digest)) complain("a layer is missing: " + layer.digest.value);
  return {};
}

Result<> check_images(const DataFolder& data, store::BlobStore& blobs, std::vector<Finding>& out) {
  const auto images = TRY(oci::ImageStore(data.names(), blobs).list());
  for (const auto& image : images) TRY(check_image(blobs, image, out));
  out.push_back({"images", fmt::format("{} names checked", images.size()), false});
  return {};
}

Result<> check_repositories(const DataFolder& data, std::vector<Finding>& out) {
  source::PushJournal journal(data.pushes());
  const SystemClock clock;
  const source::Repositories repositories(data.git(), journal, clock);
  const auto all = repositories.list();
  for (const auto& name : all) {
    Command git = repositories.git(name, {"fsck", "--no-dangling", "--no-progress", "--connectivity-only"});
    git.timeout = std::chrono::minutes(30);
    if (has_own_serve_user()) git.user = serve_user;
    const auto done = TRY(run(git));
    if (!done.ok()) out.push_back({"repository " + name.to_string(), std::string(trim(done.errors)), true});
  }
  out.push_back({"repositories", fmt::format("{} checked", all.size()), false});
  return {};
}

void check_api(const DataFolder& data, std::vector<Finding>& out) {
  if (exists(data.plane_kubeconfig())) return out.push_back({"API objects", "on another plane, not in this folder", false});
  if (is_running(data)) return out.push_back({"API objects", "left out: the system runs; `slipway down` first to check them", false});
  const auto files = store::make_system_files();
  const auto executor = make_system_executor();
  const auto opened = store::ObjectStore::open(*files, *executor, {.folder = data.api()});
  if (!opened) return out.push_back({"API objects", opened.error().to_string(), true});
  const auto pin = (*opened)->pin();
  out.push_back({"API objects", fmt::format("log and snapshot are whole, revision {}", pin.revision), false});
}

}  // namespace

Result<std::vector<Finding>> check_data(const DataFolder& data) {
  if (!is_folder(data.serve())) return fail(ErrorCode::not_found, data.path + " holds no installation; name it with --data");
  std::vector<Finding> out;
  const auto blobs = TRY(store::BlobStore::open_folder(data.blobs()));
  check_api(data, out);
  TRY(check_blobs(*blobs, out));
  TRY(check_images(data, *blobs, out));
  TRY(check_repositories(data, out));
  return out;
}

}  // namespace slipway::app
