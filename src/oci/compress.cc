// SPDX-License-Identifier: Apache-2.0
#include "oci/compress.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <memory>

namespace slipway::oci {
namespace {

constexpr std::size_t piece_size = 256 * 1024;

class Counted {
 public:
  Result<> count(std::uint64_t in, std::uint64_t out) {
    in_ += in;
    out_ += out;
    if (out_ > max_unpacked) return fail(ErrorCode::too_large, fmt::format("more than {} bytes when decompressed", max_unpacked));
    if (out_ > (1 << 20) && out_ > in_ * max_ratio) return fail(ErrorCode::too_large, fmt::format("decompresses to more than {} times its size", max_ratio));
    return {};
  }

 private:
  std::uint64_t in_ = 0, out_ = 0;
};

class Gzip final {
 public:
  Gzip(ByteSource source, std::string first) : source_(std::move(source)), in_(std::move(first)) { ::inflateInit2(&stream_, 15 + 16); }
  ~Gzip() { ::inflateEnd(&stream_); }

  Result<std::string> read(std::size_t) {
    std::string out(piece_size, '\0');
    while (!ended_) {
      if (in_.empty()) in_ = TRY(source_(piece_size));
      if (in_.empty()) return fail(ErrorCode::invalid, "the gzip stream ends too early");
      stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
      stream_.avail_in = static_cast<uInt>(in_.size());
      stream_.next_out = reinterpret_cast<Bytef*>(out.data());
      stream_.avail_out = static_cast<uInt>(out.size());
      const int code = ::inflate(&stream_, Z_NO_FLUSH);
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) return fail(ErrorCode::invalid, "the gzip stream is damaged");
      const std::size_t used = in_.size() - stream_.avail_in, made = out.size() - stream_.avail_out;
      in_.erase(0, used);
      TRY(counted_.count(used, made));
      if (code == Z_STREAM_END) TRY(next_member());
      if (made > 0) return out.resize(made), out;
    }
    return std::string();
  }

 private:
  // Several gzip members in a row are one stream (RFC 1952 section 2.2).
  Result<> next_member() {
    if (in_.empty()) in_ = TRY(source_(piece_size));
    ended_ = in_.empty();
    if (!ended_) ::inflateReset(&stream_);
    return {};
  }

  ByteSource source_;
  std::string in_;
  z_stream stream_{};
  Counted counted_;
  bool ended_ = false;
};

class Zstd final {
 public:
  Zstd(ByteSource source, std::string first) : source_(std::move(source)), in_(std::move(first)), stream_(ZSTD_createDStream()) {
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 27);
  }
  ~Zstd() { ZSTD_freeDStream(stream_); }

  Result<std::string> read(std::size_t) {
    std::string out(piece_size, '\0');
    for (;;) {
      if (in_.empty()) {
        in_ = TRY(source_(piece_size));
        if (in_.empty()) return frame_open_ ? Result<std::string>(fail(ErrorCode::invalid, "the zstd stream ends too early")) : std::string();
      }
      ZSTD_inBuffer from{in_.data(), in_.size(), 0};
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      const std::size_t code = ZSTD_decompressStream(stream_, &to, &from);
      if (ZSTD_isError(code)) return fail(ErrorCode::invalid, "the zstd stream is damaged");
      frame_open_ = code != 0;
      in_.erase(0, from.pos);
      TRY(counted_.count(from.pos, to.pos));
      if (to.pos > 0) return out.resize(to.pos), out;
    }
  }

 private:
  ByteSource source_;
  std::string in_;
  ZSTD_DStream* stream_;
  Counted counted_;
  bool frame_open_ = true;
};

}  // namespace

Result<> gzip(const ByteSource& source, const ByteSink& sink) {
  z_stream stream{};
  if (::deflateInit2(&stream, 5, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK) return fail(ErrorCode::internal, "zlib cannot begin");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, ::deflateEnd);
  std::string out(piece_size, '\0');
  for (bool ended = false; !ended;) {
    std::string piece = TRY(source(piece_size));
    ended = piece.empty();
    stream.next_in = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_in = static_cast<uInt>(piece.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      if (::deflate(&stream, ended ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR) return fail(ErrorCode::internal, "zlib cannot go on");
      TRY(sink(std::string_view(out).substr(0, out.size() - stream.avail_out)));
    } while (stream.avail_out == 0);
  }
  return {};
}

ByteSource decompressed(ByteSource source) {
  // Made at the first read, when the first bytes tell the format.
  const auto chosen = std::make_shared<ByteSource>();
  return [source = std::move(source), chosen](std::size_t at_most) -> Result<std::string> {
    if (*chosen) return (*chosen)(at_most);
    std::string first = TRY(source(piece_size));
    if (first.starts_with("\x1f\x8b")) {
      *chosen = [gzip = std::make_shared<Gzip>(source, std::move(first))](std::size_t n) { return gzip->read(n); };
    } else if (first.starts_with("\x28\xb5\x2f\xfd")) {
      *chosen = [zstd = std::make_shared<Zstd>(source, std::move(first))](std::size_t n) { return zstd->read(n); };
    } else {
      *chosen = source;
      return first;
    }
    return (*chosen)(at_most);
  };
}

}  // namespace slipway::oci
