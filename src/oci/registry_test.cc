// SPDX-License-Identifier: Apache-2.0
#include "oci/registry.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/files.h"
#include "base/strings.h"
#include "net/client.h"
#include "net/server.h"

namespace slipway::oci {
namespace {

using net::Response;
using store::Digest;
using text::Json;

class Fixture {
 public:
  explicit Fixture(std::chrono::minutes upload_idle = std::chrono::minutes(60)) {
    REQUIRE(make_folders(folder_.path() + "/names"));
    RegistryConfig config{.name = "127.0.0.1:5000", .folder = folder_.path() + "/registry", .may_write = [](std::string_view token) {
                            return token == "secret" ? Result<>{} : fail(ErrorCode::unauthenticated, "no such token");
                          }};
    config.max_blob = 1 << 20;
    config.upload_idle = upload_idle;
    registry = std::make_unique<Registry>(std::move(config), images, *executor_);
    server_ = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [this](std::shared_ptr<net::Exchange> e) { registry->handle(std::move(e)); }}}).value();
    client_ = net::make_client({false, "127.0.0.1", server_->port(0)}).value();
  }
  ~Fixture() {
    client_.reset();
    server_.reset();
    registry.reset();
  }

  Response send(std::string method, std::string target, std::string body = "", net::Headers headers = {}) {
    if (!token.empty()) headers.set("Authorization", "Basic " + to_base64("anyone:" + token));
    return client_->send({.method = std::move(method), .target = std::move(target), .headers = std::move(headers), .body = std::move(body)}).value();
  }
  Digest push_blob(const std::string& bytes) {
    const Digest digest = Digest::of(bytes);
    const auto answer = send("POST", "/v2/hello/blobs/uploads/?digest=" + digest.value, bytes);
    CHECK(answer.status == 201);
    return digest;
  }
  std::string manifest() {
    const std::string config = "{}", layer = "layer";
    return Manifest{media::manifest, {media::config, push_blob(config), config.size()}, {{media::layer_tar, push_blob(layer), layer.size()}}}.to_text();
  }
  static std::string code(const Response& answer) { return text::parse_json(answer.body).value()["errors"][0]["code"].str(); }

 private:
  TempFolder folder_;
  std::unique_ptr<Executor> executor_ = make_system_executor();
  std::unique_ptr<store::BlobStore> blobs_ = store::BlobStore::open_folder(folder_.path() + "/blobs").value();

 public:
  ImageStore images{folder_.path() + "/names", *blobs_};
  std::unique_ptr<Registry> registry;
  std::string token = "secret";

 private:
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<net::Client> client_;
};

TEST_CASE("a pushed image is what the image store resolves, also as localhost, and comes back byte for byte") {
  Fixture f;
  const std::string manifest = f.manifest();
  CHECK(f.send("PUT", "/v2/hello/manifests/v1", manifest, {{"Content-Type", media::manifest}}).status == 201);
  CHECK(f.images.resolve(Reference::parse("127.0.0.1:5000/hello:v1").value()).value() == Digest::of(manifest));
  CHECK(f.images.resolve(Reference::parse("localhost:5000/hello:v1").value()).value() == Digest::of(manifest));
  f.token.clear();
  for (int i = 0; i < 2; ++i) {
    const auto got = f.send("GET", "/v2/hello/manifests/v1");
    CHECK(got.body == manifest);
    CHECK(got.headers.get("Docker-Content-Digest") == Digest::of(manifest).value);
    CHECK(got.headers.get("Content-Type") == media::manifest);
  }
  CHECK(f.send("GET", "/v2/hello/tags/list").body == R"({"name":"hello","tags":["v1"]})");
  CHECK(f.send("GET", "/v2/_catalog").body == R"({"repositories":["hello"]})");
  CHECK(f.registry->roots().value().size() == 3);
  const auto part = f.send("GET", "/v2/hello/blobs/" + Digest::of("layer").value, "", {{"Range", "bytes=1-2"}});
  CHECK(part.status == 206);
  CHECK(part.body == "ay");
}

TEST_CASE("a push without a token, or with a wrong one, is refused with a challenge") {
  Fixture f;
  for (const char* token : {"", "wrong"}) {
    f.token = token;
    for (const char* target : {"/v2/hello/blobs/uploads/", "/v2/hello/manifests/v1", "/v2/"}) {
      const auto answer = f.send(std::string(target) == "/v2/" ? "GET" : std::string(target).ends_with("v1") ? "PUT" : "POST", target);
      CHECK(answer.status == 401);
      CHECK(answer.headers.get("WWW-Authenticate").starts_with("Basic realm="));
    }
  }
}

TEST_CASE("an upload in pieces goes on where the last one ended, and nowhere else") {
  Fixture f;
  const auto begun = f.send("POST", "/v2/a/b/blobs/uploads/");
  CHECK(begun.status == 202);
  const std::string at(begun.headers.get("Location"));
  CHECK(f.send("PATCH", at, "abc", {{"Content-Range", "0-2"}}).headers.get("Range") == "0-2");
  CHECK(f.send("PATCH", at, "def", {{"Content-Range", "5-7"}}).status == 416);
  CHECK(f.send("GET", at).headers.get("Range") == "0-2");
  CHECK(f.send("PATCH", at, "def", {{"Content-Range", "3-5"}}).status == 202);
  CHECK(f.send("PUT", at + "?digest=" + Digest::of("abcdef").value).status == 201);
  CHECK(f.send("GET", at).status == 404);
  CHECK(f.send("GET", "/v2/a/b/blobs/" + Digest::of("abcdef").value).body == "abcdef");
  CHECK(f.registry->uploads() == 0);
}

TEST_CASE("a token is taken as a bearer's too") {
  Fixture f;
  f.token.clear();
  CHECK(f.send("GET", "/v2/", "", {{"Authorization", "Bearer secret"}}).status == 200);
  CHECK(f.send("GET", "/v2/", "", {{"Authorization", "Bearer other"}}).status == 401);
}

TEST_CASE("a blob of another repository is mounted; one that is not there is to be sent") {
  Fixture f;
  const Digest layer = f.push_blob("layer");
  const auto mounted = f.send("POST", fmt::format("/v2/other/blobs/uploads/?mount={}&from=hello", layer.value));
  CHECK(mounted.status == 201);
  CHECK(f.send("GET", std::string(mounted.headers.get("Location"))).body == "layer");
  const auto absent = f.send("POST", fmt::format("/v2/other/blobs/uploads/?mount={}&from=hello", Digest::of("absent").value));
  CHECK(absent.status == 202);
  CHECK(!absent.headers.get("Location").empty());
}

TEST_CASE("tags come in pages that lead from one to the next") {
  Fixture f;
  const std::string manifest = f.manifest();
  for (const char* tag : {"c", "a", "b"}) CHECK(f.send("PUT", std::string("/v2/hello/manifests/") + tag, manifest).status == 201);
  const auto first = f.send("GET", "/v2/hello/tags/list?n=2");
  CHECK(first.body == R"({"name":"hello","tags":["a","b"]})");
  const std::string link(first.headers.get("Link"));
  const auto open = link.find('<'), close = link.find('>');
  REQUIRE(close != link.npos);
  const auto second = f.send("GET", link.substr(open + 1, close - open - 1));
  CHECK(second.body == R"({"name":"hello","tags":["c"]})");
  CHECK(!second.headers.has("Link"));
}

TEST_CASE("uploads that nobody goes on with are swept after their time") {
  Fixture f(std::chrono::minutes(0));
  const std::string at(f.send("POST", "/v2/a/blobs/uploads/").headers.get("Location"));
  CHECK(f.registry->uploads() == 1);
  (void)f.send("POST", "/v2/a/blobs/uploads/");
  CHECK(f.registry->uploads() == 1);
  CHECK(Fixture::code(f.send("PATCH", at, "abc")) == "BLOB_UPLOAD_UNKNOWN");
}

TEST_CASE("wrong digests, missing blobs, traversal names and bodies over the limit are refused") {
  Fixture f;
  CHECK(Fixture::code(f.send("POST", "/v2/hello/blobs/uploads/?digest=" + Digest::of("x").value, "y")) == "DIGEST_INVALID");
  const std::string manifest = Manifest{media::manifest, {media::config, Digest::of("absent"), 6}, {}}.to_text();
  CHECK(Fixture::code(f.send("PUT", "/v2/hello/manifests/v1", manifest)) == "MANIFEST_BLOB_UNKNOWN");
  CHECK(Fixture::code(f.send("PUT", "/v2/hello/manifests/v1", R"({"schemaVersion":2,"config":{},"layers":[],"manifests":[]})")) == "MANIFEST_INVALID");
  CHECK(f.send("PUT", "/v2/hello/manifests/" + Digest::of("x").value, f.manifest()).status == 400);
  for (const char* name : {"..", "a/..", "Upper", "%2e%2e/x", "a%2F..%2Fb"}) CHECK(f.send("POST", fmt::format("/v2/{}/blobs/uploads/", name)).status == 400);
  CHECK(f.send("POST", "/v2/hello/blobs/uploads/?digest=" + Digest::of("x").value, std::string((1 << 20) + 1, 'x')).status == 413);
  CHECK(f.send("PUT", "/v2/hello/manifests/v1", std::string(max_manifest + 1, ' ')).status == 413);
  for (const char* n : {"-1", "9223372036854775808", "x", "1001"}) CHECK(f.send("GET", std::string("/v2/_catalog?n=") + n).status == 400);
}

TEST_CASE("referrers are found by their subject and filtered by type; a deleted manifest is gone with its tags") {
  Fixture f;
  const std::string manifest = f.manifest(), subject = Digest::of(manifest).value;
  CHECK(f.send("PUT", "/v2/hello/manifests/v1", manifest).status == 201);
  const std::string about = manifest.substr(0, manifest.size() - 1) + fmt::format(R"(,"artifactType":"x/sig","subject":{{"mediaType":"m","digest":"{}","size":{}}}}})", subject, manifest.size());
  CHECK(f.send("PUT", "/v2/hello/manifests/" + Digest::of(about).value, about).headers.get("OCI-Subject") == subject);
  const auto list = [&](const std::string& query) { return text::parse_json(f.send("GET", "/v2/hello/referrers/" + subject + query).body).value()["manifests"].size(); };
  CHECK(list("") == 1);
  CHECK(list("?artifactType=x%2Fsig") == 1);
  CHECK(list("?artifactType=other") == 0);
  CHECK(f.send("DELETE", "/v2/hello/manifests/" + subject).status == 202);
  CHECK(f.send("GET", "/v2/hello/manifests/v1").status == 404);
}

}  // namespace
}  // namespace slipway::oci
