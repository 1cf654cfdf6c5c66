// SPDX-License-Identifier: Apache-2.0
// The logs of pods on their way from the node to the API: the node's HTTPS port (a kubelet's /containerLogs), and the
// client of it inside serve.
#pragma once

#include "auth/identity.h"
#include "cluster/api/api.h"
#include "cluster/node/agent.h"
#include "net/client.h"
#include "net/http.h"

namespace slipway::app {

inline constexpr std::uint16_t node_port = 10250;

// Answers GET /containerLogs/NS/POD/CONTAINER?follow=&tailLines=&… to whoever shows the token, or a client certificate
// whose owner may: on a foreign plane that is its API server.
class NodeLogs final {
 public:
  using MayRead = std::function<Result<>(const auth::Identity&)>;  // may block; none: certificates are not enough
  NodeLogs(cluster::NodeAgent& agent, Executor& executor, std::string token, MayRead may_read)
      : agent_(agent), executor_(executor), token_(std::move(token)), may_read_(std::move(may_read)) {}
  ~NodeLogs();
  void handle(std::shared_ptr<net::Exchange> exchange);

 private:
  bool shows_token(const net::RequestHead& head) const;
  void stream(const std::shared_ptr<net::Exchange>& exchange, const kube::ObjectKey& pod, const std::string& container, std::stop_token stop);
  cluster::NodeAgent& agent_;
  Executor& executor_;
  const std::string token_;
  const MayRead may_read_;
  std::mutex mutex_;
  std::vector<std::pair<std::shared_ptr<std::atomic<bool>>, std::unique_ptr<Task>>> tasks_;
};

class RemoteNodeLogs final : public api::PodLogSource {
 public:
  RemoteNodeLogs(std::unique_ptr<net::Client> client, std::string token) : client_(std::move(client)), token_(std::move(token)) {}
  Result<> read(const api::LogRequest& request, const std::function<bool(std::string_view)>& on_piece, std::stop_token stop) override;

 private:
  const std::unique_ptr<net::Client> client_;
  const std::string token_;
};

}  // namespace slipway::app
