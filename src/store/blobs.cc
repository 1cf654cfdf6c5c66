// SPDX-License-Identifier: Apache-2.0
#include "store/blobs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>

#include "base/digest.h"
#include "base/files.h"
#include "base/random.h"
#include "base/strings.h"

namespace slipway::store {
namespace {

constexpr std::string_view prefix = "sha256:";
constexpr std::size_t piece_bytes = 256 * 1024;

// What can not hold slashes, dots or ends of lines, whatever the lease is called.
std::string lease_file(const std::string& folder, std::string_view lease) {
  return folder + "/leases/" + sha256_hex(lease);
}

class Reader final : public BlobReader {
 public:
  Reader(UniqueFd fd, std::uint64_t size, std::string path) : fd_(std::move(fd)), size_(size), path_(std::move(path)) {}
  std::uint64_t size() const override { return size_; }
  int descriptor() const override { return fd_.get(); }
  Result<std::string> read_at(std::uint64_t offset, std::size_t at_most) override {
    if (offset >= size_) return std::string();
    std::string out(static_cast<std::size_t>(std::min<std::uint64_t>(at_most, size_ - offset)), '\0');
    std::size_t have = 0;
    while (have < out.size()) {
      const ssize_t n = ::pread(fd_.get(), out.data() + have, out.size() - have, static_cast<off_t>(offset + have));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read", path_);
      if (n == 0) break;
      have += static_cast<std::size_t>(n);
    }
    out.resize(have);
    return out;
  }

 private:
  UniqueFd fd_;
  std::uint64_t size_;
  std::string path_;
};

Result<std::string> file_digest(BlobReader& reader) {
  Sha256 hash;
  for (std::uint64_t at = 0; at < reader.size();) {
    const std::string piece = TRY(reader.read_at(at, piece_bytes));
    if (piece.empty()) break;
    hash.update(piece);
    at += piece.size();
  }
  return to_hex(hash.finish());
}

class FolderStore;

class Writer final : public BlobWriter {
 public:
  Writer(const FolderStore& store, UniqueFd fd, std::string path)
      : store_(store), fd_(std::move(fd)), path_(std::move(path)) {}
  ~Writer() override {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  std::uint64_t size() const override { return size_; }
  Result<> write(std::string_view bytes) override {
    if (path_.empty()) return fail(ErrorCode::internal, "a blob is written to after its end");
    TRY(write_all(fd_.get(), bytes));
    hash_.update(bytes);
    size_ += bytes.size();
    return {};
  }
  Result<Digest> commit(const Digest* expected) override;

 private:
  const FolderStore& store_;
  UniqueFd fd_;
  std::string path_;  // empty once committed
  Sha256 hash_;
  std::uint64_t size_ = 0;
};

class FolderStore final : public BlobStore {
 public:
  explicit FolderStore(std::string folder) : folder_(std::move(folder)) {}

  Result<> open() {
    for (const char* name : {"/sha256", "/tmp", "/leases"}) TRY(make_folders(folder_ + name, 0755));
    lock_ = UniqueFd(::open((folder_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock_) return fail_errno("open", folder_ + "/lock");
    owner_ = ::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0;
    if (!owner_) return {};
    // What a process that is gone left; another one may be in the middle of a pull.
    for (const std::string& name : TRY(list_folder(folder_ + "/tmp"))) {
      const auto writer = parse_int(std::string_view(name).substr(0, name.find('-')));
      const bool alive = writer && *writer > 0 && (::kill(static_cast<pid_t>(*writer), 0) == 0 || errno == EPERM);
      if (!alive) TRY(remove_tree(folder_ + "/tmp/" + name));
    }
    return {};
  }

  Result<std::unique_ptr<BlobWriter>> create() override {
    const std::string path = fmt::format("{}/tmp/{}-{}", folder_, ::getpid(), SystemRandom().uuid());
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd) return fail_errno("open", path);
    return std::make_unique<Writer>(*this, std::move(fd), path);
  }

  Result<Digest> put(std::string_view bytes) override {
    auto writer = TRY(create());
    TRY(writer->write(bytes));
    return writer->commit(nullptr);
  }

  Result<std::unique_ptr<BlobReader>> open(const Digest& digest) const override {
    const std::string path = path_of(digest);
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd && errno == ENOENT) return fail(ErrorCode::not_found, fmt::format("no blob {}", digest.value));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) return fail_errno("open", path);
    return std::make_unique<Reader>(std::move(fd), static_cast<std::uint64_t>(status.st_size), path);
  }

  Result<std::string> get(const Digest& digest, std::size_t limit) const override {
    const auto reader = TRY(open(digest));
    if (reader->size() > limit)
      return fail(ErrorCode::too_large, fmt::format("blob {} has {} bytes, more than {}", digest.value, reader->size(), limit));
    return reader->read_at(0, static_cast<std::size_t>(reader->size()));
  }

  bool has(const Digest& digest) const override { return exists(path_of(digest)); }

  std::string path_of(const Digest& digest) const override {
    return fmt::format("{}/sha256/{}/{}", folder_, digest.hex().substr(0, 2), digest.hex());
  }

  Result<> verify(const Digest& digest) const override {
    const auto reader = TRY(open(digest));
    const std::string found = TRY(file_digest(*reader));
    if (found == digest.hex()) return {};
    return fail(ErrorCode::internal, fmt::format("{}: bytes 0-{} have the digest sha256:{}: the blob is damaged",
                                                 path_of(digest), reader->size(), found));
  }

  Result<> lease(std::string_view lease, const Digest& digest, std::chrono::seconds lifetime) override {
    std::lock_guard lock(mutex_);
    const std::string path = lease_file(folder_, lease);
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!fd) return fail_errno("open", path);
    TRY(write_all(fd.get(), fmt::format("{} {}\n", ::time(nullptr) + lifetime.count(), digest.value)));
    if (::fdatasync(fd.get()) != 0) return fail_errno("sync", path);
    return {};
  }

  Result<> release(std::string_view lease) override {
    std::lock_guard lock(mutex_);
    const std::string path = lease_file(folder_, lease);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove", path);
    return {};
  }

  Result<Collected> collect(const std::function<bool(const Digest&)>& is_root, std::chrono::seconds grace) override {
    if (!owner_) return fail(ErrorCode::forbidden, folder_ + " is owned by another process, which collects it");
    std::lock_guard lock(mutex_);
    const std::set<std::string> leased = TRY(live_leases());
    const std::time_t newest = ::time(nullptr) - grace.count();
    Collected out;
    TRY(walk([&](const Digest& digest, const struct stat& status) {
      if (status.st_mtime > newest || leased.contains(digest.value) || is_root(digest)) return;
      if (::unlink(path_of(digest).c_str()) != 0) return;
      ++out.blobs;
      out.bytes += static_cast<std::uint64_t>(status.st_size);
    }));
    return out;
  }

  Result<> for_each(const std::function<void(const Digest&, std::uint64_t size)>& visit) const override {
    return walk([&](const Digest& digest, const struct stat& status) {
      visit(digest, static_cast<std::uint64_t>(status.st_size));
    });
  }

  // Moves a finished temporary file to its name. A blob that is there already is kept, and young again.
  Result<> adopt(const std::string& temporary, const Digest& digest) const {
    std::lock_guard lock(mutex_);
    const std::string path = path_of(digest);
    const std::string folder = parent_path(path);
    const bool new_folder = !exists(folder);
    TRY(make_folders(folder, 0755));
    if (::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0) {
      ::unlink(temporary.c_str());
      return {};
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("rename", temporary);
    TRY(sync_folder(folder));
    return new_folder ? sync_folder(parent_path(folder)) : Result<>{};
  }

 private:
  static Result<> sync_folder(const std::string& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return fail_errno("sync folder", folder);
    return {};
  }

  // The digests that leases hold now; leases with nothing live are removed.
  Result<std::set<std::string>> live_leases() const {
    std::set<std::string> out;
    const std::int64_t now = ::time(nullptr);
    for (const std::string& name : TRY(list_folder(folder_ + "/leases"))) {
      bool any = false;
      const std::string text = TRY(read_file(folder_ + "/leases/" + name));
      for (const std::string_view line : split_lines(text)) {
        const std::size_t space = line.find(' ');
        const auto until = parse_int(line.substr(0, space));
        // A line that is cut off by a crash was never acknowledged.
        if (space == line.npos || !until || *until <= now) continue;
        any = true;
        out.emplace(line.substr(space + 1));
      }
      if (!any) ::unlink((folder_ + "/leases/" + name).c_str());
    }
    return out;
  }

  template <class Visit>
  Result<> walk(Visit visit) const {
    const std::string top = folder_ + "/sha256";
    for (const std::string& part : TRY(list_folder(top)))
      for (const std::string& name : TRY(list_folder(top + "/" + part))) {
        const auto digest = Digest::parse(std::string(prefix) + name);
        struct stat status {};
        if (digest && ::stat((top + "/" + part + "/" + name).c_str(), &status) == 0) visit(*digest, status);
      }
    return {};
  }

  std::string folder_;
  UniqueFd lock_;
  bool owner_ = false;
  mutable std::mutex mutex_;  // between a new name, a lease and a collection
};

Result<Digest> Writer::commit(const Digest* expected) {
  if (path_.empty()) return fail(ErrorCode::internal, "a blob is committed twice");
  const Digest digest{std::string(prefix) + to_hex(hash_.finish())};
  const std::string path = std::exchange(path_, {});
  if (expected != nullptr && *expected != digest) {
    ::unlink(path.c_str());
    return fail(ErrorCode::invalid, fmt::format("the digest is {}, not {}", digest.value, expected->value));
  }
  Result<> done;
  if (::fdatasync(fd_.get()) != 0) done = fail_errno("sync", path);
  if (done) done = store_.adopt(path, digest);
  if (!done) ::unlink(path.c_str());
  TRY(std::move(done));
  return digest;
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != prefix.size() + 64 || !text.starts_with(prefix) || !std::ranges::all_of(text.substr(7), is_hex))
    return fail(ErrorCode::invalid, fmt::format("not a digest: {}", printable(text.substr(0, 100))));
  return Digest{std::string(text)};
}

Digest Digest::of(std::string_view bytes) { return {std::string(prefix) + sha256_hex(bytes)}; }

Result<std::unique_ptr<BlobStore>> BlobStore::open_folder(const std::string& folder) {
  auto store = std::make_unique<FolderStore>(folder);
  TRY(store->open());
  return store;
}

}  // namespace slipway::store
