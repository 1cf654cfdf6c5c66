// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/node/build_job.h"
#include "cluster/node/build_layer.h"
#include "store/unpack.h"

namespace slipway::cluster {
namespace {

using dockerfile::Copy;
using store::TarEntry;
using store::TarType;

// A store with one context in it.
struct Context {
  TempFolder folder;
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path()).value();
  std::string tar;
  store::TarWriter writer{[this](std::string_view bytes) -> Result<> { return tar += bytes, Result<>{}; }};

  Context& file(std::string path, std::string_view content, std::uint32_t mode = 0644, std::int64_t seconds = 5) {
    REQUIRE(writer.add({.path = std::move(path), .mode = mode, .user = 1000, .group = 1000, .size = content.size(), .seconds = seconds}).has_value());
    REQUIRE(writer.write(content).has_value());
    return *this;
  }
  Context& link(std::string path, std::string target) {
    REQUIRE(writer.add({.path = std::move(path), .type = TarType::symlink, .link = std::move(target)}).has_value());
    return *this;
  }
  std::unique_ptr<ContextTree> open() {
    REQUIRE(writer.finish().has_value());
    return ContextTree::open(*blobs, blobs->put(tar).value()).value();
  }
};

std::string digest_of_all(const ContextTree& tree) {
  const Copy copy{.sources = {"."}, .destination = "/"};
  return digest_of(find_sources(copy, tree).value()).value();
}

std::vector<std::string> paths_of(const LayerEntries& entries) {
  std::vector<std::string> out;
  for (const auto& [path, entry] : entries) out.push_back(path);
  return out;
}

}  // namespace

TEST_CASE("a context is read where it lies, folders it does not name included") {
  Context context;
  const auto tree = context.file("./src/deep/a.txt", "hello").file("src/b", std::string(70'000, 'x')).file("c", "").file("d", "end").open();
  CHECK(tree->children("").value() == std::vector<std::string>{"c", "d", "src"});
  CHECK(tree->children("src").value() == std::vector<std::string>{"b", "deep"});
  CHECK(tree->text("src/deep/a.txt", 100).value() == "hello");
  CHECK(tree->text("src/b", 100'000).value() == std::string(70'000, 'x'));
  CHECK(tree->text("d", 100).value() == "end");
  CHECK(tree->look("c").value().user == 0);
  CHECK(tree->look("nothing").error().code == ErrorCode::not_found);
  CHECK(tree->below("src").value()->text("b", 100'000).has_value());
}

TEST_CASE("links of a context never lead out of it") {
  Context context;
  const auto tree = context.file("etc/passwd", "ours").link("up", "../../../etc/passwd").link("abs", "/etc/passwd").link("round", "round").open();
  CHECK(tree->text("up", 100).value() == "ours");
  CHECK(tree->text("abs", 100).value() == "ours");
  CHECK_FALSE(tree->text("round", 100).has_value());
}

TEST_CASE("a context whose names lead out is refused") {
  Context context;
  context.file("../x", "bad");
  REQUIRE(context.writer.finish().has_value());
  CHECK(ContextTree::open(*context.blobs, context.blobs->put(context.tar).value()).error().code == ErrorCode::invalid);
}

TEST_CASE(".dockerignore takes files out of a context and keeps the folders of those that stay") {
  Context context;
  const auto tree = context.file("a/keep.c", "1").file("a/x.o", "2").file("b/y.o", "3").open();
  tree->leave_out(dockerfile::IgnoreRules::parse("*\n!**/*.c\n").value());
  CHECK(tree->children("").value() == std::vector<std::string>{"a"});
  CHECK(tree->children("a").value() == std::vector<std::string>{"keep.c"});
}

TEST_CASE("the key of copied files knows names, modes and contents, not times") {
  const auto key = [](std::string_view name, std::string_view content, std::uint32_t mode, std::int64_t seconds) {
    Context context;
    return digest_of_all(*context.file(std::string(name), content, mode, seconds).open());
  };
  const std::string one = key("a", "x", 0644, 1);
  CHECK(one == key("a", "x", 0644, 2));
  CHECK(one != key("b", "x", 0644, 1));
  CHECK(one != key("a", "y", 0644, 1));
  CHECK(one != key("a", "x", 0755, 1));
}

TEST_CASE("files come to stand where docker build puts them") {
  Context context;
  const auto tree = context.file("f", "1").file("d/x", "2").file("d/sub/y", "3").open();
  const TempFolder image;
  REQUIRE(make_folders(image.path() + "/usr/bin").has_value());
  REQUIRE(::symlink("usr/bin", (image.path() + "/bin").c_str()) == 0);
  const auto root = FolderTree::open(image.path()).value();
  const auto placed = [&](const Copy& copy) { return place_files(copy, find_sources(copy, *tree).value(), *root, std::nullopt); };
  CHECK(paths_of(placed({.sources = {"f"}, .destination = "/new"}).value()) == std::vector<std::string>{"new"});
  CHECK(paths_of(placed({.sources = {"f"}, .destination = "/new/"}).value()) == std::vector<std::string>{"new", "new/f"});
  CHECK(paths_of(placed({.sources = {"f"}, .destination = "/bin"}).value()) == std::vector<std::string>{"usr", "usr/bin", "usr/bin/f"});
  CHECK(paths_of(placed({.sources = {"f"}, .destination = "/bin/g"}).value()) == std::vector<std::string>{"usr", "usr/bin", "usr/bin/g"});
  CHECK(paths_of(placed({.sources = {"d"}, .destination = "/o"}).value()) == std::vector<std::string>{"o", "o/sub", "o/sub/y", "o/x"});
  CHECK(paths_of(placed({.sources = {"d/*"}, .destination = "/o/"}).value()) == std::vector<std::string>{"o", "o/x", "o/y"});
  CHECK(paths_of(placed({.sources = {"."}, .destination = "/"}).value()) == std::vector<std::string>{"d", "d/sub", "d/sub/y", "d/x", "f"});
  CHECK(placed({.sources = {"d"}, .destination = "/usr/bin"}).value().at("usr").entry.mode == 0755);
  CHECK(find_sources({.sources = {"nothing"}, .destination = "/"}, *tree).error().code == ErrorCode::not_found);
  CHECK(find_sources({.sources = {"d/*"}, .destination = "/o"}, *tree).error().code == ErrorCode::invalid);
}

TEST_CASE("a layer says of the folders on the way what the image says, and is the same every time") {
  Context context;
  const auto tree = context.file("f", "content").open();
  const TempFolder image, unpacked;
  REQUIRE(make_folders(image.path() + "/tmp", 01777).has_value());
  REQUIRE(::chmod((image.path() + "/tmp").c_str(), 01777) == 0);
  const auto root = FolderTree::open(image.path()).value();
  const Copy copy{.sources = {"f"}, .destination = "/tmp/", .mode = 0751};
  const auto entries = place_files(copy, find_sources(copy, *tree).value(), *root, std::nullopt).value();
  CHECK(entries.at("tmp").entry.mode == 01777);
  CHECK(entries.at("tmp/f").entry.mode == 0751);
  const auto layer = write_layer(*context.blobs, entries).value();
  CHECK(layer.digest == write_layer(*context.blobs, entries).value().digest);
  const UniqueFd file(::open(context.blobs->path_of(layer.digest).c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(store::unpack(store::source_of(file.get()), unpacked.path(), {.owners = store::Owners::ignore}).has_value());
  CHECK(read_file(unpacked.path() + "/tmp/f").value() == "content");
}

TEST_CASE("finished steps are found again as long as their layer is there") {
  const TempFolder folder;
  const auto blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  BuildCache cache(folder.path() + "/cache", *blobs);
  const auto digest = blobs->put("layer").value();
  REQUIRE(cache.keep("aa11", {oci::Descriptor{oci::media::layer_tar, digest, 5}, "2026-01-01T00:00:00Z"}).has_value());
  REQUIRE(cache.keep("bb22", {std::nullopt, "2026-01-01T00:00:00Z"}).has_value());
  CHECK(cache.find("aa11")->layer->digest == digest);
  CHECK_FALSE(cache.find("bb22")->layer.has_value());
  CHECK_FALSE(cache.find("cc33").has_value());
  REQUIRE(::unlink(blobs->path_of(digest).c_str()) == 0);
  CHECK_FALSE(cache.find("aa11").has_value());
}

TEST_CASE("a build's spec is read, and what cannot be done is named") {
  using text::Json;
  const std::string blob = "sha256:" + std::string(64, 'a');
  const Json good = Json::object({{"context", Json::object({{"blob", blob}})}, {"image", "127.0.0.1:5000/a:1"}, {"buildArgs", Json::array({Json::object({{"name", "k"}, {"value", "v"}})})}});
  const std::string own = "127.0.0.1:5000";
  const auto request = BuildRequest::from_spec(good, own).value();
  CHECK(request.dockerfile == "Dockerfile");
  CHECK(request.options.arguments.at("k") == "v");
  CHECK_FALSE(request.push);
  CHECK_FALSE(BuildRequest::from_spec(good.with("image", "localhost:5000/a:1"), own).value().push);
  CHECK(BuildRequest::from_spec(good.with("image", "127.0.0.1:5001/a:1"), own).value().push);
  CHECK(BuildRequest::from_spec(good.with("image", "docker.io/a:1").with("dockerConfigSecret", "s"), own).value().docker_config_secret == "s");
  CHECK_FALSE(BuildRequest::from_spec(good.with("image", "docker.io/a:1").with("push", false), own).value().push);
  CHECK_FALSE(BuildRequest::from_spec(good.with("context", Json()), own).has_value());
  CHECK_FALSE(BuildRequest::from_spec(good.with("image", "a@" + blob), own).has_value());
}

}  // namespace slipway::cluster
