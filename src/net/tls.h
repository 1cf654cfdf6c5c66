// SPDX-License-Identifier: Apache-2.0
// TLS contexts for servers and clients (OpenSSL 3, TLS 1.2 and 1.3). A context may be shared by threads.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "net/client.h"
#include "net/http.h"

namespace slipway::net {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeContext>;
using TlsSession = std::unique_ptr<SSL, FreeSsl>;

Result<TlsContext> make_server_context(const TlsServerConfig& config);
Result<TlsContext> make_client_context(const TlsClientConfig& config);

// After the handshake: the peer's key is the pinned one, where one is pinned.
Result<> check_pin(SSL* ssl, const std::string& pinned_sha256);
// Hex SHA-256 of the public key (SubjectPublicKeyInfo) of the first certificate of a PEM text.
Result<std::string> public_key_pin(const std::string& certificate_pem);

// CN and O of a verified peer certificate; empty where there is none.
struct PeerName {
  std::string common_name;
  std::vector<std::string> organizations;
};
PeerName peer_name(SSL* ssl);

std::string tls_error_text();  // the thread's newest OpenSSL error; clears the queue

}  // namespace slipway::net
