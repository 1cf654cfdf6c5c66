// SPDX-License-Identifier: Apache-2.0
#include "hub/trees.h"

#include <map>
#include <set>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::hub {
namespace {

constexpr std::string_view whiteout = ".wh.", opaque = ".wh..wh..opq";

std::string plain(std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

// Whether a path or a folder above it is in the set.
bool covers(const std::set<std::string>& paths, std::string path) {
  for (;;) {
    if (paths.contains(path)) return true;
    const auto slash = path.rfind('/');
    if (slash == path.npos) return false;
    path.resize(slash);
  }
}

// What the layers above say of a path: there already, or gone.
struct Above {
  std::set<std::string> present;  // files, links and folders that a higher layer has
  std::set<std::string> gone;     // deleted with all below, or replaced by something that is no folder
  std::set<std::string> emptied;  // opaque folders: what is below them in lower layers is gone
};

bool is_hidden(const Above& above, const std::string& path) {
  if (above.present.contains(path) || covers(above.gone, path)) return true;
  const auto slash = path.rfind('/');
  return slash != path.npos && covers(above.emptied, path.substr(0, slash));
}

struct Layer {
  std::unique_ptr<store::BlobReader> reader;
  std::vector<bool> taken;  // one for each entry
};

Result<> read_layer(Layer& layer, Above& above) {
  Above own;
  store::TarReader tar(source_of(*layer.reader));
  while (const auto entry = TRY(tar.next())) {
    const std::string path = plain(entry->path), name = base_name(path);
    const std::string parent = path.find('/') == path.npos ? "" : parent_path(path);
    if (name == opaque) own.emptied.insert(parent);
    else if (name.starts_with(whiteout)) own.gone.insert((parent.empty() ? "" : parent + "/") + name.substr(whiteout.size()));
    const bool mark = name.starts_with(whiteout);
    layer.taken.push_back(!mark && !path.empty() && !is_hidden(above, path));
    if (mark || path.empty()) continue;
    own.present.insert(path);
    if (entry->type != store::TarType::folder) own.gone.insert(path + "/");  // a lower folder of that name has no children left
  }
  above.present.merge(own.present);
  for (const std::string& path : own.gone) above.gone.insert(path.ends_with('/') ? path.substr(0, path.size() - 1) : path);
  above.emptied.merge(own.emptied);
  return {};
}

Result<> copy_content(store::TarReader& from, store::TarWriter& to) {
  for (;;) {
    const std::string piece = TRY(from.read(1 << 20));
    if (piece.empty()) return {};
    TRY(to.write(piece));
  }
}

}  // namespace

store::ByteSource source_of(store::BlobReader& reader) {
  return [&reader, offset = std::uint64_t{0}](std::size_t at_most) mutable -> Result<std::string> {
    auto piece = reader.read_at(offset, at_most);
    if (piece) offset += piece->size();
    return piece;
  };
}

Result<store::Digest> flatten(store::BlobStore& blobs, const std::vector<std::string>& tree) {
  if (tree.size() == 1) return store::Digest::parse(tree[0]);
  std::vector<Layer> layers;
  for (const std::string& digest : tree) layers.push_back({TRY(blobs.open(TRY(store::Digest::parse(digest)))), {}});
  Above above;
  for (std::size_t i = layers.size(); i-- > 0;) TRY(read_layer(layers[i], above));
  auto out = TRY(blobs.create());
  store::TarWriter writer([&out](std::string_view bytes) { return out->write(bytes); });
  for (const Layer& layer : layers) {
    store::TarReader tar(source_of(*layer.reader));
    for (std::size_t i = 0;; ++i) {
      const auto entry = TRY(tar.next());
      if (!entry) break;
      if (!layer.taken[i]) continue;
      TRY(writer.add(*entry));
      if (entry->size > 0 && entry->type == store::TarType::file) TRY(copy_content(tar, writer));
    }
  }
  TRY(writer.finish());
  return out->commit();
}

Result<store::Digest> moved_below(store::BlobStore& blobs, const store::Digest& digest, const std::string& folder) {
  const auto reader = TRY(blobs.open(digest));
  auto out = TRY(blobs.create());
  store::TarWriter writer([&out](std::string_view bytes) { return out->write(bytes); });
  store::TarReader tar(source_of(*reader));
  std::string parent;
  for (const auto part : split(folder, '/')) {
    if (part.empty() || part == "..") return fail(ErrorCode::invalid, "not a folder below the workspace: " + printable(folder));
    parent += (parent.empty() ? "" : "/") + std::string(part);
    TRY(writer.add({.path = parent + "/", .type = store::TarType::folder, .mode = 0755}));
  }
  while (auto entry = TRY(tar.next())) {
    entry->path = folder + "/" + entry->path;
    if (entry->type == store::TarType::hard_link) entry->link = folder + "/" + entry->link;
    TRY(writer.add(*entry));
    if (entry->size > 0 && entry->type == store::TarType::file) TRY(copy_content(tar, writer));
  }
  TRY(writer.finish());
  return out->commit();
}

}  // namespace slipway::hub
