// SPDX-License-Identifier: Apache-2.0
#include "net/server.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "base/process.h"
#include "net/client.h"
#include "net/tls.h"

namespace slipway::net {
namespace {

struct Pair {
  TempFolder folder;
  std::string certificate, key;
  Pair() {
    const std::string c = folder.path() + "/c.pem", k = folder.path() + "/k.pem";
    REQUIRE(run_ok({.arguments = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                                  "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", k, "-out", c}}));
    certificate = read_file(c).value();
    key = read_file(k).value();
  }
};

Response text(std::string body, int status = 200) { return {status, {{"Content-Type", "text/plain"}}, std::move(body)}; }

std::unique_ptr<Server> serve(Handler handler, ServerLimits limits = {}) {
  return Server::start({{.listen = {.tls = false}, .tls = {}, .handler = std::move(handler)}}, limits).value();
}

std::unique_ptr<Client> client_of(const Server& server) {
  return make_client(Origin{false, "127.0.0.1", server.port(0)}).value();
}

// Sends bytes as they are and reads until the server closes.
std::string raw(const Server& server, std::string_view bytes) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(server.port(0)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  (void)write_all(fd.get(), bytes);
  return read_all(fd.get(), 1 << 20).value_or("reset");
}

TEST_CASE("a request is answered on its connection, and the next one too") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) { exchange->respond(text(exchange->head().method + exchange->head().url.path)); });
  const auto client = client_of(*server);
  for (int i = 0; i < 3; ++i) CHECK(client->send({.target = "/a"}).value().body == "GET/a");
}

TEST_CASE("bodies of several TLS records reach a handler on its own thread, on fresh and on kept connections") {
  const Pair pair;
  std::vector<std::future<void>> handlers;
  std::mutex mutex;
  const auto server = Server::start({{.listen = {.tls = true},
                                      .tls = {pair.certificate, pair.key, ""},
                                      .handler = [&](std::shared_ptr<Exchange> exchange) {
                                        const std::lock_guard lock(mutex);
                                        handlers.push_back(std::async(std::launch::async, [exchange] {
                                          std::size_t size = 0;
                                          for (auto piece = exchange->read_some(); piece && !piece->empty(); piece = exchange->read_some()) size += piece->size();
                                          exchange->respond(text(std::to_string(size)));
                                        }));
                                      }}})
                          .value();
  const auto client = make_client(Origin{true, "127.0.0.1", server->port(0)}, {.insecure = true}).value();
  const auto send_many = [&](std::size_t size) {
    for (int i = 0; i < 300; ++i) {
      ClientRequest request{.method = "PUT", .timeout = std::chrono::seconds(20)};
      request.content_length = size;
      request.body_source = [left = size]() mutable -> Result<std::string> {
        const std::size_t piece = std::min<std::size_t>(left, 50'000);
        left -= piece;
        return std::string(piece, 'x');
      };
      const auto answer = client->send(request);
      REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().to_string()));
      CHECK(answer->body == std::to_string(size));
    }
  };
  auto small = std::async(std::launch::async, [&] { send_many(300); });
  send_many(20'992);
  small.get();
  send_many(300'000);
}

// A copy of the server's end of its connections: what a forked child holds until it runs its program.
std::vector<UniqueFd> copies_of_connections(std::uint16_t port) {
  std::vector<UniqueFd> copies;
  for (int fd = 3; fd < 256; ++fd) {
    sockaddr_in own{}, peer{};
    socklen_t size = sizeof own, peer_size = sizeof peer;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0 || ntohs(own.sin_port) != port) continue;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0) copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 500));
  }
  return copies;
}

TEST_CASE("a connection is not hurt by an earlier one of its number that a child still holds") {
  std::promise<std::shared_ptr<Exchange>> held;
  const auto server = serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().url.path != "/held") return exchange->respond(text("ok"));
    exchange->start(200, {});
    held.set_value(std::move(exchange));
  });
  std::vector<UniqueFd> copies;
  {
    const auto first = client_of(*server);
    REQUIRE(first->send({}).has_value());
    copies = copies_of_connections(server->port(0));
    REQUIRE(!copies.empty());
  }
  const auto second = client_of(*server);  // its two descriptors get the numbers that the first left
  auto answer = std::async(std::launch::async, [&] { return second->send({.target = "/held"}); });
  const auto exchange = held.get_future().get();
  for (const UniqueFd& copy : copies) ::shutdown(copy.get(), SHUT_RDWR);
  for (int i = 0; i < 20; ++i) CHECK(client_of(*server)->send({}).has_value());
  CHECK(exchange->write("whole"));
  exchange->finish();
  const auto whole = answer.get();
  REQUIRE_MESSAGE(whole.has_value(), (whole ? "" : whole.error().to_string()));
  CHECK(whole->body == "whole");
}

TEST_CASE("requests in one packet are answered in order") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) { exchange->respond(text(exchange->head().url.path)); });
  const std::string answers = raw(*server, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nConnection: close\r\n\r\n");
  CHECK(answers.find("/1") < answers.find("/2"));
  CHECK(answers.find("/2") < answers.find("/3"));
  CHECK(answers.find("/3") != answers.npos);
}

TEST_CASE("a body is read whole up to its limit, with a length or in chunks") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) {
    exchange->read_body(100'000, [exchange](Result<std::string> body) {
      exchange->respond(body ? text(std::to_string(body->size())) : text("no", 413));
    });
  });
  const auto client = client_of(*server);
  CHECK(client->send({.method = "POST", .body = std::string(100'000, 'x')}).value().body == "100000");
  CHECK(client->send({.method = "POST", .body = std::string(100'001, 'x')}).value().status == 413);
  int pieces = 0;
  CHECK(client->send({.method = "POST", .body_source = [&]() -> Result<std::string> { return pieces++ < 10 ? std::string(5000, 'y') : ""; }}).value().body == "50000");
}

TEST_CASE("a large body streams through a thread with little memory, both ways, over TLS") {
  const Pair pair;
  std::jthread worker;
  const auto server = Server::start({{.listen = {}, .tls = {pair.certificate, pair.key, ""}, .handler = [&](std::shared_ptr<Exchange> exchange) {
    worker = std::jthread([exchange] {
      exchange->start(200, {});
      for (;;) {
        const auto piece = exchange->read_some();
        if (!piece || piece->empty()) break;
        if (!exchange->write_blocking(*piece)) break;
      }
      exchange->finish();
    });
  }}}).value();
  const auto client = make_client(Origin{true, "127.0.0.1", server->port(0)}, {.ca_pem = pair.certificate}).value();
  int pieces = 0;
  std::size_t received = 0;
  std::jthread sender;
  REQUIRE(client->stream({.method = "POST", .body_source = [&]() -> Result<std::string> { return pieces++ < 100 ? std::string(10'000, 'z') : ""; }},
                         [](const Response& head) { return head.status == 200; },
                         [&](std::string_view piece) { received += piece.size(); return true; }, {}));
  CHECK(received == 1'000'000);
}

TEST_CASE("TLS: a wrong CA and a wrong pin are refused, the right pin needs no CA") {
  const Pair pair, other;
  const auto server = Server::start({{.listen = {}, .tls = {pair.certificate, pair.key, ""},
                                      .handler = [](std::shared_ptr<Exchange> exchange) { exchange->respond(text("ok")); }}}).value();
  const Origin origin{true, "127.0.0.1", server->port(0)};
  CHECK(make_client(origin, {.ca_pem = pair.certificate}).value()->send({}).value().body == "ok");
  CHECK(make_client(origin, {.ca_pem = other.certificate}).value()->send({}).error().message.find("certificate was refused") != std::string::npos);
  CHECK(make_client(origin, {.pinned_sha256 = public_key_pin(pair.certificate).value()}).value()->send({}).value().body == "ok");
  CHECK(make_client(origin, {.pinned_sha256 = std::string(64, '0')}).value()->send({}).error().code == ErrorCode::unauthenticated);
}

TEST_CASE("an ambiguous request is answered 400 and its connection closed") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) { exchange->respond(text("ok")); });
  CHECK(raw(*server, "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").starts_with("HTTP/1.1 400"));
  CHECK(raw(*server, "GET / HTTP/1.1\r\nX: " + std::string(33'000, 'x')).starts_with("HTTP/1.1 431"));
  CHECK(raw(*server, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
}

TEST_CASE("an exchange that nobody answers is a 500; one that ends in the middle is seen as incomplete") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().url.path == "/half") {
      exchange->start(200, {});
      exchange->write("half");
    }
  });
  const auto client = client_of(*server);
  CHECK(client->send({.target = "/drop"}).value().status == 500);
  CHECK(!client->send({.target = "/half"}));
}

TEST_CASE("a slow head is cut off at its deadline") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) { exchange->respond(text("ok")); }, {.head_deadline = std::chrono::seconds(0)});
  CHECK(raw(*server, "GET / HTTP/1.1\r\nHost:") == "");
}

TEST_CASE("a stop ends a stream that waits; the server learns that the peer is gone") {
  std::promise<void> gone;
  const auto server = serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->on_gone([&, exchange] { gone.set_value(); });
    exchange->start(200, {});
    exchange->write("first");
  });
  const auto client = client_of(*server);
  std::stop_source stop;
  const auto ended = client->stream({.stall = std::chrono::milliseconds(0)}, [](const Response&) { return true; },
                                    [&](std::string_view) { stop.request_stop(); return true; }, stop.get_token());
  CHECK(ended.error().code == ErrorCode::unavailable);
  CHECK(gone.get_future().wait_for(std::chrono::seconds(10)) == std::future_status::ready);
}

TEST_CASE("an exchange that outlives its server is of no use and does no harm") {
  std::promise<std::shared_ptr<Exchange>> kept;
  auto server = serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->start(200, {});
    exchange->write("first");
    kept.set_value(std::move(exchange));
  });
  const auto client = client_of(*server);
  std::stop_source stop;
  (void)client->stream({.stall = std::chrono::milliseconds(0)}, [](const Response&) { return true; }, [&](std::string_view) { stop.request_stop(); return true; }, stop.get_token());
  const auto exchange = kept.get_future().get();
  server.reset();
  CHECK_FALSE(exchange->write("more"));
  CHECK(exchange->read_some(10).error().code == ErrorCode::unavailable);
  bool told = false;
  exchange->on_gone([&] { told = true; });
  CHECK(told);
  exchange->finish();
  exchange->abort();
}

TEST_CASE("a kept connection that went stale is replaced without an error") {
  auto server = serve([](std::shared_ptr<Exchange> exchange) { exchange->respond(text("ok")); }, {.idle = std::chrono::seconds(0)});
  const auto client = client_of(*server);
  for (int i = 0; i < 3; ++i) CHECK(client->send({}).value().body == "ok");
}

TEST_CASE("an origin is scheme, host and port alone") {
  CHECK(Origin::parse("https://127.0.0.1:6443").value() == Origin{true, "127.0.0.1", 6443});
  CHECK(Origin::parse("http://[::1]:80/").value().host == "::1");
  for (const char* bad : {"ftp://x", "https://", "https://a/b", "https://user@host", "https://h:0", "https://h:x"}) CHECK(!Origin::parse(bad));
}

TEST_CASE("a line break cannot be smuggled into a request") {
  const auto server = serve([](std::shared_ptr<Exchange> exchange) { exchange->respond(text("ok")); });
  const auto client = client_of(*server);
  CHECK(!client->send({.target = "/ HTTP/1.1\r\nX: y"}));
  CHECK(!client->send({.headers = {{"A", "b\r\nC: d"}}}));
}

}  // namespace
}  // namespace slipway::net
