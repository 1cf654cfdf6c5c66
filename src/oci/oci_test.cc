// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/process.h"
#include "oci/compress.h"
#include "oci/import.h"
#include "oci/rootfs.h"
#include "store/unpack.h"

namespace slipway::oci {

using namespace store;  // NOLINT: archives
namespace {

ByteSource bytes(std::string text, std::size_t step = 1000) {
  const auto rest = std::make_shared<std::string>(std::move(text));
  return [rest, step](std::size_t at_most) -> Result<std::string> {
    std::string piece = rest->substr(0, std::min(step, at_most));
    rest->erase(0, piece.size());
    return piece;
  };
}

std::string archive(const std::vector<std::pair<TarEntry, std::string>>& entries) {
  std::string out;
  TarWriter writer([&](std::string_view piece) -> Result<> { return out += piece, Result<>{}; });
  for (auto [entry, content] : entries) {
    entry.size = content.size();
    REQUIRE(writer.add(entry));
    REQUIRE(writer.write(content));
  }
  REQUIRE(writer.finish());
  return out;
}

TEST_CASE("references are read as Docker reads them") {
  CHECK(Reference::parse("debian").value().to_string() == "docker.io/library/debian:latest");
  CHECK(Reference::parse("debian:12-slim").value().to_string() == "docker.io/library/debian:12-slim");
  CHECK(Reference::parse("127.0.0.1:5000/a/b:x").value() == Reference{"127.0.0.1:5000", "a/b", "x", ""});
  CHECK(Reference::parse("localhost/a").value().registry == "localhost");
  CHECK(Reference::parse("org/a__b.c--d").value().registry == "docker.io");
  const std::string digest = "sha256:" + std::string(64, 'a');
  CHECK(Reference::parse("x:1@" + digest).value().digest == digest);
  for (const char* bad : {"", "A", "a:", "a:-x", "a//b", "a..b", "_a", "a___b", "x@sha256:12", "a b", "x/"}) CHECK(!Reference::parse(bad));
}

TEST_CASE("what the writer writes the reader reads, also long paths, and GNU tar agrees") {
  const std::string longer = std::string(150, 'd') + "/" + std::string(120, 'f');
  const std::string text = archive({{{.path = "a/", .type = TarType::folder, .mode = 0755}, ""},
                                    {{.path = "a/file", .mode = 0640, .user = 7, .group = 8, .seconds = 1234}, "hello"},
                                    {{.path = longer}, "x"},
                                    {{.path = "link", .type = TarType::symlink, .link = "a/file"}, ""}});
  TarReader reader(bytes(text, 7));
  std::vector<std::string> seen;
  while (const auto entry = reader.next().value()) {
    seen.push_back(entry->path);
    if (entry->path != "a/file") continue;
    CHECK(entry->mode == 0640);
    CHECK(entry->user == 7);
    CHECK(entry->seconds == 1234);
    CHECK(reader.read(100).value() == "hello");
  }
  CHECK(seen == std::vector<std::string>{"a/", "a/file", longer, "link"});
  CHECK(run({.arguments = {"tar", "-tf", "-"}, .input = text}).value().output == "a/\na/file\n" + longer + "\nlink\n");
}

TEST_CASE("GNU tar's archives with long names are read") {
  TempFolder folder;
  const std::string name = std::string(200, 'n');
  REQUIRE(write_file_atomically(folder.path() + "/" + name, "content"));
  for (const char* format : {"gnu", "pax"}) {
    const auto made = run({.arguments = {"tar", "-C", folder.path(), "--format", format, "-cf", "-", name}}).value();
    TarReader reader(bytes(made.output));
    const auto entry = reader.next().value();
    REQUIRE(entry);
    CHECK(entry->path == name);
    CHECK(reader.read(100).value() == "content");
  }
}

TEST_CASE("a damaged, cut off or boundless archive is refused") {
  std::string text = archive({{{.path = "a"}, std::string(2000, 'x')}});
  TarReader cut(bytes(text.substr(0, 1000)));
  REQUIRE(cut.next());
  CHECK(!cut.next());
  text[5] ^= 1;
  CHECK(!TarReader(bytes(text)).next());
  const std::string many = archive({{{.path = "a"}, ""}, {{.path = "b"}, ""}});
  TarReader counted(bytes(many), {.entries = 1});
  REQUIRE(counted.next());
  CHECK(counted.next().error().code == ErrorCode::too_large);
  TarReader sized(bytes(archive({{{.path = "a"}, "12345"}})), {.bytes = 4});
  CHECK(sized.next().error().code == ErrorCode::too_large);
}

TEST_CASE("no entry leaves the folder: dots, links and hard links end inside or are refused") {
  TempFolder folder;
  const std::string root = folder.path() + "/root";
  REQUIRE(write_file_atomically(folder.path() + "/canary", "untouched"));
  CHECK(!unpack(bytes(archive({{{.path = "../canary"}, "x"}})), root, {}));
  CHECK(!unpack(bytes(archive({{{.path = "a/../../canary"}, "x"}})), root, {}));
  CHECK(!unpack(bytes(archive({{{.path = "h", .type = TarType::hard_link, .link = "../canary"}, ""}})), root, {}));
  // A link that leads out, then a file through it: the file lands inside the root, as in a container.
  (void)unpack(bytes(archive({{{.path = "out", .type = TarType::symlink, .link = folder.path()}, ""}, {{.path = "out/canary"}, "x"}})), root, {});
  (void)unpack(bytes(archive({{{.path = "up", .type = TarType::symlink, .link = "../../../.."}, ""}, {{.path = "up/canary"}, "x"}})), root, {});
  CHECK(read_file(folder.path() + "/canary").value() == "untouched");
}

TEST_CASE("whiteouts delete, or become overlayfs' marks; packing turns them back") {
  if (::geteuid() != 0) return (void)std::puts("SKIPPED: whiteouts need root");
  TempFolder folder;
  const std::string applied = folder.path() + "/applied", layer = folder.path() + "/layer";
  REQUIRE(unpack(bytes(archive({{{.path = "d/gone"}, "1"}, {{.path = "d/kept"}, "2"}})), applied, {}));
  const std::string change = archive({{{.path = "d/", .type = TarType::folder, .mode = 0755}, ""}, {{.path = "d/.wh.gone"}, ""}});
  REQUIRE(unpack(bytes(change), applied, {.whiteouts = Whiteouts::apply, .limits = {}}));
  CHECK(list_folder(applied + "/d").value() == std::vector<std::string>{"kept"});
  REQUIRE(unpack(bytes(change), layer, {}));
  struct stat info{};
  REQUIRE(::lstat((layer + "/d/gone").c_str(), &info) == 0);
  CHECK(S_ISCHR(info.st_mode));
  std::string packed;
  REQUIRE(pack(layer, [&](std::string_view piece) -> Result<> { return packed += piece, Result<>{}; }));
  CHECK(run({.arguments = {"tar", "-tf", "-"}, .input = packed}).value().output == "d/\nd/.wh.gone\n");
}

TEST_CASE("gzip and zstd come through decompressed; a bomb and a cut stream are refused") {
  for (const char* program : {"gzip", "zstd"}) {
    const std::string small = run({.arguments = {program, "-c"}, .input = std::string(5000, 'a') + "end"}).value().output;
    const auto read_whole = [](std::string text) -> Result<std::string> {
      const ByteSource source = decompressed(bytes(std::move(text), 100));
      std::string out;
      for (;;) {
        const std::string piece = TRY(source(1 << 20));
        if (piece.empty()) return out;
        out += piece;
      }
    };
    CHECK(read_whole(small).value() == std::string(5000, 'a') + "end");
    CHECK(!read_whole(small.substr(0, small.size() - 3)));
    CHECK(read_whole(run({.arguments = {program, "-c"}, .input = std::string(16'000'000, 'a')}).value().output).error().code == ErrorCode::too_large);
  }
}

TEST_CASE("a root folder is imported under a name and unpacked once for containers") {
  TempFolder folder;
  REQUIRE(make_folders(folder.path() + "/root/bin"));
  REQUIRE(make_folders(folder.path() + "/names"));
  REQUIRE(write_file_atomically(folder.path() + "/root/bin/tool", "#!", 0755));
  const auto blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  ImageStore images(folder.path() + "/names", *blobs);
  const auto name = Reference::parse("debian:12-slim").value();
  const auto digest = import_image(images, folder.path() + "/root", name).value();
  CHECK(images.resolve(name).value() == digest);
  CHECK(images.list().value().size() == 1);
  CHECK(images.resolve(Reference::parse("other").value()).error().code == ErrorCode::not_found);
  RootfsStore store(folder.path() + "/layers", images);
  const auto rootfs = store.ensure(name).value();
  REQUIRE(rootfs.layers.size() == 1);
  CHECK(read_file(rootfs.layers[0] + "/bin/tool").value() == "#!");
  CHECK(store.ensure(name).value().layers == rootfs.layers);
  CHECK(store.ensure(Reference::parse("x@" + digest.value).value()).value().layers == rootfs.layers);
}

TEST_CASE("an OCI layout made by skopeo is imported, as a folder and as an archive") {
  if (!run({.arguments = {"skopeo", "--version"}})) return (void)std::puts("SKIPPED: skopeo is not installed");
  TempFolder folder;
  REQUIRE(make_folders(folder.path() + "/root/etc"));
  REQUIRE(make_folders(folder.path() + "/names"));
  REQUIRE(write_file_atomically(folder.path() + "/root/etc/x", "y", 0644));
  const auto blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  ImageStore images(folder.path() + "/names", *blobs);
  const auto digest = import_image(images, folder.path() + "/root", Reference::parse("a:1").value()).value();
  // A layout of our own blobs, read by skopeo, written as an archive, imported again.
  const std::string layout = folder.path() + "/layout";
  REQUIRE(make_folders(layout + "/blobs/sha256"));
  const Manifest manifest = read_manifest(*blobs, digest).value();
  for (const auto& one : {digest, manifest.config.digest, manifest.layers[0].digest})
    REQUIRE(write_file_atomically(layout + "/blobs/sha256/" + std::string(one.hex()), blobs->get(one, 1 << 20).value()));
  REQUIRE(write_file_atomically(layout + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  REQUIRE(write_file_atomically(layout + "/index.json", R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" +
                                                            digest.value + R"(","size":)" + std::to_string(manifest.to_text().size()) + "}]}"));
  CHECK(import_image(images, layout, Reference::parse("b:1").value()).value() == digest);
  for (const std::string& form : {std::string("oci-archive"), std::string("docker-archive")}) {
    const std::string file = folder.path() + "/" + form + ".tar";
    const auto copied = run({.arguments = {"skopeo", "--insecure-policy", "copy", "oci:" + layout, form + ":" + file}}).value();
    INFO(copied.errors);
    REQUIRE(copied.ok());
    const auto again = import_image(images, file, Reference::parse("c:1").value());
    REQUIRE(again);
    CHECK(read_configuration(*blobs, read_manifest(*blobs, *again).value()).value().diff_ids == std::vector<std::string>{manifest.layers[0].digest.value});
  }
}

}  // namespace
}  // namespace slipway::oci
