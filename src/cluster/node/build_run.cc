// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/build_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/process.h"
#include "base/strings.h"
#include "cluster/node/build_tree.h"
#include "sandbox/mounts.h"
#include "sandbox/oci_spec.h"
#include "sandbox/user.h"
#include "store/unpack.h"

namespace slipway::cluster {
namespace {

constexpr std::chrono::milliseconds look_around{200};
constexpr const char* script_folder = "/dev/pipes";

// Hands on whole lines; a very long one in pieces.
class Lines final {
 public:
  Lines(BuildLog& log, const std::string& label) : log_(log), label_(label) {}
  void add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') rest_ += c;
      if (c == '\n' || rest_.size() >= max_build_line) end();
    }
  }
  void finish() {
    if (!rest_.empty()) end();
  }

 private:
  void end() {
    if (rest_.ends_with('\r')) rest_.pop_back();
    log_.line(label_ + " " + rest_);
    rest_.clear();
  }
  BuildLog& log_;
  const std::string& label_;
  std::string rest_;
};

// Mount points that the image lacks stand in a layer of their own between image and changes, so that they never
// become part of what the command changed.
class Stubs final {
 public:
  Stubs(const Tree& root, std::string folder) : root_(root), folder_(std::move(folder)) {}

  enum class What { folder, file };
  Result<> need(const std::string& target, What what) {
    const std::string path = resolve_new(root_, dockerfile::clean_path(target).substr(1));
    if (path.empty() || root_.look(path)) return {};
    TRY(make_parents(parent_in_tree(path)));
    any_ = true;
    const std::string file = folder_ + "/" + path;
    if (exists(file)) return {};
    if (what == What::folder) return make_folders(file);
    const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    return fd ? Result<>{} : fail_errno("cannot make", file);
  }
  bool any() const { return any_; }

 private:
  Result<> make_parents(const std::string& path) {
    if (path.empty()) return make_folders(folder_);
    TRY(make_parents(parent_in_tree(path)));
    const std::string file = folder_ + "/" + path;
    if (is_folder(file)) return {};
    const TreeEntry entry = root_.look(path).value_or(TreeEntry{});
    TRY(make_folders(file));
    const timespec time{entry.seconds, 0};
    const timespec times[2] = {time, time};
    if (::chown(file.c_str(), entry.user, entry.group) != 0 || ::chmod(file.c_str(), entry.mode) != 0 || ::utimensat(AT_FDCWD, file.c_str(), times, 0) != 0)
      return fail_errno("cannot set the mode of", file);
    return {};
  }
  const Tree& root_;
  const std::string folder_;
  bool any_ = false;
};

class Container final {
 public:
  Container(BuildPlace& place, const dockerfile::Run& run, const std::vector<ReadyMount>& mounts, const std::string& label)
      : place_(place), run_(run), mounts_(mounts), label_(label), bundle_(place.fresh("run")), id_(place.container_id()) {}
  ~Container() {
    (void)sandbox::unmount_below(bundle_);
    (void)remove_tree(bundle_);
  }

  Result<std::optional<oci::Descriptor>> run(const std::vector<std::string>& layers, std::stop_token stop) {
    TRY(make_folders(bundle_, 0700));
    TRY(prepare(layers));
    TRY(write_config());
    TRY(execute(stop));
    TRY(sandbox::unmount(bundle_ + "/root"));
    return changes();
  }

 private:
  // An overlay needs a layer below, also over nothing.
  Result<> mount_root(std::vector<std::string> layers, const std::string& name) {
    if (layers.empty()) {
      TRY(make_folders(bundle_ + "/empty"));
      layers.push_back(bundle_ + "/empty");
    }
    return sandbox::mount_overlay({std::move(layers), bundle_ + "/" + name + "upper", bundle_ + "/" + name + "work", bundle_ + "/" + name + "root"});
  }

  Result<> prepare(const std::vector<std::string>& layers) {
    TRY(mount_root(layers, "look-"));
    {
      const auto root = TRY(FolderTree::open(bundle_ + "/look-root"));
      TRY(make_stubs(*root));
    }
    TRY(sandbox::unmount(bundle_ + "/look-root"));
    std::vector<std::string> all = layers;
    if (has_stubs_) all.insert(all.begin(), bundle_ + "/stubs");
    return mount_root(std::move(all), "");
  }

  Result<> make_stubs(const Tree& root) {
    Stubs stubs(root, bundle_ + "/stubs");
    for (const char* path : {"/proc", "/sys", "/dev"}) TRY(stubs.need(path, Stubs::What::folder));
    for (const char* path : {"/etc/hosts", "/etc/resolv.conf"}) TRY(stubs.need(path, Stubs::What::file));
    for (const ReadyMount& mount : mounts_) TRY(stubs.need(mount.wanted.target, mount.is_file ? Stubs::What::file : Stubs::What::folder));
    has_stubs_ = stubs.any();
    return {};
  }

  Result<> add_mounts(sandbox::ContainerConfig& config) {
    const std::string files = TRY(place_.network_files());
    config.mounts.push_back({files + "/hosts", "/etc/hosts", "bind", {"rbind", "rprivate", "ro"}});
    config.mounts.push_back({files + "/resolv.conf", "/etc/resolv.conf", "bind", {"rbind", "rprivate", "ro"}});
    config.mounts.push_back({"shm", "/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}});
    for (const ReadyMount& mount : mounts_) {
      if (mount.source.empty()) {
        std::vector<std::string> options{"nosuid", "nodev"};
        if (mount.wanted.size > 0) options.push_back(fmt::format("size={}", mount.wanted.size));
        config.mounts.push_back({"tmpfs", mount.wanted.target, "tmpfs", options});
      } else {
        config.mounts.push_back({mount.source, mount.wanted.target, "bind", {"rbind", "rprivate", mount.wanted.access == dockerfile::Mount::Access::read_only ? "ro" : "rw"}});
      }
    }
    if (run_.scripts.empty()) return {};
    TRY(make_folders(bundle_ + "/scripts"));
    for (const auto& [name, content] : run_.scripts) {
      if (name.find('/') != name.npos || name == ".." || name == ".") return fail(ErrorCode::invalid, fmt::format("a here-document cannot be called {}", printable(name)));
      TRY(write_file_atomically(bundle_ + "/scripts/" + name, content, 0755));
    }
    config.mounts.push_back({bundle_ + "/scripts", script_folder, "bind", {"rbind", "rprivate", "ro"}});
    return {};
  }

  Result<> write_config() {
    sandbox::ContainerConfig config;
    config.root_folder = bundle_ + "/root";
    config.arguments = run_.arguments;
    config.environment = run_.environment;
    config.environment.insert(config.environment.end(), run_.proxies.begin(), run_.proxies.end());
    config.working_folder = run_.folder;
    const auto user = TRY(sandbox::resolve_user_in(config.root_folder, run_.user));
    config.user = user.user;
    config.group = user.group;
    config.extra_groups = user.extra_groups;
    TRY(add_mounts(config));
    config.resources.pids_limit = build_pids_limit;
    const auto namespaces = TRY(run_.network == dockerfile::Network::none ? place_.lonely_namespaces() : place_.namespaces(sandbox::PodNetwork::own));
    config.namespaces = {namespaces.network, namespaces.ipc, namespaces.uts, false};
    config.cgroup_path = place_.cgroup() + "/" + id_;
    const auto spec = TRY(sandbox::make_runtime_spec(config));
    return write_file_atomically(bundle_ + "/config.json", text::to_json(spec));
  }

  Result<> execute(std::stop_token stop) {
    const sandbox::Runtime& runtime = place_.node.runtime;
    const std::string errors = bundle_ + "/runtime.log";
    const Command command{.arguments = {runtime.program, "--root", runtime.root_folder, "--log", errors, "--log-format", "json", "run", "--bundle", bundle_, id_},
                          .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                          .inherit_environment = false,
                          .die_with_parent = true};
    Child child = TRY(Child::start(command, Stdio::null, Stdio::pipe, Stdio::pipe));
    const auto followed = follow(child, stop);
    if (!followed) {
      (void)::slipway::run(runtime.remove_command(id_));
      return std::unexpected(followed.error());
    }
    const int code = child.wait();
    if (code == 0) return {};
    if (const std::string why = sandbox::runtime_error(read_file(errors, 1 << 20).value_or(""), ""); !why.empty() && code == 1)
      return fail(ErrorCode::invalid, fmt::format("\"{}\" did not start: {}", printable(join(run_.arguments, " ")), why));
    return fail(ErrorCode::invalid, fmt::format("process \"{}\" did not complete successfully: exit code: {}", printable(join(run_.arguments, " ").substr(0, 512)), code));
  }

  // Until both outputs are closed: the container's processes are gone then.
  Result<> follow(Child& child, std::stop_token stop) {
    Lines out(place_.log, label_), err(place_.log, label_);
    while (child.output() || child.errors()) {
      if (stop.stop_requested()) return fail(ErrorCode::unavailable, "the build was stopped");
      if (place_.node.executor.clock().steady() >= place_.deadline) return fail(ErrorCode::timeout, fmt::format("the build took longer than {} minutes", max_build_time.count()));
      std::array<pollfd, 2> waits{pollfd{child.output().get(), POLLIN, 0}, pollfd{child.errors().get(), POLLIN, 0}};
      if (::poll(waits.data(), waits.size(), static_cast<int>(look_around.count())) < 0 && errno != EINTR) return fail_errno("cannot wait for", id_);
      if (waits[0].revents) take(child.output(), out);
      if (waits[1].revents) take(child.errors(), err);
    }
    out.finish();
    err.finish();
    return {};
  }

  static void take(UniqueFd& from, Lines& lines) {
    char buffer[65536];
    const auto got = ::read(from.get(), buffer, sizeof buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) return from.reset();
    lines.add({buffer, static_cast<std::size_t>(got)});
  }

  Result<std::optional<oci::Descriptor>> changes() {
    const std::string upper = bundle_ + "/upper";
    if (TRY(list_folder(upper)).empty()) return std::nullopt;
    const auto blob = TRY(place_.node.blobs().create());
    std::string buffer;
    TRY(store::pack(upper, [&](std::string_view bytes) -> Result<> {
      buffer += bytes;
      if (buffer.size() < 1 << 20) return {};
      TRY(blob->write(buffer));
      buffer.clear();
      return {};
    }));
    TRY(blob->write(buffer));
    const std::uint64_t size = blob->size();
    const store::Digest digest = TRY(blob->commit());
    keep_unpacked(upper, digest);
    return oci::Descriptor{oci::media::layer_tar, digest, size};
  }

  // The next step stacks on these files: as they lie they are what unpacking the layer would give, marks of deleted
  // files included. Where this does not work out, it is unpacked.
  void keep_unpacked(const std::string& upper, const store::Digest& digest) const {
    const std::string& layers = place_.node.config.layers;
    if (!make_folders(layers, 0700)) return;
    const UniqueFd fd(::open(upper.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::syncfs(fd.get()) != 0) return;
    (void)::rename(upper.c_str(), fmt::format("{}/{}", layers, digest.hex()).c_str());
  }

  BuildPlace& place_;
  const dockerfile::Run& run_;
  const std::vector<ReadyMount>& mounts_;
  const std::string& label_;
  const std::string bundle_, id_;
  bool has_stubs_ = false;
};

}  // namespace

Result<std::optional<oci::Descriptor>> run_command(BuildPlace& place, const dockerfile::Run& run, const std::vector<std::string>& layers, const std::vector<ReadyMount>& mounts,
                                                   const std::string& label, std::stop_token stop) {
  return Container(place, run, mounts, label).run(layers, stop);
}

}  // namespace slipway::cluster
