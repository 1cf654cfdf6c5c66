// SPDX-License-Identifier: Apache-2.0
#include "store/log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/files.h"
#include "store/encoding.h"

namespace slipway::store {
namespace {

constexpr std::string_view segment_magic = "slwlog01";
constexpr std::uint32_t frame_magic = 0x4c575331;
constexpr std::uint64_t sector = 512;
constexpr std::uint64_t header_bytes = 32;  // of a frame
constexpr std::uint64_t largest_frame = 256 * 1024 * 1024;

std::uint64_t chain(std::uint64_t hash, std::uint64_t sequence, std::uint32_t checksum, std::uint64_t length) {
  for (const std::uint64_t word : {sequence, static_cast<std::uint64_t>(checksum), length}) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return hash;
}

bool all_zero(std::string_view bytes) { return bytes.find_first_not_of('\0') == std::string_view::npos; }

// True where some sector that the bytes at `offset` cover holds none of them.
bool has_untouched_sector(std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto piece = std::min<std::uint64_t>(sector - offset % sector, bytes.size());
    if (all_zero(bytes.substr(0, piece))) return true;
    bytes.remove_prefix(piece);
    offset += piece;
  }
  return false;
}

std::string segment_header(std::uint64_t first, std::uint64_t hash) {
  std::string out(segment_magic);
  put_number(out, first);
  put_number(out, hash);
  put_number(out, crc32c(out));
  return out;
}

std::string frame_header(LogPosition position, std::string_view payload, std::uint32_t checksum) {
  std::string out;
  put_number(out, frame_magic);
  put_number(out, static_cast<std::uint32_t>(payload.size()));
  put_number(out, position.sequence);
  put_number(out, position.hash);
  put_number(out, checksum);
  put_number(out, crc32c(out));
  return out;
}

struct FrameHeader {
  bool valid = false;
  std::uint32_t length = 0;
  LogPosition position;
  std::uint32_t checksum = 0;
};

FrameHeader parse_frame_header(std::string_view bytes) {
  FrameHeader out;
  Decoder in(bytes);
  const auto magic = in.number<std::uint32_t>();
  out.length = in.number<std::uint32_t>();
  out.position.sequence = in.number<std::uint64_t>();
  out.position.hash = in.number<std::uint64_t>();
  out.checksum = in.number<std::uint32_t>();
  const auto check = in.number<std::uint32_t>();
  out.valid = in.ok() && magic == frame_magic && check == crc32c(bytes.substr(0, header_bytes - 4)) &&
              out.length <= largest_frame;
  return out;
}

}  // namespace

// Reads the frames of one segment. The last segment may end in a torn frame.
struct Log::Reader {
  File& file;
  const Segment& segment;
  bool last;
  std::uint64_t offset = sector;
  LogPosition position;
  std::string payload;

  std::unexpected<Error> rotten(std::string_view what) const {
    return fail(ErrorCode::internal, fmt::format("{}: offset {}: {}; the log is damaged: restore a backup",
                                                 segment.path, offset, what));
  }

  // False at the end.
  Result<bool> next() {
    const std::string head = TRY(file.read_at(offset, header_bytes));
    if (head.size() < header_bytes || all_zero(head)) return false;
    const FrameHeader header = parse_frame_header(head);
    if (!header.valid) {
      if (last && has_untouched_sector(offset, head)) return false;
      return rotten("a frame's header is wrong");
    }
    if (header.position.sequence != position.sequence + 1) return rotten("a frame has the wrong number");
    payload = TRY(file.read_at(offset + header_bytes, header.length));
    const bool whole = payload.size() == header.length && crc32c(payload) == header.checksum;
    if (!whole && last && (payload.size() < header.length || has_untouched_sector(offset, head + payload))) return false;
    if (!whole) return rotten("a frame's checksum is wrong");
    if (chain(position.hash, header.position.sequence, header.checksum, header.length) != header.position.hash)
      return rotten("the running hash is wrong");
    position = header.position;
    offset += header_bytes + header.length;
    return true;
  }
};

Result<std::unique_ptr<Log>> Log::open(FileSystem& files, LogConfig config, LogPosition from, const Visit& visit) {
  TRY(files.make_folder(config.folder));
  std::unique_ptr<Log> log(new Log(files, std::move(config)));
  TRY(log->find_segments());
  TRY(log->recover(from, visit));
  return log;
}

Result<> Log::find_segments() {
  for (const std::string& name : TRY(files_.list(config_.folder))) {
    const std::string path = path_of(name);
    if (name == "log.tmp" || name == "log.spare") TRY(files_.remove(path));
    else if (name.starts_with("log-")) segments_.push_back(TRY(read_header(path)));
  }
  std::ranges::sort(segments_, {}, &Segment::first);
  // A name that was seen must not vanish in the next power cut.
  TRY(files_.sync_folder(config_.folder));
  return {};
}

Result<Log::Segment> Log::read_header(const std::string& path) {
  const auto file = TRY(files_.open(path, OpenMode::read));
  const std::string bytes = TRY(file->read_at(0, sector));
  Decoder in(std::string_view(bytes).substr(std::min(bytes.size(), segment_magic.size())));
  Segment segment{path, in.number<std::uint64_t>(), in.number<std::uint64_t>()};
  const std::string expected = segment_header(segment.first, segment.hash);
  if (!in.ok() || !bytes.starts_with(expected) || path != path_of(fmt::format("log-{:016x}", segment.first)))
    return fail(ErrorCode::internal, fmt::format("{}: offset 0: the segment's header is wrong; the log is damaged: "
                                                 "restore a backup", path));
  return segment;
}

Result<> Log::recover(LogPosition from, const Visit& visit) {
  position_ = from;
  if (segments_.empty()) return {};
  if (segments_[0].first > from.sequence + 1)
    return fail(ErrorCode::internal, fmt::format("{}: the log begins at frame {}, but frames after {} are needed",
                                                 config_.folder, segments_[0].first, from.sequence));
  LogPosition reached{segments_[0].first - 1, segments_[0].hash};
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    const bool last = i + 1 == segments_.size();
    if (reached != LogPosition{segment.first - 1, segment.hash})
      return fail(ErrorCode::internal, fmt::format("{}: offset 0: the segment does not continue the one before it",
                                                   segment.path));
    const auto file = TRY(files_.open(segment.path, OpenMode::read));
    // What is served from here on must not vanish in the next power cut.
    if (last) TRY(file->sync());
    Reader reader{*file, segment, last, sector, reached, {}};
    while (last || reader.position.sequence + 1 < segments_[i + 1].first) {
      if (!TRY(reader.next())) {
        if (!last) return reader.rotten("frames are missing");
        break;
      }
      if (reader.position.sequence == from.sequence && reader.position.hash != from.hash)
        return reader.rotten("the running hash is not that of the snapshot");
      if (reader.position.sequence > from.sequence) TRY(visit(reader.position.sequence, reader.payload));
    }
    reached = reader.position;
  }
  if (reached.sequence < from.sequence)
    return fail(ErrorCode::internal, fmt::format("{}: the log ends at frame {}, before the snapshot's frame {}",
                                                 config_.folder, reached.sequence, from.sequence));
  position_ = reached;
  return {};
}

Result<std::unique_ptr<File>> Log::make_zeroed(const std::string& path, std::uint64_t size) {
  auto file = TRY(files_.open(path, OpenMode::create));
  TRY(file->allocate(size));
  // Written, not only reserved, so that a later sync has no metadata to write.
  const std::string zeros(256 * 1024, '\0');
  for (std::uint64_t at = 0; at < size; at += zeros.size())
    TRY(file->write_at(at, std::string_view(zeros).substr(0, std::min<std::uint64_t>(zeros.size(), size - at))));
  TRY(file->sync());
  return file;
}

void Log::refill_spare() {
  if (spare_ != nullptr) return;
  auto made = make_zeroed(path_of("log.spare"), config_.segment_bytes);
  if (made) spare_ = std::move(*made);
  else (void)files_.remove(path_of("log.spare"));
}

Result<> Log::roll(std::uint64_t need, Reserve reserve) {
  const std::uint64_t size = std::max(config_.segment_bytes, sector + need);
  std::string path = path_of("log.tmp");
  auto made = make_zeroed(path, size);
  if (!made) {
    (void)files_.remove(path);
    if (made.error().code != ErrorCode::no_space || reserve == Reserve::keep || spare_ == nullptr ||
        size > config_.segment_bytes)
      return std::unexpected(made.error());
    path = path_of("log.spare");
    made = std::move(spare_);
  }
  const std::string target = path_of(fmt::format("log-{:016x}", position_.sequence + 1));
  TRY((*made)->write_at(0, segment_header(position_.sequence + 1, position_.hash)));
  TRY((*made)->sync());
  TRY(files_.rename(path, target));
  TRY(files_.sync_folder(config_.folder));
  file_ = std::move(*made);
  offset_ = sector;
  end_ = size;
  std::erase_if(segments_, [&](const Segment& segment) { return segment.path == target; });
  segments_.push_back({target, position_.sequence + 1, position_.hash});
  refill_spare();
  return {};
}

Result<> Log::append(std::string_view payload, Reserve reserve) {
  if (failed_) return fail(ErrorCode::unavailable, "the log failed earlier and takes no more writes");
  if (payload.size() > largest_frame) return fail(ErrorCode::too_large, "a log frame is larger than 256 MiB");
  const std::uint64_t need = header_bytes + payload.size();
  if (file_ == nullptr || end_ - offset_ < need) {
    if (auto rolled = roll(need, reserve); !rolled) {
      failed_ = rolled.error().code != ErrorCode::no_space;
      return rolled;
    }
  }
  const std::uint32_t checksum = crc32c(payload);
  LogPosition next{position_.sequence + 1, 0};
  next.hash = chain(position_.hash, next.sequence, checksum, payload.size());
  std::string frame = frame_header(next, payload, checksum);
  frame += payload;
  auto written = file_->write_at(offset_, frame);
  if (written) written = file_->sync();
  if (!written) {
    failed_ = true;
    // Not no_space: blocks were reserved, so this is the disk's failure and not a state that heals.
    return fail(ErrorCode::unavailable, written.error().to_string());
  }
  offset_ += need;
  bytes_ += need;
  position_ = next;
  return {};
}

Result<> Log::drop_through(std::uint64_t sequence) {
  while (segments_.size() > 1 && segments_[1].first <= sequence + 1) {
    TRY(files_.remove(segments_[0].path));
    segments_.erase(segments_.begin());
  }
  return {};
}

}  // namespace slipway::store
