// SPDX-License-Identifier: Apache-2.0
#include "oci/client.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>

#include "base/files.h"
#include "base/strings.h"
#include "net/server.h"
#include "oci/compress.h"
#include "oci/reachable.h"
#include "oci/registry.h"

namespace slipway::oci {
namespace {

using net::Exchange;
using store::Digest;
using text::Json;

// A store of its own, with the names of images.
struct Store {
  Store() { REQUIRE(make_folders(folder.path() + "/names")); }
  TempFolder folder;
  std::unique_ptr<store::BlobStore> blobs = store::BlobStore::open_folder(folder.path() + "/blobs").value();
  ImageStore images{folder.path() + "/names", *blobs};
};

// Our registry behind a gate that can ask for tokens, break answers and send elsewhere.
class Fake {
 public:
  using Gate = std::function<bool(const std::shared_ptr<Exchange>&)>;  // true: answered
  explicit Fake(Gate gate = {}) : gate_(std::move(gate)) {
    server_ = net::Server::start({{.listen = {.tls = false}, .tls = {}, .handler = [this](std::shared_ptr<Exchange> e) { handle(std::move(e)); }}}).value();
    name = fmt::format("127.0.0.1:{}", server_->port(0));
    registry_ = std::make_unique<Registry>(RegistryConfig{.name = name, .folder = store.folder.path() + "/registry", .may_write = [](std::string_view) { return Result<>(); }}, store.images, *executor);
  }
  ~Fake() {
    server_.reset();
    registry_.reset();
  }
  Reference reference(std::string_view rest) const { return Reference::parse(name + "/" + std::string(rest)).value(); }
  // An image of one layer, named.
  Digest add(const std::string& repository, const std::string& layer = "layer") {
    const Digest layer_digest = store.blobs->put(layer).value();
    const ImageConfiguration configuration{.defaults = {}, .diff_ids = {layer_digest.value}, .created = "", .history = {}};
    const Digest digest = write_image(*store.blobs, configuration, {{media::layer_tar, layer_digest, layer.size()}}).value();
    REQUIRE(store.images.tag(reference(repository), digest));
    return digest;
  }

  Store store;
  std::unique_ptr<Executor> executor = make_system_executor();
  std::string name;
  std::atomic<int> requests{0};

 private:
  void handle(std::shared_ptr<Exchange> exchange) {
    ++requests;
    if (gate_ && gate_(exchange)) return;
    // Of our own registry, what is in front of it is not known: any token may write.
    registry_->handle(std::move(exchange));
  }
  Gate gate_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<net::Server> server_;
};

RemoteConfig quick() { return {.tls = {}, .plain_http = {}, .attempts = 4, .first_pause = std::chrono::milliseconds(1), .longest_pause = std::chrono::milliseconds(5)}; }

Keys keys_of(const std::string& host, const std::string& user, const std::string& secret) {
  return {DockerConfig::parse(fmt::format(R"({{"auths":{{"{}":{{"auth":"{}"}}}}}})", host, to_base64(user + ":" + secret)), Helpers::refuse).value()};
}

bool ask_for_token(const std::shared_ptr<Exchange>& exchange, const std::string& realm) {
  exchange->respond({401, {{"WWW-Authenticate", fmt::format("Bearer realm=\"{}\",service=\"fake\",scope=\"repository:other:pull\"", realm)}}, ""});
  return true;
}

TEST_CASE("an image is pulled with its layers and named, and a second pull asks for its manifest alone") {
  Fake fake;
  const Digest digest = fake.add("team/app:v1", std::string(200'000, 'x'));
  Store store;
  Client client(*fake.executor, quick());
  const auto pulled = client.pull(store.images, fake.reference("team/app:v1"), {}, {}).value();
  CHECK(pulled.named == digest);
  CHECK(pulled.bytes == 200'000);
  CHECK(store.images.resolve(fake.reference("team/app:v1")).value() == digest);
  const auto all = reachable(*store.blobs, {digest}).value();
  for (const Digest& blob : all) CHECK(store.blobs->has(blob));
  const int before = fake.requests;
  CHECK(client.pull(store.images, fake.reference("team/app:v1"), {}, {}));
  CHECK(fake.requests == before + 1);
  CHECK(client.resolve(fake.reference("team/app:v1"), {}, {}).value() == digest);
}

TEST_CASE("an image by digest alone keeps a name made of it; what is not there is not found") {
  Fake fake;
  const Digest digest = fake.add("app:v1");
  Store store;
  Client client(*fake.executor, quick());
  CHECK(client.pull(store.images, fake.reference("app@" + digest.value), {}, {}));
  CHECK(store.images.list().value().at(0).reference.tag == "sha256-" + std::string(digest.hex()));
  CHECK(client.pull(store.images, fake.reference("app:v2"), {}, {}).error().code == ErrorCode::not_found);
}

TEST_CASE("the machine's platform is chosen from an index and nothing of the others is fetched") {
  Fake fake;
  const Digest ours = fake.add("app:amd64");
  const auto part = [](const Digest& digest, std::string_view arch) {
    return Json::object({{"mediaType", media::manifest}, {"digest", digest.value}, {"size", 100}, {"platform", Json::object({{"os", "linux"}, {"architecture", arch}})}});
  };
  const Digest other = Digest::of("elsewhere");
  const std::string index = text::to_json(Json::object({{"schemaVersion", 2}, {"mediaType", media::docker_list}, {"manifests", Json::array({part(other, "arm64"), part(ours, "amd64")})}}));
  const Digest digest = fake.store.blobs->put(index).value();
  REQUIRE(fake.store.images.tag(fake.reference("app:v1"), digest));
  Store store;
  const auto pulled = Client(*fake.executor, quick()).pull(store.images, fake.reference("app:v1"), {}, {}).value();
  CHECK(pulled.named == digest);
  CHECK(pulled.manifest == ours);
  CHECK(!store.blobs->has(other));
}

TEST_CASE("a token is fetched with the registry's credential and the scope that we need, whatever the challenge says") {
  std::string realm, seen_scope, seen_authorization;
  Fake fake([&](const std::shared_ptr<Exchange>& e) {
    const auto& head = e->head();
    if (head.url.path == "/token") {
      seen_scope = head.url.param("scope");
      seen_authorization = head.headers.get("Authorization");
      const bool known = seen_authorization == "Basic " + to_base64("me:secret");
      e->respond({known ? 200 : 401, {}, known ? R"({"access_token":"T"})" : ""});
      return true;
    }
    return head.headers.get("Authorization") == "Bearer T" ? false : ask_for_token(e, realm);
  });
  realm = "http://" + fake.name + "/token";
  fake.add("team/app:v1");
  Store store;
  Client client(*fake.executor, quick());
  CHECK(client.pull(store.images, fake.reference("team/app:v1"), {}, {}).error().code == ErrorCode::unauthenticated);
  CHECK(client.pull(store.images, fake.reference("team/app:v1"), keys_of(fake.name, "me", "wrong"), {}).error().to_string().find("wrong") == std::string::npos);
  CHECK(client.pull(store.images, fake.reference("team/app:v1"), keys_of(fake.name + "/team", "me", "secret"), {}));
  CHECK(seen_scope == "repository:team/app:pull");
}

TEST_CASE("an identity token is exchanged by a form, not shown in a URL") {
  std::string realm, method, query;
  Fake fake([&](const std::shared_ptr<Exchange>& e) {
    if (e->head().url.path == "/token") {
      method = e->head().method;
      query = e->head().url.raw_path;
      e->read_body(10'000, [e](Result<std::string> body) {
        const bool good = body && body->find("grant_type=refresh_token") != body->npos && body->find("refresh_token=long%2Flived") != body->npos;
        e->respond({good ? 200 : 400, {}, R"({"access_token":"T"})"});
      });
      return true;
    }
    return e->head().headers.get("Authorization") == "Bearer T" ? false : ask_for_token(e, realm);
  });
  realm = "http://" + fake.name + "/token";
  fake.add("app:v1");
  Store store;
  const Keys keys{DockerConfig::parse(fmt::format(R"({{"auths":{{"{}":{{"identitytoken":"long/lived"}}}}}})", fake.name), Helpers::refuse).value()};
  CHECK(Client(*fake.executor, quick()).pull(store.images, fake.reference("app:v1"), keys, {}));
  CHECK(method == "POST");
  CHECK(query.find("long") == std::string::npos);
}

TEST_CASE("no credential reaches another host by a realm or a redirect") {
  std::atomic<int> asked{0};
  std::string leaked;
  Fake stranger([&](const std::shared_ptr<Exchange>& e) {
    ++asked;
    leaked += e->head().headers.get("Authorization");
    e->respond({e->head().url.path == "/token" ? 401 : 200, {}, e->head().url.path == "/token" ? "" : "layer"});
    return true;
  });
  Fake by_realm([&](const std::shared_ptr<Exchange>& e) { return ask_for_token(e, "http://" + stranger.name + "/token"); });
  Fake by_redirect([&](const std::shared_ptr<Exchange>& e) {
    if (e->head().headers.get("Authorization").empty()) return e->respond({401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, ""}), true;
    if (e->head().url.path.find("/blobs/" + Digest::of("layer").value) == std::string::npos) return false;
    return e->respond({307, {{"Location", "http://" + stranger.name + "/layer?signature=1"}}, ""}), true;
  });
  by_realm.add("app:v1");
  by_redirect.add("app:v1");
  Store store;
  Client client(*stranger.executor, quick());
  CHECK(!client.pull(store.images, by_realm.reference("app:v1"), keys_of(by_realm.name, "me", "secret"), {}));
  CHECK(asked == 1);
  CHECK(client.pull(store.images, by_redirect.reference("app:v1"), keys_of(by_redirect.name, "me", "secret"), {}));
  CHECK(asked == 2);
  CHECK(leaked == "");
}

TEST_CASE("a layer goes on where the connection broke, and a registry that is busy is asked again") {
  std::atomic<int> gets{0}, busy{0};
  std::string range;
  const std::string layer(3'000'000, 'y');
  Fake fake([&](const std::shared_ptr<Exchange>& e) {
    if (e->head().url.path.find("/manifests/") != std::string::npos && busy++ < 2) return e->respond({busy == 1 ? 503 : 429, {}, ""}), true;
    if (e->head().url.path.find(Digest::of(layer).value) == std::string::npos) return false;
    if (gets++ > 0) return range = e->head().headers.get("Range"), false;
    e->start(200, {{"Content-Length", std::to_string(layer.size())}});
    (void)e->write(layer.substr(0, 1'000'000));
    e->finish();  // too early: the connection ends
    e->abort();
    return true;
  });
  fake.add("app:v1", layer);
  Store store;
  REQUIRE(Client(*fake.executor, quick()).pull(store.images, fake.reference("app:v1"), {}, {}));
  CHECK(gets == 2);
  CHECK(store.blobs->has(Digest::of(layer)));
}

TEST_CASE("what is not what its digest or descriptor says is refused and leaves nothing") {
  const char* bodies[] = {"lay3r", "layer and more", ""};
  for (const std::string body : bodies) {
    Fake fake([&](const std::shared_ptr<Exchange>& e) {
      if (e->head().url.path.find(Digest::of("layer").value) == std::string::npos) return false;
      return e->respond({200, {}, body}), true;
    });
    fake.add("app:v1");
    Store store;
    CHECK(!Client(*fake.executor, quick()).pull(store.images, fake.reference("app:v1"), {}, {}));
    CHECK(!store.blobs->has(Digest::of("layer")));
    CHECK(store.images.list().value().empty());
  }
}

TEST_CASE("a manifest too large, of two kinds or of another digest is refused") {
  std::string body;
  Fake fake([&](const std::shared_ptr<Exchange>& e) { return e->respond({200, {}, body}), true; });
  Store store;
  Client client(*fake.executor, quick());
  body = std::string(max_manifest + 1, ' ');
  CHECK(client.pull(store.images, fake.reference("app:v1"), {}, {}).error().code == ErrorCode::too_large);
  body = R"({"schemaVersion":2,"config":{},"layers":[],"manifests":[]})";
  CHECK(client.pull(store.images, fake.reference("app:v1"), {}, {}).error().code == ErrorCode::invalid);
  body = "{}";
  CHECK(client.pull(store.images, fake.reference("app@" + Digest::of("x").value), {}, {}).error().code == ErrorCode::invalid);
}

TEST_CASE("a push sends what is missing, compressed, and what is pushed can be pulled back and unpacked") {
  Fake from, to;
  const std::string layer(300'000, 'z');
  const Digest image = from.add("app:v1", layer);
  Client client(*from.executor, quick());
  const Digest sent = client.push(from.store.images, image, to.reference("team/app:v2"), keys_of(to.name, "me", "token"), nullptr, {}).value();
  CHECK(sent != image);
  CHECK(from.store.images.resolve(to.reference("team/app:v2")).value() == sent);
  CHECK(client.push(from.store.images, image, to.reference("team/app:v2"), keys_of(to.name, "me", "token"), nullptr, {}).value() == sent);
  Store store;
  REQUIRE(client.pull(store.images, to.reference("team/app@" + sent.value), {}, {}));
  const Manifest manifest = read_manifest(*store.blobs, sent).value();
  CHECK(manifest.layers.at(0).media_type == "application/vnd.oci.image.layer.v1.tar+gzip");
  bool given = false;
  const auto source = decompressed([&](std::size_t) -> Result<std::string> { return std::exchange(given, true) ? std::string() : store.blobs->get(manifest.layers[0].digest, 1 << 20).value(); });
  std::string plain;
  for (std::string piece; !(piece = source(1 << 20).value()).empty();) plain += piece;
  CHECK(plain == layer);
}

TEST_CASE("a push without a credential that may write says so; to a digest it is refused") {
  Fake fake;
  const Digest image = fake.add("app:v1");
  Client client(*fake.executor, quick());
  CHECK(client.push(fake.store.images, image, fake.reference("app:v2"), {}, nullptr, {}).error().code == ErrorCode::unauthenticated);
  CHECK(client.push(fake.store.images, image, fake.reference("app@" + image.value), {}, nullptr, {}).error().code == ErrorCode::invalid);
}

TEST_CASE("layers of another repository of the same registry are mounted, not sent") {
  std::atomic<int> puts{0};
  std::string mounted;
  Store store;
  Fake fake([&](const std::shared_ptr<Exchange>& e) {
    const auto& head = e->head();
    if (head.method == "HEAD" && head.url.path.find("/blobs/") != std::string::npos) return e->respond({404, {}, ""}), true;
    if (head.url.has_param("mount")) mounted = head.url.param("from");
    if (head.method == "PUT" && head.url.path.find("/blobs/") != std::string::npos) ++puts;
    return false;
  });
  const Digest image = fake.add("app:v1");
  Client client(*fake.executor, quick());
  const Keys keys = keys_of(fake.name, "me", "token");
  const Digest first = client.push(fake.store.images, image, fake.reference("app:gz"), keys, nullptr, {}).value();
  CHECK(puts == 2);
  const Reference from = fake.reference("app:gz");
  CHECK(client.push(fake.store.images, first, fake.reference("copy:v1"), keys, &from, {}).value() == first);
  CHECK(puts == 2);
  CHECK(mounted == "app");
}

TEST_CASE("a pull that is stopped ends at once") {
  std::stop_source stop;
  std::shared_ptr<Exchange> held;
  Fake fake([&](const std::shared_ptr<Exchange>& e) { return held = e, stop.request_stop(), true; });
  Store store;
  CHECK(!Client(*fake.executor, quick()).pull(store.images, fake.reference("app:v1"), {}, stop.get_token()));
}

TEST_CASE("a docker configuration is read in every shape, the longest path first") {
  const auto config = DockerConfig::parse(R"({"auths":{
      "https://index.docker.io/v1/":{"auth":"aHViOnB3"}, "reg.example":{"username":"all","password":"p"}, "reg.example/team":{"username":"team","password":"p"},
      "*.wild.example":{"username":"wild","password":"p"}, "empty.example":{}}, "credsStore":"never-run"})", Helpers::refuse).value();
  const auto users = [&](std::string_view name) {
    std::string out;
    const auto found = config.find(Reference::parse(name).value()).value();
    for (const auto& one : found) out += one.user + " ";
    return out;
  };
  CHECK(users("debian") == "hub ");
  CHECK(users("reg.example/team/app:v1") == "team all ");
  CHECK(users("reg.example/teams/app") == "all ");
  CHECK(users("a.wild.example/app") == "wild ");
  CHECK(users("wild.example/app") == "");
  CHECK(users("empty.example/app") == "");
  const auto old = DockerConfig::parse(R"({"https://reg.example/v1/":{"auth":"aHViOnB3"}})", Helpers::refuse).value();
  CHECK(old.find(Reference::parse("reg.example/app").value()).value().at(0).secret == "pw");
  CHECK(DockerConfig::parse(R"({"auths":{"x":{"auth":"!"}}})", Helpers::refuse).error().code == ErrorCode::invalid);
  CHECK(DockerConfig::parse("secret", Helpers::refuse).error().to_string().find("secret") == std::string::npos);
}

TEST_CASE("a challenge is read whatever comes before it") {
  const auto challenge = parse_challenge({{"WWW-Authenticate", R"(Basic realm="x, y", Bearer realm="https://auth.example/token",service="reg \"1\"")"}});
  REQUIRE(challenge);
  CHECK(challenge->kind == Challenge::Kind::bearer);
  CHECK(challenge->realm == "https://auth.example/token");
  CHECK(challenge->service == "reg \"1\"");
  CHECK(!parse_challenge({{"WWW-Authenticate", "Negotiate abc="}}));
}

TEST_CASE("credentials are shared with the registry's own domain over TLS and nothing else") {
  CHECK(may_share_credentials("https://registry-1.docker.io", "https://auth.docker.io"));
  CHECK(may_share_credentials("https://registry.gitlab.example", "https://gitlab.example"));
  CHECK(may_share_credentials("http://127.0.0.1:5000", "http://127.0.0.1:5000"));
  CHECK(!may_share_credentials("http://127.0.0.1:5000", "http://127.0.0.1:5001"));
  CHECK(!may_share_credentials("https://reg.example", "http://reg.example"));
  CHECK(!may_share_credentials("https://reg.example", "https://example"));
  CHECK(!may_share_credentials("https://reg.example", "https://evilreg.example"));
  CHECK(!may_share_credentials("https://10.0.0.1", "https://0.0.1"));
}

}  // namespace
}  // namespace slipway::oci
