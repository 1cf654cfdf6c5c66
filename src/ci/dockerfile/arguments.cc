// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace slipway::dockerfile {
namespace {
constexpr std::array<std::string_view, 10> proxy_arguments{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
                                                          "ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy"};
}

std::optional<std::string> platform_argument(std::string_view name) {
  if (name == "TARGETPLATFORM" || name == "BUILDPLATFORM") return "linux/amd64";
  if (name == "TARGETOS" || name == "BUILDOS") return "linux";
  if (name == "TARGETARCH" || name == "BUILDARCH") return "amd64";
  if (name == "TARGETVARIANT" || name == "BUILDVARIANT") return "";
  return std::nullopt;
}

bool is_proxy_argument(std::string_view name) { return std::ranges::find(proxy_arguments, name) != proxy_arguments.end(); }

Result<std::vector<Declared>> declarations(std::string_view rest, char escape, const Lookup& lookup) {
  std::vector<Declared> out;
  for (const std::string& word : split_words(rest, escape)) {
    const auto equal = word.find('=');
    Declared one{TRY(expand(word.substr(0, equal), escape, lookup)), std::nullopt};
    if (one.name.empty()) return fail(ErrorCode::invalid, "ARG has an empty name");
    if (equal != word.npos) one.fallback = TRY(expand(std::string_view(word).substr(equal + 1), escape, lookup));
    out.push_back(std::move(one));
  }
  return out;
}

Result<> Arguments::declare_global(std::string_view rest, char escape) {
  const Lookup lookup = [this](std::string_view name) { return global(name); };
  for (Declared& one : TRY(declarations(rest, escape, lookup))) {
    if (const auto given = given_.find(one.name); given != given_.end()) values_[one.name] = given->second;
    else if (one.fallback) values_[one.name] = *one.fallback;
    else if (const auto platform = platform_argument(one.name)) values_[one.name] = *platform;
  }
  return {};
}

std::optional<std::string> Arguments::global(std::string_view name) const {
  if (const auto found = values_.find(std::string(name)); found != values_.end()) return found->second;
  return platform_argument(name);
}

}  // namespace slipway::dockerfile
