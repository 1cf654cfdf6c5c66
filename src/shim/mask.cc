// SPDX-License-Identifier: Apache-2.0
#include "shim/mask.h"

#include <algorithm>

#include "base/strings.h"

namespace slipway::shim {
namespace {

constexpr std::string_view hidden = "***";

// The length of the longest tail of `text` that is a beginning of `secret`, but not all of it.
std::size_t partial_match(std::string_view text, std::string_view secret) {
  for (std::size_t size = std::min(text.size(), secret.size() - 1); size > 0; --size)
    if (text.ends_with(secret.substr(0, size))) return size;
  return 0;
}

}  // namespace

Masker::Masker(const std::vector<std::string>& secrets) {
  const auto add = [&](std::string_view secret) {
    const auto text = trim(secret);
    if (text.size() < min_secret || secrets_.size() >= 3 * max_secrets) return;
    secrets_.emplace_back(text);
    secrets_.push_back(to_base64(text));
  };
  for (const std::string& secret : secrets) {
    add(secret);
    if (secret.find('\n') == secret.npos) continue;
    if (secret.size() >= min_secret) secrets_.push_back(to_base64(secret));
    for (const auto line : split_lines(secret)) add(line);
  }
  std::ranges::sort(secrets_, [](const auto& a, const auto& b) { return a.size() != b.size() ? a.size() > b.size() : a < b; });
  secrets_.erase(std::unique(secrets_.begin(), secrets_.end()), secrets_.end());
}

std::string Masker::feed(std::string_view bytes) {
  pending_ += bytes;
  return take(false);
}

std::string Masker::flush() { return take(true); }

std::string Masker::take(bool all) {
  std::string out;
  for (const std::string& secret : secrets_) {
    for (auto found = pending_.find(secret); found != pending_.npos; found = pending_.find(secret, found + hidden.size())) pending_.replace(found, secret.size(), hidden);
  }
  std::size_t keep = 0;
  if (!all)
    for (const std::string& secret : secrets_) keep = std::max(keep, partial_match(pending_, secret));
  out = pending_.substr(0, pending_.size() - keep);
  pending_.erase(0, pending_.size() - keep);
  return out;
}

}  // namespace slipway::shim
