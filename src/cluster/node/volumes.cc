// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/volumes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/files.h"
#include "base/random.h"
#include "base/strings.h"
#include "cluster/node/pod_status.h"
#include "sandbox/mounts.h"

namespace slipway::cluster {
namespace {

constexpr const char* object_kinds[] = {"configMap", "secret", "downwardAPI", "projected"};

bool is_object_volume(const Json& volume) {
  for (const char* kind : object_kinds)
    if (volume.contains(kind)) return true;
  return false;
}

std::optional<unsigned> fs_group(const Json& pod) {
  const Json& group = pod["spec"]["securityContext"]["fsGroup"];
  return group.is_int() && group.as_int() >= 0 && group.as_int() <= sandbox::max_id ? std::optional(static_cast<unsigned>(group.as_int())) : std::nullopt;
}

Result<> own_by(const std::string& path, std::optional<unsigned> group, unsigned mode) {
  if (group && ::lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) return fail_errno("cannot give to group", path);
  if (::chmod(path.c_str(), mode) != 0) return fail_errno("cannot set mode of", path);
  return {};
}

Result<> make_empty(const Json& source, const std::string& folder, std::optional<unsigned> group) {
  const unsigned mode = group ? 02777 : 0777;
  if (source["medium"].as_string() == "Memory") {
    const std::int64_t bytes = source["sizeLimit"].is_null() ? 0 : TRY(parse_milli(source["sizeLimit"])) / 1000;
    TRY(sandbox::mount_tmpfs(folder, bytes, mode));
  } else if (!source["medium"].as_string().empty()) {
    return fail(ErrorCode::invalid, "emptyDir medium is not supported: " + source["medium"].str());
  }
  const bool fresh = !exists(folder);
  TRY(make_folders(folder));
  return fresh || source["medium"].as_string() == "Memory" ? own_by(folder, group, mode) : Result<>();
}

Result<std::string> host_folder(const Json& source, HostAccess access) {
  if (access != HostAccess::allowed) return fail(ErrorCode::forbidden, "hostPath volumes are not allowed on this node");
  const std::string path = source["path"].str();
  const std::string_view type = source["type"].as_string();
  if (type == "DirectoryOrCreate") TRY(make_folders(path));
  if (!exists(path)) return fail(ErrorCode::invalid, "hostPath is not there: " + path);
  return path;
}

Result<> mount_image(const Json& source, const std::string& folder, ImageProvider& images) {
  const auto image = TRY(images.ensure({.reference = source["reference"].str()}, {}));
  if (image.layers.size() == 1) {
    TRY(make_folders(folder));
    const auto mounted = TRY(sandbox::mounts_below(folder));
    return mounted.empty() ? sandbox::bind_read_only(image.layers[0], folder) : Result<>();
  }
  return sandbox::mount_overlay({image.layers, "", "", folder});
}

Result<std::string> ensure_volume(const VolumeContext& context, const Json& volume) {
  const std::string name = volume["name"].str();
  if (name.empty() || name.find('/') != std::string::npos) return fail(ErrorCode::invalid, "bad volume name");
  const std::string folder = context.folder + "/" + name;
  const auto group = fs_group(context.facts.pod);
  if (volume.contains("hostPath")) return host_folder(volume["hostPath"], context.host_access);
  if (is_object_volume(volume)) {
    TRY(make_folders(folder));
    TRY(write_volume(folder, TRY(make_volume_files(context.facts, volume, context.references)), group));
  } else if (volume.contains("image")) {
    TRY(mount_image(volume["image"], folder, context.images));
  } else if (volume.contains("emptyDir") || volume.members().size() == 1) {  // a name alone is an emptyDir
    TRY(make_empty(volume["emptyDir"], folder, group));
  } else {
    std::string kind;
    for (const auto& member : volume.members())
      if (member.key() != "name") kind = member.key();
    return fail(ErrorCode::invalid, "volume kind is not supported: " + kind);
  }
  return folder;
}

// Resolved by the kernel beneath the volume, made where it is missing.
Result<std::string> sub_folder(const std::string& folder, const std::string& path) {
  for (const std::string_view part : split(path, '/'))
    if (part == "..") return fail(ErrorCode::invalid, "subPath is refused: " + printable(path));
  const Root root = TRY(Root::open(folder));
  auto found = root.open_file(path, O_PATH | O_CLOEXEC);
  if (!found && found.error().code == ErrorCode::not_found) {
    std::string at;
    for (const std::string_view part : split(path, '/')) {
      const UniqueFd parent = TRY(root.open_file(at.empty() ? "." : at, O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (::mkdirat(parent.get(), std::string(part).c_str(), 0777) != 0 && errno != EEXIST) return fail_errno("cannot make", path);
      at += (at.empty() ? "" : "/") + std::string(part);
    }
    found = root.open_file(path, O_PATH | O_CLOEXEC);
  }
  if (!found) return std::unexpected(found.error());
  char real[4096];
  const ssize_t size = ::readlink(fmt::format("/proc/self/fd/{}", found->get()).c_str(), real, sizeof real);
  if (size <= 0) return fail_errno("cannot resolve", path);
  return std::string(real, static_cast<std::size_t>(size));
}

}  // namespace

Result<std::map<std::string, std::string>> ensure_volumes(const VolumeContext& context) {
  std::map<std::string, std::string> folders;
  for (const Json& volume : context.facts.pod["spec"]["volumes"].items())
    folders[volume["name"].str()] = TRY(at(ensure_volume(context, volume), "volume " + volume["name"].str()));
  return folders;
}

bool has_refreshed_volumes(const Json& pod) {
  for (const Json& volume : pod["spec"]["volumes"].items())
    if (is_object_volume(volume)) return true;
  return false;
}

Result<> write_volume(const std::string& folder, const VolumeFiles& files, std::optional<unsigned> group) {
  const std::string stamp_file = folder + "/..data/..content";
  std::string stamp;
  for (const auto& [path, file] : files) stamp += fmt::format("{} {:o} {}\n", path, file.mode, text::to_json(Json(file.content)));
  if (exists(stamp_file) && read_file(stamp_file, 4 * max_volume_bytes).value_or("") == stamp) return {};
  const std::string time_folder = "..v" + SystemRandom().name_suffix(10);
  const std::string fresh = folder + "/" + time_folder;
  TRY(make_folders(fresh));
  for (const auto& [path, file] : files) {
    const std::string target = fresh + "/" + path;
    TRY(make_folders(parent_path(target)));
    const UniqueFd out(::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!out) return fail_errno("cannot make", target);
    TRY(write_all(out.get(), file.content));
    TRY(own_by(target, group, group ? file.mode | 0440 : file.mode));
  }
  const UniqueFd mark(::open((fresh + "/..content").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!mark) return fail_errno("cannot make", fresh);
  TRY(write_all(mark.get(), stamp));
  char old[256];
  const ssize_t size = ::readlink((folder + "/..data").c_str(), old, sizeof old);
  if (::symlink(time_folder.c_str(), (folder + "/..data_next").c_str()) != 0 && errno != EEXIST) return fail_errno("cannot link in", folder);
  if (::rename((folder + "/..data_next").c_str(), (folder + "/..data").c_str()) != 0) return fail_errno("cannot publish", folder);
  std::set<std::string> names;
  for (const auto& [path, file] : files) names.insert(path.substr(0, path.find('/')));
  for (const std::string& name : names)
    if (::symlink(("..data/" + name).c_str(), (folder + "/" + name).c_str()) != 0 && errno != EEXIST) return fail_errno("cannot link", name);
  for (const std::string& name : TRY(list_folder(folder)))
    if (!name.starts_with("..") && !names.contains(name)) ::unlink((folder + "/" + name).c_str());
  if (size > 0) return remove_tree(folder + "/" + std::string(old, static_cast<std::size_t>(size)));
  return {};
}

Result<std::vector<sandbox::MountSpec>> volume_mounts(const Json& container, const std::map<std::string, std::string>& folders,
                                                      const std::map<std::string, std::string>& environment) {
  std::vector<sandbox::MountSpec> mounts;
  for (const Json& mount : container["volumeMounts"].items()) {
    const auto folder = folders.find(mount["name"].str());
    if (folder == folders.end()) return fail(ErrorCode::invalid, "volumeMount names no volume: " + mount["name"].str());
    std::string source = folder->second;
    std::string sub = mount["subPath"].str();
    if (mount.contains("subPathExpr")) sub = expand(mount["subPathExpr"].as_string(), environment);
    if (!sub.empty()) source = TRY(sub_folder(source, sub));
    const std::string_view propagation = mount["mountPropagation"].as_string("None");
    if (propagation != "None") return fail(ErrorCode::invalid, "mountPropagation is not supported: " + std::string(propagation));
    mounts.push_back({source, mount["mountPath"].str(), "bind", {"rbind", "rprivate", mount["readOnly"].as_bool() ? "ro" : "rw"}});
  }
  return mounts;
}

}  // namespace slipway::cluster
