// SPDX-License-Identifier: Apache-2.0
// BlobStore: immutable bytes under their SHA-256, in a folder. One store serves builder, registry, node, caches and hub.
//
// A blob is visible only when it is whole, verified and durable (temporary file, fsync, rename, fsync of the folder).
// What nobody leases and no root names is removed by collect(); a lease keeps blobs while they have no root yet, for
// instance between the upload of layers and that of the manifest that names them (T20). Any thread; several processes
// may read the same folder, one (the owner of the lock file) collects.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slipway::store {

struct Digest {
  std::string value;  // "sha256:" and 64 lower-case hex digits
  static Result<Digest> parse(std::string_view text);
  static Digest of(std::string_view bytes);
  std::string_view hex() const { return std::string_view(value).substr(7); }
  auto operator<=>(const Digest&) const = default;
};

class BlobWriter {
 public:
  virtual ~BlobWriter() = default;  // without commit(): nothing stays
  virtual Result<> write(std::string_view bytes) = 0;
  virtual std::uint64_t size() const = 0;
  // Makes the blob visible; `expected`, where given, must be its digest (invalid otherwise, nothing stays).
  virtual Result<Digest> commit(const Digest* expected = nullptr) = 0;
};

class BlobReader {
 public:
  virtual ~BlobReader() = default;
  virtual std::uint64_t size() const = 0;
  virtual Result<std::string> read_at(std::uint64_t offset, std::size_t at_most) = 0;  // empty at the end
  virtual int descriptor() const = 0;  // for sendfile; owned by the reader
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual Result<std::unique_ptr<BlobWriter>> create() = 0;
  virtual Result<Digest> put(std::string_view bytes) = 0;
  virtual Result<std::unique_ptr<BlobReader>> open(const Digest& digest) const = 0;  // not_found
  virtual Result<std::string> get(const Digest& digest, std::size_t limit) const = 0;
  virtual bool has(const Digest& digest) const = 0;
  virtual std::string path_of(const Digest& digest) const = 0;
  // Re-reads a blob and compares: internal, naming file and offset range, where it differs (F5).
  virtual Result<> verify(const Digest& digest) const = 0;

  // A lease keeps every blob that is put or touched under it, until it is released or its time is over.
  virtual Result<> lease(std::string_view lease, const Digest& digest, std::chrono::seconds lifetime) = 0;
  virtual Result<> release(std::string_view lease) = 0;

  struct Collected {
    std::uint64_t blobs = 0, bytes = 0;
  };
  // Removes what `is_root` denies, no lease holds and is older than `grace`.
  virtual Result<Collected> collect(const std::function<bool(const Digest&)>& is_root, std::chrono::seconds grace) = 0;
  virtual Result<> for_each(const std::function<void(const Digest&, std::uint64_t size)>& visit) const = 0;

  static Result<std::unique_ptr<BlobStore>> open_folder(const std::string& folder);
};

}  // namespace slipway::store
