// SPDX-License-Identifier: Apache-2.0
// The Kubernetes API of the one-machine control plane, over one ObjectStore.
//
// handle() is the handler of a net::Server: it answers from its own threads, never on the loop's. local_client() is a
// kube::Client in this process; it goes the same way (authorization, admission, storage) without HTTP. Every request
// passes one function that authenticates and authorizes; the anonymous see /livez, /readyz, /healthz and /version.
// Sources: Kubernetes API concepts and the API reference of 1.36.
#pragma once

#include "auth/identity.h"
#include "auth/tokens.h"
#include "base/counters.h"
#include "base/executor.h"
#include "kube/client.h"
#include "net/http.h"
#include "store/file.h"

namespace slipway::api {

struct LogRequest {
  text::Json pod;
  std::string container;
  bool follow = false, previous = false, timestamps = false;
  std::optional<std::int64_t> tail_lines, since_seconds, limit_bytes;
};

// Where the logs of pods come from.
class PodLogSource {
 public:
  virtual ~PodLogSource() = default;
  // Blocks; calls on_piece until it answers false, the log ends or the stop is requested.
  virtual Result<> read(const LogRequest& request, const std::function<bool(std::string_view)>& on_piece, std::stop_token stop) = 0;
};

struct ApiConfig {
  std::string folder;               // of the store
  std::string ca_pem;               // goes into the ConfigMap kube-root-ca.crt of each namespace, where given
  std::uint16_t port = 6443;        // of the Service `kubernetes`
  const auth::TokenFile* tokens = nullptr;
  const auth::AccountTokens* account_tokens = nullptr;
  PodLogSource* logs = nullptr;
  std::size_t threads = 4;
  std::size_t waiting_requests = 1000;  // more are answered 429
  std::size_t watch_queue_bytes = 8 * 1024 * 1024;  // a watcher that lags further is ended
  std::size_t watches_per_user = 1000;  // more are answered 429
  Metrics* metrics = nullptr;            // counts requests and watches, and is served at /metrics, where given
  std::function<void(const Error&)> on_store_failure;
};

class Api {
 public:
  virtual ~Api() = default;
  // The references must outlive the Api.
  static Result<std::unique_ptr<Api>> open(store::FileSystem& files, Executor& executor, ApiConfig config);
  virtual void handle(std::shared_ptr<net::Exchange> exchange) = 0;
  // Ends every watch and log and lets go of every exchange; later requests are answered 503. Call it before the
  // net::Server ends, whose exchanges must not outlive it.
  virtual void stop() = 0;
  virtual std::unique_ptr<kube::Client> local_client(auth::Identity identity) = 0;  // must not outlive the Api
};

}  // namespace slipway::api
