// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/strings.h"

namespace slipway::cluster {

using text::Json;

std::string build_log_path(const std::string& data, const std::string& ns, const std::string& name) { return fmt::format("{}/builds/{}_{}.log", data, ns, name); }
std::string build_work_path(const std::string& data, const std::string& uid) { return data + "/builds/work" + (uid.empty() ? "" : "/" + uid); }
std::string build_cache_path(const std::string& data) { return data + "/build-cache"; }

Result<std::unique_ptr<BuildLog>> BuildLog::open(const std::string& path, Begin begin) {
  TRY(make_folders(parent_path(path), 0700));
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (begin == Begin::anew ? O_TRUNC : 0), 0600));
  if (!file) return fail_errno("cannot open", path);
  std::unique_ptr<BuildLog> log(new BuildLog(std::move(file)));
  struct stat info{};
  if (::fstat(log->file_.get(), &info) == 0) log->size_ = static_cast<std::uint64_t>(info.st_size);
  return log;
}

void BuildLog::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (size_ >= max_build_log) return;
  const std::string whole = std::string(text) + "\n";
  size_ += whole.size();
  (void)write_all(file_.get(), size_ < max_build_log ? whole : "the log is cut here: it has reached its limit\n");
}

std::string BuildCache::file_of(const std::string& key) const { return fmt::format("{}/steps/{}/{}", folder_, key.substr(0, 2), key); }

std::optional<std::string> BuildCache::find_text(const std::string& key) const {
  auto text = read_file(file_of(key), 4096);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

Result<> BuildCache::keep_text(const std::string& key, const std::string& text) {
  const std::string file = file_of(key);
  TRY(make_folders(parent_path(file), 0700));
  return write_file_atomically(file, text);
}

std::optional<StepOutcome> BuildCache::find(const std::string& key) const {
  const auto text = find_text(key);
  const auto json = text ? text::parse_json(*text) : Result<Json>(Json());
  if (!json || !json->is_object()) return std::nullopt;
  StepOutcome out{std::nullopt, (*json)["created"].str()};
  const Json& layer = (*json)["layer"];
  if (layer.is_null()) return out;
  const auto digest = store::Digest::parse(layer["digest"].as_string());
  if (!digest || !blobs_.has(*digest)) return std::nullopt;
  out.layer = oci::Descriptor{oci::media::layer_tar, *digest, static_cast<std::uint64_t>(layer["size"].as_int())};
  return out;
}

Result<> BuildCache::keep(const std::string& key, const StepOutcome& outcome) {
  Json json = Json::object({{"created", outcome.created}});
  if (outcome.layer) json = json.with("layer", Json::object({{"digest", outcome.layer->digest.value}, {"size", outcome.layer->size}}));
  return keep_text(key, text::to_json(json));
}

std::string BuildCache::mount_folder(const std::string& id) const { return folder_ + "/mounts/" + sha256_hex(id); }

}  // namespace slipway::cluster
