// SPDX-License-Identifier: Apache-2.0
// serve's own HTTPS port as a command reaches it: its address and key stand in the ConfigMap kube-public/slipway-info
// of the plane, its token is the kubeconfig's.
#pragma once

#include "cli/connect.h"
#include "net/client.h"

namespace slipway::cli {

class Hub final {
 public:
  // not_found where no Slipway serves this plane.
  static Result<std::unique_ptr<Hub>> find(const Invocation& invocation, kube::Client& client);

  Result<std::string> get(const std::string& target);
  // Piece by piece until it ends or `stop`.
  Result<> stream(const std::string& target, const std::function<void(std::string_view)>& on_piece, const std::stop_token& stop);

 private:
  Hub(std::unique_ptr<net::Client> client, std::string token) : client_(std::move(client)), token_(std::move(token)) {}
  net::ClientRequest request(const std::string& target) const;
  const std::unique_ptr<net::Client> client_;
  const std::string token_;
};

}  // namespace slipway::cli
