// SPDX-License-Identifier: Apache-2.0
#include "store/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/strings.h"

namespace slipway::store {
namespace {

constexpr std::size_t block = 512;

// A number in octal, or in base 256 where the first bit is set (GNU).
Result<std::uint64_t> number(std::string_view field) {
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80)) {
    std::uint64_t value = static_cast<unsigned char>(field[0]) & 0x7f;
    for (std::size_t i = 1; i < field.size(); ++i) {
      if (value >> 55) return fail(ErrorCode::invalid, "tar: a number is too large");
      value = value << 8 | static_cast<unsigned char>(field[i]);
    }
    return value;
  }
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  field = field.substr(0, field.find_first_of(std::string_view(" \0", 2)));
  std::uint64_t value = 0;
  if (field.empty()) return value;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (error != std::errc() || end != field.data() + field.size()) return fail(ErrorCode::invalid, "tar: a number is not octal");
  return value;
}

std::string text_of(std::string_view field) { return std::string(field.substr(0, field.find('\0'))); }

bool checksum_fits(std::string_view header) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
  const auto stored = number(header.substr(148, 8));
  return stored && *stored == sum;
}

Result<TarType> type_of(char flag) {
  switch (flag) {
    case '0': case '\0': case '7': return TarType::file;
    case '1': return TarType::hard_link;
    case '2': return TarType::symlink;
    case '3': return TarType::character_device;
    case '4': return TarType::block_device;
    case '5': return TarType::folder;
    case '6': return TarType::fifo;
    default: return fail(ErrorCode::invalid, fmt::format("tar: entries of type '{}' are not supported", printable(std::string_view(&flag, 1))));
  }
}

}  // namespace

Result<std::string> TarReader::exactly(std::size_t size) {
  while (buffer_.size() < size) {
    std::string piece = TRY(source_(std::max<std::size_t>(size - buffer_.size(), 256 * 1024)));
    if (piece.empty()) break;
    buffer_ += piece;
  }
  std::string out = buffer_.substr(0, size);
  buffer_.erase(0, out.size());
  return out;
}

Result<std::string> TarReader::read(std::size_t at_most) {
  if (left_ == 0) return std::string();
  if (buffer_.empty()) buffer_ = TRY(source_(256 * 1024));
  if (buffer_.empty()) return fail(ErrorCode::invalid, "tar: the archive ends in the middle of a file");
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>({left_, at_most, buffer_.size()}));
  std::string out;
  if (size == buffer_.size()) out.swap(buffer_);
  else {
    out = buffer_.substr(0, size);
    buffer_.erase(0, size);
  }
  left_ -= size;
  return out;
}

Result<> TarReader::skip_content() {
  while (left_ > 0) TRY(read(1 << 20));
  if (padding_ > 0 && TRY(exactly(static_cast<std::size_t>(padding_))).size() != padding_) return fail(ErrorCode::invalid, "tar: the archive ends too early");
  padding_ = 0;
  return {};
}

// "27 path=some/where\n" records.
Result<> TarReader::extend(std::string_view records) {
  while (!records.empty()) {
    std::size_t size = 0;
    const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), size);
    const auto blank = static_cast<std::size_t>(end - records.data());
    if (error != std::errc() || size > records.size() || size <= blank + 1 || records[blank] != ' ' || records[size - 1] != '\n')
      return fail(ErrorCode::invalid, "tar: a PAX record is malformed");
    const auto record = records.substr(blank + 1, size - blank - 2);
    const auto equal = record.find('=');
    if (equal == record.npos) return fail(ErrorCode::invalid, "tar: a PAX record is malformed");
    if (record.starts_with("GNU.sparse.")) return fail(ErrorCode::invalid, "tar: sparse files are not supported");
    extensions_[std::string(record.substr(0, equal))] = std::string(record.substr(equal + 1));
    records.remove_prefix(size);
  }
  return {};
}

Result<> TarReader::apply_extensions(TarEntry& entry) {
  if (!long_name_.empty()) entry.path = std::exchange(long_name_, {});
  if (!long_link_.empty()) entry.link = std::exchange(long_link_, {});
  for (const auto& [key, value] : std::exchange(extensions_, {})) {
    const auto whole = parse_int(std::string_view(value).substr(0, value.find('.')));
    if (key == "path") entry.path = value;
    else if (key == "linkpath") entry.link = value;
    else if (key.starts_with("SCHILY.xattr.")) entry.attributes[key.substr(13)] = value;
    else if (key == "size" || key == "uid" || key == "gid" || key == "mtime") {
      if (!whole || (*whole < 0 && key != "mtime")) return fail(ErrorCode::invalid, "tar: a PAX number is malformed");
      if (key == "size") entry.size = static_cast<std::uint64_t>(*whole);
      if (key == "uid") entry.user = static_cast<std::uint32_t>(*whole);
      if (key == "gid") entry.group = static_cast<std::uint32_t>(*whole);
      if (key == "mtime") entry.seconds = *whole;
      if (const auto dot = value.find('.'); key == "mtime" && dot != value.npos)
        entry.nanoseconds = static_cast<std::uint32_t>(parse_int((value.substr(dot + 1) + "000000000").substr(0, 9)).value_or(0));
    }
  }
  if (entry.path.size() > limits_.path || entry.link.size() > limits_.path) return fail(ErrorCode::too_large, fmt::format("tar: a path is longer than {} bytes", limits_.path));
  if (entry.path.empty() || entry.path.find('\0') != entry.path.npos || entry.link.find('\0') != entry.link.npos) return fail(ErrorCode::invalid, "tar: a path is empty or has a NUL byte");
  return {};
}

Result<TarEntry> TarReader::decode(std::string_view header) {
  TarEntry entry;
  entry.type = TRY(type_of(header[156]));
  entry.path = text_of(header.substr(0, 100));
  if (header.substr(257, 6) == std::string_view("ustar\0", 6))
    if (const std::string prefix = text_of(header.substr(345, 155)); !prefix.empty()) entry.path = prefix + "/" + entry.path;
  entry.mode = static_cast<std::uint32_t>(TRY(number(header.substr(100, 8)))) & 07777;
  entry.user = static_cast<std::uint32_t>(TRY(number(header.substr(108, 8))));
  entry.group = static_cast<std::uint32_t>(TRY(number(header.substr(116, 8))));
  entry.size = TRY(number(header.substr(124, 12)));
  entry.seconds = static_cast<std::int64_t>(TRY(number(header.substr(136, 12))));
  entry.link = text_of(header.substr(157, 100));
  entry.device_major = static_cast<std::uint32_t>(TRY(number(header.substr(329, 8))));
  entry.device_minor = static_cast<std::uint32_t>(TRY(number(header.substr(337, 8))));
  TRY(apply_extensions(entry));
  if (entry.type != TarType::file) entry.size = 0;
  return entry;
}

Result<std::optional<TarEntry>> TarReader::next() {
  TRY(skip_content());
  for (;;) {
    const std::string header = TRY(exactly(block));
    if (header.empty() || header == std::string(block, '\0')) return std::nullopt;
    if (header.size() != block) return fail(ErrorCode::invalid, "tar: the archive ends in the middle of a header");
    if (!checksum_fits(header)) return fail(ErrorCode::invalid, "tar: a header's checksum is wrong: not a tar archive, or a damaged one");
    if (++entries_ > limits_.entries) return fail(ErrorCode::too_large, fmt::format("tar: more than {} entries", limits_.entries));
    const char type = header[156];
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
      const std::uint64_t size = TRY(number(std::string_view(header).substr(124, 12)));
      if (size > limits_.extended_header) return fail(ErrorCode::too_large, fmt::format("tar: an extended header of more than {} bytes", limits_.extended_header));
      const std::string content = TRY(exactly(static_cast<std::size_t>(size)));
      TRY(exactly((block - size % block) % block));
      if (content.size() != size) return fail(ErrorCode::invalid, "tar: the archive ends too early");
      if (type == 'x') TRY(extend(content));
      if (type == 'L') long_name_ = text_of(content);
      if (type == 'K') long_link_ = text_of(content);
      continue;
    }
    TarEntry entry = TRY(decode(header));
    if ((bytes_ += entry.size) > limits_.bytes) return fail(ErrorCode::too_large, fmt::format("tar: more than {} bytes", limits_.bytes));
    left_ = entry.size;
    padding_ = (block - entry.size % block) % block;
    return entry;
  }
}

Result<> TarWriter::header(const TarEntry& entry, char type, std::string_view name, std::uint64_t size) {
  std::string out(block, '\0');
  const auto put = [&](std::size_t at, std::string_view text) { text.copy(out.data() + at, text.size()); };
  const auto octal = [&](std::size_t at, std::size_t width, std::uint64_t value) { put(at, fmt::format("{:0{}o}", value, width - 1)); };
  put(0, name.substr(0, 100));
  octal(100, 8, entry.mode);
  octal(108, 8, entry.user <= 07777777 ? entry.user : 0);
  octal(116, 8, entry.group <= 07777777 ? entry.group : 0);
  octal(124, 12, size <= 077777777777 ? size : 0);
  octal(136, 12, static_cast<std::uint64_t>(std::clamp<std::int64_t>(entry.seconds, 0, 077777777777)));
  out[156] = type;
  put(157, std::string_view(entry.link).substr(0, 100));
  put(257, std::string_view("ustar\00000", 8));
  octal(329, 8, entry.device_major);
  octal(337, 8, entry.device_minor);
  std::uint64_t sum = 8 * ' ';
  for (const char c : out) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  return sink_(out);
}

namespace {

std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t plain = key.size() + value.size() + 3;
  std::size_t size = plain + std::to_string(plain).size();
  if (plain + std::to_string(size).size() != size) ++size;
  return fmt::format("{} {}={}\n", size, key, value);
}

std::string extensions_of(const TarEntry& entry) {
  std::string out;
  if (entry.path.size() > 100) out += pax_record("path", entry.path);
  if (entry.link.size() > 100) out += pax_record("linkpath", entry.link);
  if (entry.size > 077777777777) out += pax_record("size", std::to_string(entry.size));
  if (entry.user > 07777777) out += pax_record("uid", std::to_string(entry.user));
  if (entry.group > 07777777) out += pax_record("gid", std::to_string(entry.group));
  for (const auto& [key, value] : entry.attributes) out += pax_record("SCHILY.xattr." + key, value);
  return out;
}

}  // namespace

Result<> TarWriter::pad() {
  const std::uint64_t rest = (block - written_ % block) % block;
  written_ = 0;
  return rest ? sink_(std::string(static_cast<std::size_t>(rest), '\0')) : Result<>{};
}

Result<> TarWriter::add(const TarEntry& entry) {
  TRY(pad());
  if (const std::string extra = extensions_of(entry); !extra.empty()) {
    TarEntry pax{.path = "PaxHeaders/x"};
    TRY(header(pax, 'x', pax.path, extra.size()));
    TRY(write(extra));
    TRY(pad());
  }
  constexpr std::string_view flags = "0123456";  // in the order of TarType
  return header(entry, flags[static_cast<std::size_t>(entry.type)], entry.path, entry.type == TarType::file ? entry.size : 0);
}

Result<> TarWriter::write(std::string_view content) {
  written_ += content.size();
  return sink_(content);
}

Result<> TarWriter::finish() {
  TRY(pad());
  return sink_(std::string(2 * block, '\0'));
}

}  // namespace slipway::store
