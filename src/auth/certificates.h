// SPDX-License-Identifier: Apache-2.0
// Certificates on P-256: an authority, and what it signs. PEM in and out; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::auth {

struct KeyPair {
  std::string certificate_pem;
  std::string private_key_pem;
};

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> names;      // DNS names; a server's
  std::vector<std::string> addresses;  // IP addresses; a server's
  enum class Use { server, client, both } use = Use::server;
  std::chrono::hours lifetime{24 * 365};
};

Result<KeyPair> make_authority(std::string_view common_name, std::chrono::hours lifetime = std::chrono::hours(24 * 3650));
Result<KeyPair> make_certificate(const KeyPair& authority, const CertificateRequest& request);
Result<std::string> make_private_key();  // P-256, PKCS#8 PEM
// Lower-case hex SHA-256 of the certificate's public key (SPKI), as net's TlsClientConfig pins it.
Result<std::string> public_key_sha256(std::string_view certificate_pem);
Result<std::chrono::system_clock::time_point> expires_at(std::string_view certificate_pem);

}  // namespace slipway::auth
