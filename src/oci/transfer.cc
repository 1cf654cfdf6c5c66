// SPDX-License-Identifier: Apache-2.0
#include "oci/transfer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "oci/client.h"

namespace slipway::oci {
namespace {

using net::Response;

constexpr int max_restarts = 20;  // of one blob, as long as each try brings something

net::Headers accepted() {
  return {{"Accept", fmt::format("{}, {}, {}, {}", media::index, media::manifest, media::docker_list, media::docker_manifest)}};
}

// One blob on its way in, over as many connections as it takes.
class Download final {
 public:
  Download(Remote& remote, store::BlobStore& blobs, const Descriptor& blob) : remote_(remote), blobs_(blobs), blob_(blob) {}

  Result<> run(std::stop_token stop) {
    writer_ = TRY(blobs_.create());
    for (int attempt = 0, restarts = 0;;) {
      const std::uint64_t before = writer_->size();
      auto answer = try_once(stop);
      TRY(std::exchange(failure_, {}));
      if (answer && writer_->size() == blob_.size && answer->status < 300) break;
      if (answer && answer->status == 416) {
        writer_ = TRY(blobs_.create());  // the range is not what the registry has
      } else if (answer && answer->status >= 300 && !is_transient(answer)) {
        return std::unexpected(error_of(*answer));
      } else if (!answer && !is_transient(answer)) {
        return std::unexpected(answer.error());
      }
      if (writer_->size() > before && ++restarts < max_restarts) attempt = 0;
      if (!remote_.pause(attempt++, answer ? &*answer : nullptr, stop)) return give_up(answer);
    }
    TRY(writer_->commit(&blob_.digest));
    return {};
  }

 private:
  Result<> give_up(const Result<Response>& answer) const {
    if (!answer) return std::unexpected(answer.error());
    if (answer->status >= 300) return std::unexpected(error_of(*answer));
    return fail(ErrorCode::unavailable, fmt::format("the blob ended after {} of {} bytes", writer_->size(), blob_.size));
  }

  Result<Response> try_once(std::stop_token stop) {
    RemoteRequest request{.url = remote_.path("/blobs/" + blob_.digest.value)};
    if (writer_->size() > 0) request.headers.set("Range", fmt::format("bytes={}-", writer_->size()));
    const RemoteSink sink{[&](const Response& head) { return begin(head); }, [&](std::string_view piece) { return take(piece); }};
    return remote_.once(request, &sink, stop);
  }

  bool begin(const Response& head) {
    const bool goes_on = head.status == 206 && head.headers.get("Content-Range").starts_with(fmt::format("bytes {}-", writer_->size()));
    if (goes_on || writer_->size() == 0) return true;
    auto anew = blobs_.create();  // the whole blob comes again
    if (!anew) return failure_ = std::unexpected(anew.error()), false;
    writer_ = std::move(*anew);
    return head.status != 206;
  }

  bool take(std::string_view piece) {
    if (writer_->size() + piece.size() > blob_.size) failure_ = fail(ErrorCode::invalid, fmt::format("blob {} is longer than its descriptor says", blob_.digest.value));
    else failure_ = writer_->write(piece);
    return failure_.has_value();
  }

  Remote& remote_;
  store::BlobStore& blobs_;
  const Descriptor& blob_;
  std::unique_ptr<store::BlobWriter> writer_;
  Result<> failure_;
};

// One blob on its way out.
class Upload final {
 public:
  Upload(Remote& remote, const store::BlobStore& blobs, const Descriptor& blob) : remote_(remote), blobs_(blobs), blob_(blob) {}

  Result<> run(const std::string& from, std::stop_token stop) {
    for (int attempt = 0;; ++attempt) {
      bool begun = TRY(start(from, stop));
      if (!begun) return {};
      auto sent = blob_.size > push_piece ? in_pieces(stop) : whole(stop);
      if (sent || sent.error().code == ErrorCode::unauthenticated || sent.error().code == ErrorCode::forbidden || sent.error().code == ErrorCode::too_large) return sent;
      if (!remote_.pause(attempt, nullptr, stop)) return sent;
    }
  }

 private:
  // False where the registry mounted it.
  Result<bool> start(const std::string& from, std::stop_token stop) {
    std::string url = remote_.path("/blobs/uploads/");
    if (!from.empty()) url += fmt::format("?mount={}&from={}", net::percent_encode(blob_.digest.value), net::percent_encode(from));
    const auto answer = TRY(remote_.send({.method = "POST", .url = url}, stop));
    if (answer.status == 201) return false;
    if (answer.status != 202) return std::unexpected(error_of(answer));
    TRY(follow(answer));
    return true;
  }

  Result<> follow(const Response& answer) {
    const SplitUrl next = TRY(resolve_location(remote_.origin(), answer.headers.get("Location")));
    location_ = next.origin + next.target;
    return {};
  }

  std::function<std::function<Result<std::string>()>()> bytes(std::uint64_t first, std::uint64_t end) const {
    return [this, first, end] {
      const auto reader = std::make_shared<Result<std::unique_ptr<store::BlobReader>>>(blobs_.open(blob_.digest));
      return [reader, offset = first, end]() mutable -> Result<std::string> {
        if (!*reader) return std::unexpected(reader->error());
        std::string piece = TRY((**reader)->read_at(offset, static_cast<std::size_t>(std::min<std::uint64_t>(512 * 1024, end - offset))));
        if (piece.empty() && offset < end) return fail(ErrorCode::internal, "the blob is shorter than it was");
        offset += piece.size();
        return piece;
      };
    };
  }

  std::string closing_url() const { return location_ + (location_.find('?') == std::string::npos ? "?" : "&") + "digest=" + net::percent_encode(blob_.digest.value); }

  Result<> whole(std::stop_token stop) {
    RemoteRequest request{.method = "PUT", .url = closing_url(), .headers = {{"Content-Type", "application/octet-stream"}}};
    request.make_body = bytes(0, blob_.size);
    request.content_length = blob_.size;
    const auto answer = TRY(remote_.once(request, nullptr, stop));
    return answer.status == 201 || answer.status == 204 ? Result<>() : std::unexpected(error_of(answer));
  }

  Result<> in_pieces(std::stop_token stop) {
    std::uint64_t offset = 0;
    for (int attempt = 0; offset < blob_.size;) {
      const std::uint64_t end = std::min(blob_.size, offset + push_piece);
      RemoteRequest request{.method = "PATCH", .url = location_, .headers = {{"Content-Type", "application/octet-stream"}, {"Content-Range", fmt::format("{}-{}", offset, end - 1)}}};
      request.make_body = bytes(offset, end);
      request.content_length = end - offset;
      const auto answer = remote_.once(request, nullptr, stop);
      if (answer && answer->status == 202) {
        TRY(follow(*answer));
        offset = end;
        attempt = 0;
        continue;
      }
      if (!is_transient(answer) && !(answer && answer->status == 416)) return answer ? std::unexpected(error_of(*answer)) : std::unexpected(answer.error());
      if (!remote_.pause(attempt++, answer ? &*answer : nullptr, stop)) return answer ? std::unexpected(error_of(*answer)) : std::unexpected(answer.error());
      offset = TRY(arrived(stop));
    }
    const auto answer = TRY(remote_.once({.method = "PUT", .url = closing_url()}, nullptr, stop));
    return answer.status == 201 || answer.status == 204 ? Result<>() : std::unexpected(error_of(answer));
  }

  // How much the registry has of a broken upload: "Range: 0-41" is 42 bytes.
  Result<std::uint64_t> arrived(std::stop_token stop) {
    const auto answer = TRY(remote_.send({.method = "GET", .url = location_}, stop));
    if (answer.status != 204) return std::unexpected(error_of(answer));
    if (answer.headers.has("Location")) TRY(follow(answer));
    const auto range = answer.headers.get("Range");
    const auto last = parse_int(range.substr(std::min(range.find('-'), range.size() - 1) + 1));
    if (!last || *last <= 0) return 0;
    return std::min<std::uint64_t>(static_cast<std::uint64_t>(*last) + 1, blob_.size);
  }

  Remote& remote_;
  const store::BlobStore& blobs_;
  const Descriptor& blob_;
  std::string location_;
};

}  // namespace

Result<FetchedManifest> fetch_manifest(Remote& remote, const std::string& name, std::stop_token stop) {
  auto answer = TRY(remote.send({.url = remote.path("/manifests/" + name), .headers = accepted(), .limit = max_manifest}, stop));
  if (answer.status != 200) return std::unexpected(error_of(answer));
  const store::Digest digest = store::Digest::of(answer.body);
  const std::string told = name.find(':') != name.npos ? name : std::string(answer.headers.get("Docker-Content-Digest"));
  if (told.starts_with("sha256:") && told != digest.value) return fail(ErrorCode::invalid, fmt::format("the manifest has the digest {}, not {}", digest.value, printable(told)));
  return FetchedManifest{digest, std::move(answer.body)};
}

Result<store::Digest> head_manifest(Remote& remote, const std::string& name, std::stop_token stop) {
  const auto answer = TRY(remote.send({.method = "HEAD", .url = remote.path("/manifests/" + name), .headers = accepted()}, stop));
  if (answer.status != 200) return std::unexpected(error_of(answer));
  if (const auto told = store::Digest::parse(answer.headers.get("Docker-Content-Digest"))) return *told;
  return TRY(fetch_manifest(remote, name, stop)).digest;
}

Result<> fetch_blob(Remote& remote, store::BlobStore& blobs, const Descriptor& blob, std::stop_token stop) {
  return at(Download(remote, blobs, blob).run(stop), blob.digest.value);
}

Result<> send_blob(Remote& remote, const store::BlobStore& blobs, const Descriptor& blob, const std::string& from, std::stop_token stop) {
  const auto there = TRY(remote.send({.method = "HEAD", .url = remote.path("/blobs/" + blob.digest.value)}, stop));
  if (there.status == 200) return {};
  if (there.status == 401 || there.status == 403) return std::unexpected(error_of(there));
  return at(Upload(remote, blobs, blob).run(from, stop), blob.digest.value);
}

Result<> send_manifest(Remote& remote, const std::string& name, const std::string& bytes, const std::string& media_type, std::stop_token stop) {
  const auto answer = TRY(remote.send({.method = "PUT", .url = remote.path("/manifests/" + name), .headers = {{"Content-Type", media_type}}, .body = bytes}, stop));
  if (answer.status < 200 || answer.status >= 300) return std::unexpected(error_of(answer));
  const auto told = answer.headers.get("Docker-Content-Digest");
  if (!told.empty() && told != store::Digest::of(bytes).value) return fail(ErrorCode::invalid, "the registry stored another manifest than was sent");
  return {};
}

}  // namespace slipway::oci
