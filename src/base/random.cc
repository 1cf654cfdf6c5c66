// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/strings.h"

namespace slipway {

std::uint64_t Random::below(std::uint64_t bound) {
  const std::string raw = bytes(8);
  std::uint64_t value = 0;
  std::memcpy(&value, raw.data(), 8);
  return value % bound;
}

std::string Random::uuid() {
  std::string raw = bytes(16);
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x40);
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  const std::string hex = to_hex(raw);
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" + hex.substr(20);
}

std::string Random::name_suffix(std::size_t length) {
  constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  for (std::size_t i = 0; i < length; ++i) out += letters[below(letters.size())];
  return out;
}

std::string SystemRandom::bytes(std::size_t count) {
  std::string out(count, '\0');
  for (std::size_t done = 0; done < count;) {
    const auto got = getrandom(out.data() + done, count - done, 0);
    if (got < 0 && errno != EINTR) std::abort();  // a kernel without randomness: nothing here would be safe
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  return out;
}

std::string SeededRandom::bytes(std::size_t count) {
  std::string out;
  while (out.size() < count) {
    const std::uint64_t word = engine_();
    out.append(reinterpret_cast<const char*>(&word), 8);
  }
  out.resize(count);
  return out;
}

}  // namespace slipway
