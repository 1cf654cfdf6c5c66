// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "base/process.h"
#include "base/random.h"
#include "cluster/node/build_job.h"
#include "oci/import.h"
#include "store/unpack.h"

namespace slipway::cluster {
namespace {

bool can_run() {
  if (::geteuid() != 0) return std::puts("SKIPPED: this test needs root"), false;
  if (!exists("/bin/busybox")) return std::puts("SKIPPED: this test needs busybox-static"), false;
  return true;
}

struct NoNetwork final : sandbox::PodNetworkDriver {
  Result<sandbox::Ipv4> reserve(const std::string&) override { return sandbox::Ipv4{0x0AF40002u}; }
  Result<> release(const std::string&) override { return {}; }
  std::vector<std::string> reserved() const override { return {}; }
  Result<> attach(const std::string&, sandbox::Ipv4) override { return {}; }
  sandbox::PodDns cluster_dns(const std::string&) const override { return {{"10.96.0.10"}, {}, {}}; }
  bool receives_traffic(sandbox::Ipv4) const override { return false; }
};

struct StoreImages final : ImageProvider {
  explicit StoreImages(oci::ImageStore& store) : images(store) {}
  Result<ImageRootfs> ensure(const ImageRequest& request, std::stop_token) override {
    return ImageRootfs{{}, {}, TRY(images.resolve(TRY(oci::Reference::parse(request.reference)))).value};
  }
  oci::ImageStore& images;
};

// A node with one image, busybox, and what it takes to build on it.
class Machine {
 public:
  Machine() {
    REQUIRE(make_folders(folder.path() + "/names").has_value());
    REQUIRE(make_folders(folder.path() + "/runtime").has_value());
    const std::string root = folder.path() + "/busybox";
    REQUIRE(make_folders(root + "/bin").has_value());
    REQUIRE(make_folders(root + "/etc").has_value());
    REQUIRE(run_ok({.arguments = {"cp", "/bin/busybox", root + "/bin/busybox"}}).has_value());
    for (const char* name : {"sh", "cat", "echo", "ls", "rm", "mkdir", "id", "touch", "chown", "sleep", "date", "test", "stat", "ln"}) REQUIRE(::symlink("busybox", (root + "/bin/" + name).c_str()) == 0);
    REQUIRE(write_file_atomically(root + "/etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n", 0644).has_value());
    REQUIRE(write_file_atomically(root + "/etc/gone", "x", 0644).has_value());
    REQUIRE(oci::import_image(images, root, oci::Reference::parse("busybox").value()).has_value());
    auto machine = BuildMachine::find({.data = folder.path(), .layers = folder.path() + "/layers", .cgroup_root = "/slipway-build-" + SystemRandom().name_suffix(8)}, network);
    REQUIRE(machine.has_value());
    group = machine->config.cgroup_root;
    node = std::make_unique<BuildNode>(BuildNode{std::move(*machine), *executor, provider, images, std::make_unique<oci::RootfsStore>(folder.path() + "/layers", images),
                                                 std::make_unique<BuildCache>(build_cache_path(folder.path()), *blobs)});
  }
  ~Machine() {
    (void)clean_up_build(*node, "u");
    (void)sandbox::remove_cgroup(node->cgroups, group);
  }

  Result<BuiltImage> build(std::string_view dockerfile, std::stop_token stop = {}) {
    REQUIRE(make_folders(context()).has_value());
    REQUIRE(write_file_atomically(context() + "/Dockerfile", dockerfile, 0644).has_value());
    std::string tar;
    REQUIRE(store::pack(context(), [&](std::string_view bytes) -> Result<> { return tar += bytes, Result<>{}; }).has_value());
    BuildRequest request{.context = blobs->put(tar).value(), .image = oci::Reference::parse("127.0.0.1:5000/out:1").value()};
    log = BuildLog::open(folder.path() + "/log", BuildLog::Begin::anew).value();
    steps.clear();
    BuildPlace place(*node, "u", "default", *log, executor->clock().steady() + std::chrono::minutes(5), [this](StepReport step) {
      const std::lock_guard lock(mutex);
      steps.push_back(std::move(step));
    });
    auto built = build_image(place, request, stop);
    REQUIRE(clean_up_build(*node, "u").has_value());
    return built;
  }
  std::string ok(std::string_view dockerfile) {
    const auto built = build(dockerfile);
    REQUIRE_MESSAGE(built.has_value(), built.error().to_string() << "\n" << output());
    return built->manifest.value;
  }
  // A file of the image, from its uppermost layer that has it.
  std::string file(const std::string& path) {
    const auto rootfs = node->rootfs->ensure(oci::Reference::parse("127.0.0.1:5000/out:1").value()).value();
    for (const std::string& layer : rootfs.layers)
      if (exists(layer + "/" + path)) return read_file(layer + "/" + path).value_or("(unreadable)");
    return "(none)";
  }
  struct stat info(const std::string& path) {
    struct stat out{};
    const auto rootfs = node->rootfs->ensure(oci::Reference::parse("127.0.0.1:5000/out:1").value()).value();
    for (const std::string& layer : rootfs.layers)
      if (::lstat((layer + "/" + path).c_str(), &out) == 0) return out;
    return out;
  }
  std::string output() { return read_file(folder.path() + "/log").value_or(""); }
  std::string context() const { return folder.path() + "/context"; }
  std::size_t cached() const { return static_cast<std::size_t>(std::ranges::count_if(steps, &StepReport::cached)); }

  TempFolder folder;
  std::unique_ptr<Executor> executor = make_system_executor();
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  oci::ImageStore images{folder.path() + "/names", *blobs};
  StoreImages provider{images};
  NoNetwork network;
  std::unique_ptr<BuildNode> node;
  std::unique_ptr<BuildLog> log;
  std::mutex mutex;
  std::vector<StepReport> steps;
  std::string group;
};

}  // namespace

TEST_CASE("a Dockerfile of two stages becomes an image, and the second time nothing is carried out") {
  if (!can_run()) return;
  Machine machine;
  constexpr std::string_view text =
      "FROM busybox AS build\nARG who=you\nWORKDIR /src\nCOPY in .\nRUN cat in > out && echo $who >> out && rm /etc/gone\n"
      "FROM scratch\nCOPY --from=build --chown=7:8 --chmod=750 /src/out /opt/out\nENTRYPOINT [\"/opt/out\"]\n";
  REQUIRE(make_folders(machine.context()).has_value());
  REQUIRE(write_file_atomically(machine.context() + "/in", "hello\n", 0644).has_value());
  const std::string digest = machine.ok(text);
  CHECK(machine.file("opt/out") == "hello\nyou\n");
  const struct stat info = machine.info("opt/out");
  CHECK(info.st_uid == 7);
  CHECK(info.st_gid == 8);
  CHECK((info.st_mode & 07777) == 0750);
  CHECK(machine.cached() == 0);
  CHECK(machine.ok(text) == digest);
  CHECK(machine.cached() == machine.steps.size());
  REQUIRE(write_file_atomically(machine.context() + "/in", "other\n", 0644).has_value());
  CHECK(machine.ok(text) != digest);
  CHECK(machine.file("opt/out") == "other\nyou\n");
  CHECK(machine.cached() == 1);  // WORKDIR
}

TEST_CASE("a layer holds what its command changed and nothing of how it was run") {
  if (!can_run()) return;
  Machine machine;
  machine.ok("FROM busybox\nRUN rm /etc/gone && mkdir -p /d/e && echo 1 > /d/e/f && ln -s f /d/e/g\n");
  const auto manifest = oci::read_manifest(*machine.blobs, machine.images.resolve(oci::Reference::parse("127.0.0.1:5000/out:1").value()).value()).value();
  REQUIRE(manifest.layers.size() == 2);
  const UniqueFd file(::open(machine.blobs->path_of(manifest.layers[1].digest).c_str(), O_RDONLY | O_CLOEXEC));
  store::TarReader reader(store::source_of(file.get()));
  std::vector<std::string> names;
  while (const auto entry = reader.next().value()) names.push_back(entry->path);
  CHECK(names == std::vector<std::string>{"d/", "d/e/", "d/e/f", "d/e/g", "etc/", "etc/.wh.gone"});
}

TEST_CASE("a command that changes nothing makes no layer, and configuration makes none") {
  if (!can_run()) return;
  Machine machine;
  const std::string digest = machine.ok("FROM busybox\nRUN id\nENV a=b\nUSER app\n");
  const auto manifest = oci::read_manifest(*machine.blobs, store::Digest::parse(digest).value()).value();
  CHECK(manifest.layers.size() == 1);
  const auto configuration = oci::read_configuration(*machine.blobs, manifest).value();
  CHECK(configuration.defaults.user == "app");
  CHECK(configuration.history.size() == 3);
}

TEST_CASE("USER, ENV, here-documents and mounts reach the command") {
  if (!can_run()) return;
  Machine machine;
  REQUIRE(make_folders(machine.context()).has_value());
  REQUIRE(write_file_atomically(machine.context() + "/data", "from context", 0644).has_value());
  machine.ok("FROM busybox\nRUN mkdir /w && chown app /w\nWORKDIR /w\nUSER app\nENV v=1\nRUN <<E\nid > who\necho $v $PATH > env\nE\n"
             "USER root\nRUN --mount=type=bind,source=data,target=/in/data --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t cat /in/data > seen && echo kept > /cache/f && touch /t/x\n"
             "RUN --mount=type=cache,target=/cache --network=none cat /cache/f > cached\n");
  CHECK(machine.file("w/who").find("uid=1000") != std::string::npos);
  CHECK(machine.file("w/env").starts_with("1 /usr/local/sbin"));
  CHECK(machine.file("w/seen") == "from context");
  CHECK(machine.file("w/cached") == "kept\n");
  CHECK(machine.file("cache/f") == "(none)");
  CHECK(machine.file("in/data") == "(none)");
}

TEST_CASE("a command that fails names itself, its line and its exit code; its output is in the log") {
  if (!can_run()) return;
  Machine machine;
  const auto built = machine.build("FROM busybox\nRUN echo told; exit 7\n");
  REQUIRE_FALSE(built.has_value());
  CHECK(built.error().to_string() == "process \"/bin/sh -c echo told; exit 7\" did not complete successfully: exit code: 7 (Dockerfile:2:1)");
  CHECK(machine.output().find("told") != std::string::npos);
  CHECK_FALSE(machine.images.resolve(oci::Reference::parse("127.0.0.1:5000/out:1").value()).has_value());
}

TEST_CASE("what is not there is named with its line") {
  if (!can_run()) return;
  Machine machine;
  CHECK(machine.build("FROM nowhere\n").error().to_string().find("nowhere") != std::string::npos);
  CHECK(machine.build("FROM scratch\nCOPY absent /\n").error().to_string() == "\"/absent\": not found (Dockerfile:2:1)");
}

TEST_CASE("ADD unpacks an archive, COPY does not") {
  if (!can_run()) return;
  Machine machine;
  REQUIRE(make_folders(machine.context() + "/tree/sub").has_value());
  REQUIRE(write_file_atomically(machine.context() + "/tree/sub/f", "packed", 0600).has_value());
  REQUIRE(run_ok({.arguments = {"tar", "-czf", machine.context() + "/a.tgz", "-C", machine.context() + "/tree", "."}}).has_value());
  machine.ok("FROM scratch\nADD a.tgz /x/\nCOPY a.tgz /y/\n");
  CHECK(machine.file("x/sub/f") == "packed");
  CHECK(machine.file("y/a.tgz") != "(none)");
}

TEST_CASE("a build that is stopped leaves no process, mount or folder") {
  if (!can_run()) return;
  Machine machine;
  std::stop_source stop;
  const auto task = machine.executor->spawn("stopper", [&](std::stop_token) {
    while (machine.output().find("begun") == std::string::npos && machine.executor->sleep(std::chrono::milliseconds(20), {})) {
    }
    stop.request_stop();
  });
  CHECK_FALSE(machine.build("FROM busybox\nRUN echo begun; sleep 600\n", stop.get_token()).has_value());
  CHECK_FALSE(exists(build_work_path(machine.folder.path(), "u")));
}

}  // namespace slipway::cluster
