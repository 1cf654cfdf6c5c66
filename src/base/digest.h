// SPDX-License-Identifier: Apache-2.0
// SHA-256, HMAC-SHA256 and CRC32C.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace slipway {

// Piece by piece; one object, one thread.
class Sha256 final {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  std::string finish();  // 32 bytes; at most once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view bytes);      // 32 bytes
std::string sha256_hex(std::string_view bytes);  // 64 hex digits
std::string hmac_sha256(std::string_view key, std::string_view bytes);
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);  // RFC 3720 appendix B.4

}  // namespace slipway
