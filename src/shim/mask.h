// SPDX-License-Identifier: Apache-2.0
// Takes secrets out of a stream of bytes before it leaves the pod. Pure but for its memory of an unfinished match.
//
// A secret of several lines is also masked line by line, and each in Base64, as tools like to print them. What is
// shorter than four bytes is not taken for a secret: it would make every log unreadable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace slipway::shim {

class Masker final {
 public:
  static constexpr std::size_t min_secret = 4;
  static constexpr std::size_t max_secrets = 1000;

  explicit Masker(const std::vector<std::string>& secrets);
  // What may be shown now: a tail that could be the beginning of a secret is kept for the next call.
  std::string feed(std::string_view bytes);
  std::string flush();  // the rest, at the end of the stream or of a pause

 private:
  std::string take(bool all);
  std::vector<std::string> secrets_;  // the longest first
  std::string pending_;
};

}  // namespace slipway::shim
