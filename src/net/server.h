// SPDX-License-Identifier: Apache-2.0
// The HTTP server: one epoll loop on one thread for HTTP/1.1 over TCP and TLS (and HTTP/2 and WebSocket by upgrade).
//
// start() binds, so that a port that is taken is an error at once; requests are answered by the handler of their
// listener. The destructor closes every connection and joins the thread.
#pragma once

#include "net/http.h"

namespace slipway::net {

struct Endpoint {
  Listen listen;
  TlsServerConfig tls;  // used where listen.tls
  Handler handler;
};

class Server {
 public:
  virtual ~Server() = default;
  virtual std::uint16_t port(std::size_t endpoint) const = 0;
  virtual void post(std::function<void()> task) = 0;  // runs on the loop's thread, soon
  virtual void stop_accepting() = 0;                  // the first half of a graceful stop
  static Result<std::unique_ptr<Server>> start(std::vector<Endpoint> endpoints, ServerLimits limits = {});
};

}  // namespace slipway::net
