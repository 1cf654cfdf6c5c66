// SPDX-License-Identifier: Apache-2.0
#include "oci/registry.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/files.h"
#include "base/log.h"
#include "base/random.h"
#include "base/strings.h"
#include "oci/reachable.h"

namespace slipway::oci {

using store::Digest;
using text::Json;

struct Registry::Upload {
  std::string repository;
  std::unique_ptr<store::BlobWriter> writer;
  Steady used{};
  bool busy = false;  // guarded by the registry's lock, as `used`
};

namespace {

constexpr std::size_t max_cached = 64 * 1024 * 1024;
constexpr std::size_t default_page = 100, max_page = 1000;
constexpr std::size_t max_tasks = 256;
constexpr std::chrono::hours lease_lifetime{24};
constexpr const char* challenge = "Basic realm=\"slipway\"";

void refuse(net::Exchange& exchange, int status, std::string_view code, std::string_view message, net::Headers headers = {}) {
  headers.set("Content-Type", "application/json");
  const Json error = Json::object({{"code", code}, {"message", message}, {"detail", nullptr}});
  exchange.respond({status, std::move(headers), text::to_json(Json::object({{"errors", Json::array({error})}}))});
}

// An error of ours in the words of the specification; `invalid` and `missing` are those of the resource.
void refuse(net::Exchange& exchange, const Error& error, std::string_view invalid, std::string_view missing) {
  switch (error.code) {
    case ErrorCode::invalid: return refuse(exchange, 400, invalid, error.message);
    case ErrorCode::not_found: return refuse(exchange, 404, missing, error.message);
    case ErrorCode::too_large: return refuse(exchange, 413, "SIZE_INVALID", error.message);
    case ErrorCode::no_space: return refuse(exchange, 507, "UNKNOWN", "the disk is full");
    default: break;
  }
  log::warn("Registry request failed", {{"reason", error.to_string()}});
  refuse(exchange, 500, "UNKNOWN", "the request failed");
}

std::string token_in(const net::Headers& headers) {
  const auto value = headers.get("Authorization");
  if (value.starts_with("Bearer ")) return std::string(trim(value.substr(7)));
  if (!value.starts_with("Basic ")) return {};
  const auto decoded = from_base64(trim(value.substr(6)));
  const auto colon = decoded ? decoded->find(':') : std::string::npos;
  return colon == std::string::npos ? std::string() : decoded->substr(colon + 1);
}

std::string range_of(std::uint64_t size) { return fmt::format("0-{}", size == 0 ? 0 : size - 1); }

bool is_digest(std::string_view text) { return text.find(':') != text.npos; }

std::string upload_path(const std::string& repository, const std::string& id) { return fmt::format("/v2/{}/blobs/uploads/{}", repository, id); }

struct Span {
  std::uint64_t first = 0, last = 0;
};

// "bytes=a-b", "bytes=a-" or "bytes=-n"; nothing for what is not one plain range.
std::optional<Span> parse_range(std::string_view text, std::uint64_t size, bool& unsatisfiable) {
  if (!text.starts_with("bytes=") || text.find(',') != text.npos) return std::nullopt;
  text.remove_prefix(6);
  const auto dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  const auto first = parse_int(text.substr(0, dash)), last = parse_int(text.substr(dash + 1));
  if ((dash > 0 && (!first || *first < 0)) || (dash + 1 < text.size() && (!last || *last < 0)) || (!first && !last)) return std::nullopt;
  Span span{0, size == 0 ? 0 : size - 1};
  if (!first) span.first = static_cast<std::uint64_t>(*last) >= size ? 0 : size - static_cast<std::uint64_t>(*last);
  if (first) span.first = static_cast<std::uint64_t>(*first);
  if (first && last) span.last = std::min(span.last, static_cast<std::uint64_t>(*last));
  unsatisfiable = size == 0 || span.first > span.last;
  return span;
}

// Removes the mark when the request is over, however it ends.
class Busy final {
 public:
  Busy(std::mutex& mutex, bool& flag) : mutex_(mutex), flag_(flag) {}
  ~Busy() {
    const std::lock_guard lock(mutex_);
    flag_ = false;
  }
  Busy(const Busy&) = delete;

 private:
  std::mutex& mutex_;
  bool& flag_;
};

}  // namespace

Registry::Registry(RegistryConfig config, ImageStore& images, Executor& executor) : config_(std::move(config)), images_(images), blobs_(images.blobs()), executor_(executor) {}

Registry::~Registry() = default;

std::optional<Registry::Route> Registry::route_of(std::string_view path) {
  using Kind = Route::Kind;
  if (path == "/v2/" || path == "/v2") return Route{Kind::base, "", ""};
  if (path == "/v2/_catalog") return Route{Kind::catalog, "", ""};
  if (!path.starts_with("/v2/")) return std::nullopt;
  path.remove_prefix(4);
  const auto cut = [&](std::string_view mark, Kind kind) -> std::optional<Route> {
    const auto at = path.rfind(mark);
    if (at == path.npos || at == 0) return std::nullopt;
    const auto rest = path.substr(at + mark.size());
    if (rest.find('/') != rest.npos) return std::nullopt;
    return Route{kind, std::string(path.substr(0, at)), std::string(rest)};
  };
  if (path.ends_with("/tags/list")) return Route{Kind::tags, std::string(path.substr(0, path.size() - 10)), ""};
  if (path.ends_with("/blobs/uploads")) return Route{Kind::start_upload, std::string(path.substr(0, path.size() - 14)), ""};
  if (auto route = cut("/blobs/uploads/", Kind::upload)) {
    if (route->reference.empty()) route->kind = Kind::start_upload;
    return route;
  }
  if (auto route = cut("/manifests/", Kind::manifest)) return route;
  if (auto route = cut("/blobs/", Kind::blob)) return route;
  return cut("/referrers/", Kind::referrers);
}

Result<Reference> Registry::reference_of(const Route& route) const {
  std::string text = config_.name + "/" + route.repository;
  if (!route.reference.empty()) text += (is_digest(route.reference) ? "@" : ":") + route.reference;
  auto reference = TRY(Reference::parse(text));
  if (reference.registry != config_.name || reference.repository != route.repository) return fail(ErrorCode::invalid, "not the name of a repository");
  return reference;
}

bool Registry::refuse_unless_writer(net::Exchange& exchange) const {
  const std::string token = token_in(exchange.head().headers);
  const auto allowed = token.empty() ? Result<>(fail(ErrorCode::unauthenticated, "a token is needed")) : config_.may_write(token);
  if (allowed) return false;
  if (allowed.error().code == ErrorCode::forbidden) refuse(exchange, 403, "DENIED", allowed.error().message);
  else refuse(exchange, 401, "UNAUTHORIZED", allowed.error().message, {{"WWW-Authenticate", challenge}, {"Docker-Distribution-Api-Version", "registry/2.0"}});
  return true;
}

void Registry::handle(std::shared_ptr<net::Exchange> exchange) {
  using Kind = Route::Kind;
  const auto& head = exchange->head();
  const auto route = route_of(head.url.path);
  if (!route) return refuse(*exchange, 404, "NAME_UNKNOWN", "there is no such path in a registry");
  // Clients learn here how to authenticate, and ask it before they push; reading needs no token all the same.
  if (route->kind == Kind::base) {
    if (!refuse_unless_writer(*exchange)) exchange->respond({200, {{"Content-Type", "application/json"}, {"Docker-Distribution-Api-Version", "registry/2.0"}}, "{}"});
    return;
  }
  const bool reads = head.method == "GET" || head.method == "HEAD";
  const bool uploads = route->kind == Kind::upload || route->kind == Kind::start_upload;
  if ((!reads || uploads) && refuse_unless_writer(*exchange)) return;
  if (route->kind == Kind::manifest && reads && answer_from_cache(*exchange, *route)) return;
  if (route->kind != Kind::catalog && !Reference::parse(config_.name + "/" + route->repository)) return refuse(*exchange, 400, "NAME_INVALID", "not the name of a repository");
  const auto over = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  std::erase_if(tasks_, [](const auto& entry) { return entry.first->load(); });
  if (tasks_.size() >= max_tasks) return refuse(*exchange, 429, "TOOMANYREQUESTS", "too many requests at once", {{"Retry-After", "1"}});
  tasks_.emplace_back(over, executor_.spawn("registry", [this, exchange, route = *route, over](const std::stop_token&) {
    serve(*exchange, route);
    over->store(true);
  }));
}

void Registry::serve(net::Exchange& exchange, const Route& route) {
  using Kind = Route::Kind;
  const std::string& method = exchange.head().method;
  const bool reads = method == "GET" || method == "HEAD";
  switch (route.kind) {
    case Kind::catalog:
      if (reads) return list_repositories(exchange);
      break;
    case Kind::tags:
      if (reads) return list_tags(exchange, route);
      break;
    case Kind::referrers:
      if (reads) return list_referrers(exchange, route);
      break;
    case Kind::manifest:
      if (reads) return get_manifest(exchange, route);
      if (method == "PUT") return put_manifest(exchange, route);
      if (method == "DELETE") return delete_manifest(exchange, route);
      break;
    case Kind::blob:
      if (reads) return get_blob(exchange, route);
      break;  // a blob is shared by repositories: it goes when nothing names it
    case Kind::start_upload:
      if (method == "POST") return start_upload(exchange, route);
      break;
    case Kind::upload:
      if (method == "GET" || method == "PATCH" || method == "PUT" || method == "DELETE") return continue_upload(exchange, route);
      break;
    case Kind::base: break;
  }
  refuse(exchange, 405, "UNSUPPORTED", "this method is not supported here");
}

// ---- blobs

void Registry::get_blob(net::Exchange& exchange, const Route& route) {
  const auto digest = Digest::parse(route.reference);
  if (!digest) return refuse(exchange, 400, "DIGEST_INVALID", "the digest is not sha256 and 64 hexadecimal digits");
  const auto reader = blobs_.open(*digest);
  if (!reader) return refuse(exchange, reader.error(), "DIGEST_INVALID", "BLOB_UNKNOWN");
  const std::uint64_t size = (*reader)->size();
  net::Headers headers{{"Content-Type", "application/octet-stream"}, {"Docker-Content-Digest", digest->value}, {"ETag", "\"" + digest->value + "\""}, {"Accept-Ranges", "bytes"}};
  bool unsatisfiable = false;
  const auto span = parse_range(exchange.head().headers.get("Range"), size, unsatisfiable);
  if (span && unsatisfiable) return refuse(exchange, 416, "SIZE_INVALID", "the range is outside of the blob", {{"Content-Range", fmt::format("bytes */{}", size)}});
  std::uint64_t offset = span ? span->first : 0;
  const std::uint64_t end = span ? span->last + 1 : size;
  headers.set("Content-Length", std::to_string(end - offset));
  if (span) headers.set("Content-Range", fmt::format("bytes {}-{}/{}", span->first, span->last, size));
  exchange.start(span ? 206 : 200, std::move(headers));
  while (exchange.head().method == "GET" && offset < end) {
    const auto piece = (*reader)->read_at(offset, static_cast<std::size_t>(std::min<std::uint64_t>(512 * 1024, end - offset)));
    if (!piece || piece->empty() || !exchange.write_blocking(*piece)) return exchange.abort();
    offset += piece->size();
  }
  exchange.finish();
}

// ---- uploads

void Registry::sweep() {
  const Steady now = executor_.clock().steady();
  std::erase_if(uploads_, [&](const auto& entry) { return !entry.second->busy && now - entry.second->used > config_.upload_idle; });
}

std::size_t Registry::uploads() const {
  const std::lock_guard lock(mutex_);
  return uploads_.size();
}

Result<> Registry::receive(net::Exchange& exchange, Upload& upload) {
  for (;;) {
    const std::string piece = TRY(exchange.read_some(256 * 1024));
    if (piece.empty()) return {};
    if (upload.writer->size() + piece.size() > config_.max_blob) return fail(ErrorCode::too_large, fmt::format("a blob of more than {} bytes", config_.max_blob));
    TRY(upload.writer->write(piece));
  }
}

void Registry::start_upload(net::Exchange& exchange, const Route& route) {
  const auto& url = exchange.head().url;
  if (url.has_param("mount")) {
    const auto digest = Digest::parse(url.param("mount"));
    if (digest && blobs_.has(*digest)) {
      if (auto leased = blobs_.lease("registry-mount-" + SystemRandom().uuid(), *digest, lease_lifetime); !leased) return refuse(exchange, leased.error(), "DIGEST_INVALID", "BLOB_UNKNOWN");
      return exchange.respond({201, {{"Location", fmt::format("/v2/{}/blobs/{}", route.repository, digest->value)}, {"Docker-Content-Digest", digest->value}}, ""});
    }
  }
  auto writer = blobs_.create();
  if (!writer) return refuse(exchange, writer.error(), "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN");
  const auto upload = std::make_shared<Upload>();
  upload->repository = route.repository;
  upload->writer = std::move(*writer);
  upload->used = executor_.clock().steady();
  if (url.has_param("digest")) {
    Route one = route;
    return finish_upload(exchange, one, *upload);
  }
  const std::string id = SystemRandom().uuid();
  {
    const std::lock_guard lock(mutex_);
    sweep();
    if (uploads_.size() >= config_.max_uploads) return refuse(exchange, 429, "TOOMANYREQUESTS", "too many uploads at once", {{"Retry-After", "10"}});
    uploads_[id] = upload;
  }
  exchange.respond({202, {{"Location", upload_path(route.repository, id)}, {"Docker-Upload-UUID", id}, {"Range", "0-0"}}, ""});
}

void Registry::continue_upload(net::Exchange& exchange, const Route& route) {
  const std::string& method = exchange.head().method;
  std::shared_ptr<Upload> upload;
  {
    const std::lock_guard lock(mutex_);
    sweep();
    const auto found = uploads_.find(route.reference);
    if (found == uploads_.end() || found->second->repository != route.repository) return refuse(exchange, 404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; begin anew");
    upload = found->second;
    if (std::exchange(upload->busy, true)) return refuse(exchange, 409, "BLOB_UPLOAD_INVALID", "another request works on this upload");
    if (method == "DELETE") uploads_.erase(found);
  }
  const Busy busy(mutex_, upload->busy);
  upload->used = executor_.clock().steady();
  if (method == "DELETE") return exchange.respond({204, {}, ""});
  const auto headers = [&] {
    return net::Headers{{"Location", upload_path(route.repository, route.reference)}, {"Docker-Upload-UUID", route.reference}, {"Range", range_of(upload->writer->size())}};
  };
  if (method == "GET") return exchange.respond({204, headers(), ""});
  if (const auto range = exchange.head().headers.get("Content-Range"); !range.empty()) {
    const auto first = parse_int(range.substr(0, range.find('-')));
    if (!first || *first < 0 || static_cast<std::uint64_t>(*first) != upload->writer->size()) return refuse(exchange, 416, "BLOB_UPLOAD_INVALID", "the piece does not begin where the last one ended", headers());
  }
  if (method == "PUT") {
    finish_upload(exchange, route, *upload);
    const std::lock_guard lock(mutex_);
    uploads_.erase(route.reference);
    return;
  }
  if (auto done = receive(exchange, *upload); !done) {
    // What came stays, so that the client can ask where to go on; what is too large never will be whole.
    if (done.error().code != ErrorCode::unavailable) {
      const std::lock_guard lock(mutex_);
      uploads_.erase(route.reference);
    }
    return refuse(exchange, done.error(), "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN");
  }
  upload->used = executor_.clock().steady();
  exchange.respond({202, headers(), ""});
}

void Registry::finish_upload(net::Exchange& exchange, const Route& route, Upload& upload) {
  const auto expected = Digest::parse(exchange.head().url.param("digest"));
  if (!expected) return refuse(exchange, 400, "DIGEST_INVALID", "the digest is not sha256 and 64 hexadecimal digits");
  if (auto done = receive(exchange, upload); !done) return refuse(exchange, done.error(), "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN");
  // The lease is there before the blob is, so that a collection between the two finds it held.
  if (auto leased = blobs_.lease("registry-upload-" + SystemRandom().uuid(), *expected, lease_lifetime); !leased) return refuse(exchange, leased.error(), "DIGEST_INVALID", "BLOB_UNKNOWN");
  if (const auto digest = upload.writer->commit(&*expected); !digest) return refuse(exchange, digest.error(), "DIGEST_INVALID", "BLOB_UNKNOWN");
  exchange.respond({201, {{"Location", fmt::format("/v2/{}/blobs/{}", route.repository, expected->value)}, {"Docker-Content-Digest", expected->value}}, ""});
}

// ---- manifests

std::string Registry::record_folder(const std::string& repository) const { return config_.folder + "/" + sha256_hex(repository); }

Result<std::shared_ptr<const Registry::Stored>> Registry::stored(const Digest& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = cache_.find(digest.value); found != cache_.end()) return found->second;
  }
  auto bytes = blobs_.get(digest, max_manifest);
  if (!bytes) return fail(bytes.error().code == ErrorCode::too_large ? ErrorCode::not_found : bytes.error().code, bytes.error().message);
  const auto shape = ManifestShape::parse(*bytes);
  if (!shape) return fail(ErrorCode::not_found, "that blob is no manifest");
  const auto out = std::make_shared<const Stored>(Stored{std::move(*bytes), shape->media_type});
  const std::lock_guard lock(mutex_);
  while (!cache_.empty() && cached_bytes_ + out->bytes.size() > max_cached) {
    cached_bytes_ -= cache_.begin()->second->bytes.size();
    cache_.erase(cache_.begin());
  }
  if (cache_.emplace(digest.value, out).second) cached_bytes_ += out->bytes.size();
  return out;
}

// The common case, on the loop's thread: one small file tells the digest of a tag (the node writes there too), and the
// bytes are in memory.
bool Registry::answer_from_cache(net::Exchange& exchange, const Route& route) {
  const auto reference = reference_of(route);
  const auto digest = reference ? images_.resolve(*reference) : std::unexpected(reference.error());
  if (!digest) return false;
  std::shared_ptr<const Stored> found;
  {
    const std::lock_guard lock(mutex_);
    if (const auto entry = cache_.find(digest->value); entry != cache_.end()) found = entry->second;
  }
  if (!found) return false;
  net::Response answer{200, {{"Content-Type", found->media_type}, {"Docker-Content-Digest", digest->value}, {"ETag", "\"" + digest->value + "\""},
                             {"Content-Length", std::to_string(found->bytes.size())}}, ""};
  if (exchange.head().headers.get("If-None-Match") == "\"" + digest->value + "\"") answer = {304, {{"ETag", "\"" + digest->value + "\""}}, ""};
  else if (exchange.head().method == "GET") answer.body = found->bytes;
  exchange.respond(std::move(answer));
  return true;
}

void Registry::get_manifest(net::Exchange& exchange, const Route& route) {
  const auto reference = reference_of(route);
  if (!reference) return refuse(exchange, 400, is_digest(route.reference) ? "DIGEST_INVALID" : "TAG_INVALID", reference.error().message);
  const auto digest = images_.resolve(*reference);
  if (!digest) return refuse(exchange, digest.error(), "MANIFEST_INVALID", "MANIFEST_UNKNOWN");
  if (const auto loaded = stored(*digest); !loaded) return refuse(exchange, loaded.error(), "MANIFEST_INVALID", "MANIFEST_UNKNOWN");
  if (!answer_from_cache(exchange, route)) refuse(exchange, 404, "MANIFEST_UNKNOWN", "the manifest is not there");
}

void Registry::put_manifest(net::Exchange& exchange, const Route& route) {
  std::string bytes;
  for (;;) {
    const auto piece = exchange.read_some();
    if (!piece) return exchange.abort();
    if (piece->empty()) break;
    bytes += *piece;
    if (bytes.size() > max_manifest) return refuse(exchange, 413, "SIZE_INVALID", fmt::format("a manifest of more than {} bytes", max_manifest));
  }
  Digest digest = Digest::of(bytes);
  std::string subject;
  if (auto done = store_manifest(route, bytes, exchange.head().headers.get("Content-Type"), digest, subject); !done)
    return refuse(exchange, done.error(), done.error().code == ErrorCode::invalid && digest.value != route.reference && is_digest(route.reference) ? "DIGEST_INVALID" : "MANIFEST_INVALID",
                  "MANIFEST_BLOB_UNKNOWN");
  net::Headers headers{{"Location", fmt::format("/v2/{}/manifests/{}", route.repository, digest.value)}, {"Docker-Content-Digest", digest.value}};
  if (!subject.empty()) headers.set("OCI-Subject", subject);
  exchange.respond({201, std::move(headers), ""});
}

Result<> Registry::store_manifest(const Route& route, const std::string& bytes, std::string_view content_type, Digest& digest, std::string& subject) {
  const Reference reference = TRY(reference_of(route));
  if (!reference.digest.empty() && reference.digest != digest.value) return fail(ErrorCode::invalid, fmt::format("the digest is {}, not {}", digest.value, reference.digest));
  const ManifestShape shape = TRY(ManifestShape::parse(bytes));
  const auto type = trim(content_type.substr(0, content_type.find(';')));
  if (!type.empty() && shape.names_its_type && type != shape.media_type) return fail(ErrorCode::invalid, fmt::format("Content-Type and mediaType differ ({})", shape.media_type));
  // Held first, looked at then: a collection beside this cannot take a blob after the look (T20).
  const std::string lease = "registry-manifest-" + digest.value;
  TRY(blobs_.lease(lease, digest, lease_lifetime));
  for (const Descriptor& part : shape.parts) {
    TRY(blobs_.lease(lease, part.digest, lease_lifetime));
    const auto reader = blobs_.open(part.digest);
    if (!reader) return fail(ErrorCode::not_found, fmt::format("blob {} was not pushed", part.digest.value));
    if ((*reader)->size() != part.size) return fail(ErrorCode::invalid, fmt::format("blob {} has {} bytes, not {}", part.digest.value, (*reader)->size(), part.size));
  }
  TRY(blobs_.put(bytes));
  subject = shape.subject;
  TRY(make_folders(record_folder(route.repository), 0700));
  const Json record = Json::object({{"repository", route.repository}, {"digest", digest.value}, {"mediaType", shape.media_type}, {"size", std::uint64_t{bytes.size()}},
                                    {"subject", shape.subject}, {"artifactType", shape.artifact_type}, {"annotations", shape.annotations}});
  TRY(write_file_atomically(fmt::format("{}/{}", record_folder(route.repository), digest.hex()), text::to_json(record)));
  if (!reference.tag.empty()) TRY(images_.tag(reference, digest));
  return {};  // the lease ends by time: a collection whose roots were listed before the name was written must find it
}

void Registry::delete_manifest(net::Exchange& exchange, const Route& route) {
  const auto reference = reference_of(route);
  if (!reference) return refuse(exchange, 400, is_digest(route.reference) ? "DIGEST_INVALID" : "TAG_INVALID", reference.error().message);
  bool any = false;
  if (reference->digest.empty()) {
    any = images_.remove(*reference).has_value();
  } else {
    const auto named = images_.list();
    if (!named) return refuse(exchange, named.error(), "MANIFEST_INVALID", "MANIFEST_UNKNOWN");
    for (const auto& one : *named)
      if (one.reference.name() == reference->name() && one.manifest.value == reference->digest) any |= images_.remove(one.reference).has_value();
    any |= ::unlink(fmt::format("{}/{}", record_folder(route.repository), reference->digest.substr(7)).c_str()) == 0;
  }
  if (!any) return refuse(exchange, 404, "MANIFEST_UNKNOWN", "the manifest is not there");
  exchange.respond({202, {}, ""});
}

// ---- lists

Result<std::vector<std::string>> Registry::recorded() const {
  std::vector<std::string> out;
  if (!is_folder(config_.folder)) return out;
  for (const std::string& repository : TRY(list_folder(config_.folder)))
    for (const std::string& file : TRY(list_folder(config_.folder + "/" + repository))) {
      if (file.find(".tmp-") != file.npos) continue;
      out.push_back(TRY(read_file(fmt::format("{}/{}/{}", config_.folder, repository, file), max_manifest + 4096)));
    }
  return out;
}

Result<std::set<Digest>> Registry::roots() const {
  std::vector<Digest> manifests;
  for (const auto& named : TRY(images_.list())) manifests.push_back(named.manifest);
  for (const std::string& record : TRY(recorded())) manifests.push_back(TRY(Digest::parse(TRY(text::parse_json(record))["digest"].as_string())));
  return reachable(blobs_, manifests);
}

void Registry::answer_page(net::Exchange& exchange, std::string_view path, std::string_view key, const std::set<std::string>& all, const std::string& name) {
  const auto& url = exchange.head().url;
  std::size_t n = default_page;
  if (url.has_param("n")) {
    const auto asked = parse_int(url.param("n"));
    if (!asked || *asked < 0 || static_cast<std::size_t>(*asked) > max_page) return refuse(exchange, 400, "PAGINATION_NUMBER_INVALID", fmt::format("n must be between 0 and {}", max_page));
    n = static_cast<std::size_t>(*asked);
  }
  std::vector<std::string> page;
  const std::string last(url.param("last"));
  auto at = last.empty() ? all.begin() : all.upper_bound(last);
  for (; at != all.end() && page.size() < n; ++at) page.push_back(*at);
  net::Headers headers{{"Content-Type", "application/json"}};
  if (at != all.end() && !page.empty()) headers.set("Link", fmt::format("<{}?n={}&last={}>; rel=\"next\"", path, n, net::percent_encode(page.back())));
  Json json = name.empty() ? Json::object() : Json::object({{"name", name}});
  exchange.respond({200, std::move(headers), text::to_json(json.with(key, Json::strings(page)))});
}

void Registry::list_tags(net::Exchange& exchange, const Route& route) {
  const auto named = images_.list();
  if (!named) return refuse(exchange, named.error(), "NAME_INVALID", "NAME_UNKNOWN");
  std::set<std::string> tags;
  for (const auto& one : *named)
    if (one.reference.registry == config_.name && one.reference.repository == route.repository) tags.insert(one.reference.tag);
  if (tags.empty() && !is_folder(record_folder(route.repository))) return refuse(exchange, 404, "NAME_UNKNOWN", "there is no such repository");
  answer_page(exchange, fmt::format("/v2/{}/tags/list", route.repository), "tags", tags, route.repository);
}

void Registry::list_repositories(net::Exchange& exchange) {
  const auto named = images_.list();
  if (!named) return refuse(exchange, named.error(), "NAME_INVALID", "NAME_UNKNOWN");
  std::set<std::string> names;
  for (const auto& one : *named)
    if (one.reference.registry == config_.name) names.insert(one.reference.repository);
  answer_page(exchange, "/v2/_catalog", "repositories", names, "");
}

void Registry::list_referrers(net::Exchange& exchange, const Route& route) {
  if (!Digest::parse(route.reference)) return refuse(exchange, 400, "DIGEST_INVALID", "the digest is not sha256 and 64 hexadecimal digits");
  const auto& url = exchange.head().url;
  std::vector<Json> found;
  const std::string folder = record_folder(route.repository);
  for (const std::string& file : list_folder(folder).value_or(std::vector<std::string>{})) {
    const auto record = text::parse_json(read_file(folder + "/" + file, max_manifest + 4096).value_or(""));
    if (!record || (*record)["subject"].as_string() != route.reference) continue;
    const std::string_view type = (*record)["artifactType"].as_string();
    if (url.has_param("artifactType") && url.param("artifactType") != type) continue;
    Json one = Json::object({{"mediaType", (*record)["mediaType"]}, {"digest", (*record)["digest"]}, {"size", (*record)["size"]}});
    if (!type.empty()) one = one.with("artifactType", type);
    if (!(*record)["annotations"].is_null()) one = one.with("annotations", (*record)["annotations"]);
    found.push_back(std::move(one));
  }
  net::Headers headers{{"Content-Type", media::index}};
  if (url.has_param("artifactType")) headers.set("OCI-Filters-Applied", "artifactType");
  exchange.respond({200, std::move(headers), text::to_json(Json::object({{"schemaVersion", 2}, {"mediaType", media::index}, {"manifests", Json::array(std::move(found))}}))});
}

}  // namespace slipway::oci
