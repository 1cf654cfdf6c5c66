// SPDX-License-Identifier: Apache-2.0
#include "cli/hub.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace slipway::cli {
namespace {

constexpr std::size_t max_answer = 64 * 1024 * 1024;

Result<> judge(const net::Response& response) {
  if (response.status < 300) return {};
  const ErrorCode code = response.status == 404 ? ErrorCode::not_found : response.status == 401 || response.status == 403 ? ErrorCode::forbidden : ErrorCode::internal;
  return fail(code, fmt::format("slipway answers {}: {}", response.status, trim(response.body)));
}

}  // namespace

Result<std::unique_ptr<Hub>> Hub::find(const Invocation& invocation, kube::Client& client) {
  const auto info = client.get(kube::resources::config_maps, {"kube-public", "slipway-info"});
  if (!info) return fail(ErrorCode::not_found, "no Slipway serves this plane (ConfigMap kube-public/slipway-info: " + info.error().message + ")");
  const text::Json& data = (*info)["data"];
  auto transport = TRY(net::make_client(TRY(net::Origin::parse(data["url"].as_string())), {.pinned_sha256 = data["pin"].str()}));
  std::string token = TRY(connection(invocation)).bearer_token;
  if (token.empty()) return fail(ErrorCode::unauthenticated, "Slipway's own port takes tokens, and this kubeconfig's user has none (only a certificate); `kubectl create token NAME` makes one for a ServiceAccount");
  return std::unique_ptr<Hub>(new Hub(std::move(transport), std::move(token)));
}

net::ClientRequest Hub::request(const std::string& target) const {
  net::ClientRequest out{.target = target, .stall = std::chrono::milliseconds(0)};
  out.headers.set("Authorization", "Bearer " + token_);
  return out;
}

Result<std::string> Hub::get(const std::string& target) {
  const net::Response response = TRY(client_->send(request(target), max_answer));
  TRY(judge(response));
  return response.body;
}

Result<> Hub::stream(const std::string& target, const std::function<void(std::string_view)>& on_piece, const std::stop_token& stop) {
  net::Response head;
  TRY(client_->stream(request(target), [&](const net::Response& answer) { return head = answer, true; },
                      [&](std::string_view piece) {
                        if (head.status >= 300) head.body += piece;
                        else on_piece(piece);
                        return head.body.size() < 4096;
                      }, stop));
  return judge(head);
}

}  // namespace slipway::cli
