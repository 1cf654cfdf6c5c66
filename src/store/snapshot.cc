// SPDX-License-Identifier: Apache-2.0
#include "store/snapshot.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "store/encoding.h"

namespace slipway::store {
namespace {

constexpr std::string_view magic = "slwsnp01";
constexpr std::size_t block_bytes = 256 * 1024;
constexpr std::uint32_t end_mark = 0xffffffff;
constexpr std::size_t head_bytes = 8 + 8 + 8 + 8 + 4;

std::string encode_head(const SnapshotHead& head) {
  std::string out(magic);
  put_number(out, head.position.sequence);
  put_number(out, head.position.hash);
  put_number(out, head.revision);
  put_number(out, crc32c(out));
  return out;
}

class Writer {
 public:
  explicit Writer(File& file) : file_(file) {}
  Result<> write(std::string_view bytes) {
    TRY(file_.write_at(offset_, bytes));
    offset_ += bytes.size();
    return {};
  }
  Result<> add(const SnapshotEntry& entry) {
    put_number(block_, entry.revision);
    put_text(block_, entry.key);
    put_text(block_, entry.value);
    ++count_;
    return block_.size() < block_bytes ? Result<>{} : flush();
  }
  Result<> flush() {
    if (block_.empty()) return {};
    std::string head;
    put_number(head, static_cast<std::uint32_t>(block_.size()));
    put_number(head, crc32c(block_));
    TRY(write(head));
    TRY(write(block_));
    block_.clear();
    return {};
  }
  Result<> finish() {
    TRY(flush());
    std::string end;
    put_number(end, end_mark);
    put_number(end, count_);
    put_number(end, crc32c(end));
    return write(end);
  }

 private:
  File& file_;
  std::uint64_t offset_ = 0, count_ = 0;
  std::string block_;
};

std::unexpected<Error> damaged(const std::string& path, std::uint64_t offset) {
  return fail(ErrorCode::internal, fmt::format("{}: offset {}: the snapshot is damaged: restore a backup", path, offset));
}

Result<std::uint64_t> visit_block(std::string_view block, const SnapshotSink& visit) {
  Decoder in(block);
  std::uint64_t count = 0;
  while (!in.at_end()) {
    SnapshotEntry entry;
    entry.revision = in.number<std::uint64_t>();
    entry.key = in.text();
    entry.value = in.text();
    if (!in.ok()) return fail(ErrorCode::internal, "a snapshot block ends inside an entry");
    TRY(visit(entry));
    ++count;
  }
  return count;
}

Result<SnapshotHead> read_file_of(File& file, const std::string& path, const SnapshotSink& visit) {
  const std::string head = TRY(file.read_at(0, head_bytes));
  Decoder in(std::string_view(head).substr(std::min(head.size(), magic.size())));
  SnapshotHead out;
  out.position.sequence = in.number<std::uint64_t>();
  out.position.hash = in.number<std::uint64_t>();
  out.revision = in.number<std::uint64_t>();
  if (head != encode_head(out)) return damaged(path, 0);
  std::uint64_t offset = head_bytes, count = 0;
  while (true) {
    const std::string frame = TRY(file.read_at(offset, 16));
    Decoder block_head(frame);
    const auto length = block_head.number<std::uint32_t>();
    if (length == end_mark) {
      const auto expected = block_head.number<std::uint64_t>();
      const auto check = block_head.number<std::uint32_t>();
      if (!block_head.ok() || check != crc32c(std::string_view(frame).substr(0, 12)) || expected != count)
        return damaged(path, offset);
      return out;
    }
    const auto check = block_head.number<std::uint32_t>();
    if (!block_head.ok()) return damaged(path, offset);
    const std::string block = TRY(file.read_at(offset + 8, length));
    if (block.size() != length || crc32c(block) != check) return damaged(path, offset);
    count += TRY(at(visit_block(block, visit), path));
    offset += 8 + length;
  }
}

}  // namespace

Result<> write_snapshot(FileSystem& files, const std::string& folder, const SnapshotHead& head,
                        const std::function<Result<>(const SnapshotSink&)>& produce) {
  const std::string temporary = folder + "/snapshot.tmp";
  const std::string name = fmt::format("snapshot-{:016x}", head.position.sequence);
  (void)files.remove(temporary);
  {
    const auto file = TRY(files.open(temporary, OpenMode::create));
    Writer writer(*file);
    TRY(writer.write(encode_head(head)));
    TRY(produce([&](const SnapshotEntry& entry) { return writer.add(entry); }));
    TRY(writer.finish());
    TRY(file->sync());
  }
  TRY(files.rename(temporary, folder + "/" + name));
  TRY(files.sync_folder(folder));
  for (const std::string& other : TRY(files.list(folder)))
    if (other.starts_with("snapshot-") && other != name) TRY(files.remove(folder + "/" + other));
  return {};
}

Result<std::optional<SnapshotHead>> read_snapshot(FileSystem& files, const std::string& folder, const SnapshotSink& visit) {
  std::string newest;
  for (const std::string& name : TRY(files.list(folder)))
    if (name.starts_with("snapshot-")) newest = name;
  if (newest.empty()) return std::nullopt;
  const std::string path = folder + "/" + newest;
  const auto file = TRY(files.open(path, OpenMode::read));
  return TRY(read_file_of(*file, path, visit));
}

}  // namespace slipway::store
