// SPDX-License-Identifier: Apache-2.0
// COPY: which files it takes, where they come to stand in an image, and the layer that holds them.
//
// The layer is written straight from where the files are; nothing is unpacked on the way.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ci/dockerfile/plan.h"
#include "cluster/node/build_tree.h"
#include "oci/image.h"

namespace slipway::cluster {

struct CopiedFile {
  std::string path;  // below its source; "" is the source itself
  std::string from;  // in the tree; empty with `text`
  TreeEntry entry;
};

struct CopySource {
  std::string name;
  const Tree* tree = nullptr;
  std::string text;  // of a here-document, where there is no tree
  std::vector<CopiedFile> files;  // the source itself first
};

// The sources with all that is below them.
Result<std::vector<CopySource>> find_sources(const dockerfile::Copy& copy, const Tree& tree);

// What the layer depends on besides the instruction and the layers below: names, owners, modes and contents, not times.
Result<std::string> digest_of(const std::vector<CopySource>& sources);

struct LayerEntry {
  TreeEntry entry;
  const Tree* tree = nullptr;
  std::string from, text;
};
using LayerEntries = std::map<std::string, LayerEntry>;  // by path in the image; folders above included

struct Owner {
  std::uint32_t user = 0, group = 0;
};

// Where the files come to stand over `root`, the image so far.
Result<LayerEntries> place_files(const dockerfile::Copy& copy, const std::vector<CopySource>& sources, const Tree& root, const std::optional<Owner>& owner);
// WORKDIR; empty where the folder is there.
Result<LayerEntries> place_folder(const std::string& path, const Tree& root, const std::optional<Owner>& owner);

Result<oci::Descriptor> write_layer(store::BlobStore& blobs, const LayerEntries& entries);

// --chown=USER[:GROUP] against the image's own passwd and group; a number alone is the group's number too.
Result<Owner> parse_owner(const std::string& text, const std::string& root_folder);

// Whether ADD unpacks this file: a tar, plain or compressed with gzip or zstd. bzip2 and xz are refused.
Result<bool> is_archive(const Tree& tree, const std::string& file, const TreeEntry& entry);

// Makes files of a part of a tree: for RUN --mount=type=bind from the context, and for ADD.
Result<> materialise(const Tree& tree, const std::string& path, const std::string& target);

}  // namespace slipway::cluster
