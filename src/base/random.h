// SPDX-License-Identifier: Apache-2.0
// Random bytes: from the kernel, or from a seed in tests and simulation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace slipway {

class Random {
 public:
  virtual ~Random() = default;
  virtual std::string bytes(std::size_t count) = 0;
  std::uint64_t below(std::uint64_t bound);  // 0 .. bound-1; bound > 0
  std::string uuid();                        // version 4
  // As Kubernetes' generateName: five of its consonants and digits, never a word.
  std::string name_suffix(std::size_t length = 5);
};

class SystemRandom final : public Random {  // any thread
 public:
  std::string bytes(std::size_t count) override;
};

class SeededRandom final : public Random {  // one thread
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  std::string bytes(std::size_t count) override;

 private:
  std::mt19937_64 engine_;
};

}  // namespace slipway
