// SPDX-License-Identifier: Apache-2.0
// The API alone over TLS, for the contract suite: `api_only FOLDER` writes FOLDER/kubeconfig and serves until stdin ends.
#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "auth/certificates.h"
#include "base/files.h"
#include "cluster/api/api.h"
#include "net/server.h"
#include "store/file.h"

namespace slipway::api {
namespace {

Result<> serve_until_end_of_input(const std::string& folder) {
  const auto executor = make_system_executor();
  const auto files = store::make_system_files();
  const auto tokens = TRY(auth::TokenFile::open(folder + "/tokens"));
  const std::string token = auth::make_token();
  TRY(tokens->add(token, auth::administrator()));
  const auto authority = TRY(auth::make_authority("contract"));
  const auto pair = TRY(auth::make_certificate(authority, {.common_name = "api", .names = {"localhost"}, .addresses = {"127.0.0.1"}}));
  const auto accounts = TRY(auth::AccountTokens::open(authority.private_key_pem));
  Metrics metrics;
  const auto api = TRY(Api::open(*files, *executor, {.folder = folder + "/store", .ca_pem = authority.certificate_pem, .tokens = tokens.get(), .account_tokens = accounts.get(), .metrics = &metrics}));
  auto server = TRY(net::Server::start({{{.port = 0, .tls = true}, {pair.certificate_pem, pair.private_key_pem, authority.certificate_pem},
                                         [&](std::shared_ptr<net::Exchange> exchange) { api->handle(std::move(exchange)); }}}));
  TRY(write_file_atomically(folder + "/ca.pem", authority.certificate_pem));
  const auto named = [](const char* what, text::Json value) { return text::Json::array({text::Json::object({{"name", "t"}, {what, std::move(value)}})}); };
  const text::Json config = text::Json::object(
      {{"apiVersion", "v1"}, {"kind", "Config"}, {"current-context", "t"},
       {"clusters", named("cluster", text::Json::object({{"server", fmt::format("https://127.0.0.1:{}", server->port(0))}, {"certificate-authority", folder + "/ca.pem"}}))},
       {"users", named("user", text::Json::object({{"token", token}}))},
       {"contexts", named("context", text::Json::object({{"cluster", "t"}, {"user", "t"}}))}});
  TRY(write_file_atomically(folder + "/kubeconfig", to_json(config)));
  std::puts("ready");
  std::fflush(stdout);
  char ignored[256];
  while (read(0, ignored, sizeof ignored) > 0) {}
  api->stop();
  server.reset();
  return {};
}

}  // namespace
}  // namespace slipway::api

int main(int count, char** arguments) {
  if (count != 2) return std::fputs("usage: api_only FOLDER\n", stderr), 2;
  const auto done = slipway::api::serve_until_end_of_input(arguments[1]);
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().to_string().c_str());
  return 3;
}
