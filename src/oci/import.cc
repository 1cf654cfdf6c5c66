// SPDX-License-Identifier: Apache-2.0
#include "oci/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "oci/compress.h"
#include "store/unpack.h"

namespace slipway::oci {
namespace {

using store::Owners;
using store::pack;
using store::source_of;
using store::TarReader;
using store::unpack;
using store::Whiteouts;
using text::Json;

constexpr std::size_t max_index = 4 * 1024 * 1024;

class Importer final {
 public:
  Importer(ImageStore& images, const Reference& name) : images_(images), name_(name) {}

  Result<store::Digest> from_folder(const std::string& path) {
    if (exists(path + "/oci-layout") && exists(path + "/index.json")) return tag(TRY(from_layout(path)));
    if (exists(path + "/manifest.json") && !is_folder(path + "/bin") && !is_folder(path + "/usr")) return tag(TRY(from_docker(path)));
    auto writer = TRY(images_.blobs().create());
    TRY(pack(path, [&](std::string_view bytes) { return writer->write(bytes); }));
    const std::uint64_t size = writer->size();
    return tag(TRY(one_layer({media::layer_tar, TRY(writer->commit()), size})));
  }

  Result<store::Digest> from_file(const std::string& path) {
    // An archive of a layout or of `docker save` is small in names: unpacked beside, looked at as a folder.
    if (TRY(holds_an_image(path))) {
      const TempFolder folder;
      TRY(unpack(TRY(open(path)), folder.path(), {.whiteouts = Whiteouts::apply, .owners = Owners::ignore, .limits = {}}));
      return from_folder(folder.path());
    }
    auto writer = TRY(images_.blobs().create());
    const ByteSource source = TRY(open(path));
    for (;;) {
      const std::string piece = TRY(source(1 << 20));
      if (piece.empty()) break;
      TRY(writer->write(piece));
    }
    const std::uint64_t size = writer->size();
    return tag(TRY(one_layer({media::layer_tar, TRY(writer->commit()), size})));
  }

 private:
  Result<ByteSource> open(const std::string& path) {
    file_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_) return fail_errno("cannot open", path);
    return decompressed(source_of(file_.get()));
  }

  Result<bool> holds_an_image(const std::string& path) {
    TarReader reader(TRY(open(path)));
    while (const auto entry = TRY(reader.next())) {
      std::string_view name = entry->path;
      if (name.starts_with("./")) name.remove_prefix(2);
      if (name == "oci-layout" || name == "manifest.json") return true;
      if (name.starts_with("bin") || name.starts_with("usr/") || name.starts_with("etc/")) return false;
    }
    return false;
  }

  Result<store::Digest> tag(store::Digest digest) {
    TRY(images_.tag(name_, digest));
    return digest;
  }

  Result<store::Digest> one_layer(const Descriptor& layer) {
    ImageConfiguration configuration;
    configuration.defaults.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    configuration.defaults.command = {"/bin/sh"};
    configuration.diff_ids = {layer.digest.value};
    return write_image(images_.blobs(), configuration, {layer});
  }

  // Copies a blob of the layout and checks that it is what its name says.
  Result<> copy_blob(const Root& root, const store::Digest& digest) {
    if (images_.blobs().has(digest)) return {};
    const UniqueFd fd = TRY(root.open_file(fmt::format("blobs/sha256/{}", digest.hex()), O_RDONLY));
    TRY(copy(fd, &digest));
    return {};
  }

  Result<Descriptor> copy(const UniqueFd& fd, const store::Digest* expected) {
    auto writer = TRY(images_.blobs().create());
    const ByteSource source = source_of(fd.get());
    for (;;) {
      const std::string piece = TRY(source(1 << 20));
      if (piece.empty()) break;
      TRY(writer->write(piece));
    }
    const std::uint64_t size = writer->size();
    return Descriptor{media::layer_tar, TRY(writer->commit(expected)), size};
  }

  Result<store::Digest> from_layout(const std::string& path) {
    const Root root = TRY(Root::open(path));
    const Json index = TRY(text::parse_json(TRY(root.read("index.json", max_index))));
    if (index["manifests"].size() != 1) return fail(ErrorCode::invalid, fmt::format("the layout has {} images; one is expected", index["manifests"].size()));
    const auto digest = TRY(store::Digest::parse(index["manifests"][0]["digest"].as_string()));
    TRY(copy_blob(root, digest));
    const auto chosen = TRY(choose_platform(images_.blobs(), digest));
    TRY(copy_blob(root, chosen));
    const Manifest manifest = TRY(read_manifest(images_.blobs(), chosen));
    TRY(copy_blob(root, manifest.config.digest));
    for (const Descriptor& layer : manifest.layers) TRY(copy_blob(root, layer.digest));
    return chosen;
  }

  // manifest.json: [{"Config": "x.json", "Layers": ["a/layer.tar", …]}]
  Result<store::Digest> from_docker(const std::string& path) {
    const Root root = TRY(Root::open(path));
    const Json list = TRY(text::parse_json(TRY(root.read("manifest.json", max_index))));
    if (list.size() != 1) return fail(ErrorCode::invalid, fmt::format("the archive has {} images; one is expected", list.size()));
    const Json& image = list[0];
    ImageConfiguration configuration = TRY(ImageConfiguration::parse(TRY(root.read(image["Config"].as_string(), max_config))));
    std::vector<Descriptor> layers;
    for (const Json& name : image["Layers"].items()) {
      const UniqueFd fd = TRY(root.open_file(name.as_string(), O_RDONLY));
      layers.push_back(TRY(copy(fd, nullptr)));
    }
    return write_image(images_.blobs(), configuration, layers);
  }

  ImageStore& images_;
  const Reference& name_;
  UniqueFd file_;
};

}  // namespace

Result<store::Digest> import_image(ImageStore& images, const std::string& path, const Reference& name) {
  if (name.tag.empty()) return fail(ErrorCode::invalid, "an image is imported under a name with a tag");
  Importer importer(images, name);
  return at(is_folder(path) ? importer.from_folder(path) : importer.from_file(path), path);
}

}  // namespace slipway::oci
