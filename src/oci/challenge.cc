// SPDX-License-Identifier: Apache-2.0
#include "oci/challenge.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::oci {
namespace {

// One challenge after another, each "Scheme name=value, name="value"".
class Reader final {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::optional<std::pair<std::string, std::vector<std::pair<std::string, std::string>>>> next() {
    skip(" ,\t");
    const std::string scheme = to_lower(token());
    if (scheme.empty()) return std::nullopt;
    std::vector<std::pair<std::string, std::string>> params;
    while (true) {
      const std::string_view before = rest_;
      skip(" ,\t");
      const std::string name = to_lower(token());
      skip(" \t");
      if (name.empty() || !rest_.starts_with('=')) {
        rest_ = before;  // the next scheme, or the end
        return std::pair{scheme, params};
      }
      rest_.remove_prefix(1);
      skip(" \t");
      params.emplace_back(name, rest_.starts_with('"') ? quoted() : token());
    }
  }

 private:
  void skip(std::string_view what) { rest_.remove_prefix(std::min(rest_.find_first_not_of(what), rest_.size())); }
  std::string token() {
    const auto end = std::min(rest_.find_first_of(" ,\t=\""), rest_.size());
    std::string out(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return out;
  }
  std::string quoted() {
    std::string out;
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    if (!rest_.empty()) rest_.remove_prefix(1);
    return out;
  }
  std::string_view rest_;
};

std::string host_of(std::string_view origin) {
  const auto scheme = origin.find("://");
  std::string_view host = scheme == origin.npos ? origin : origin.substr(scheme + 3);
  const auto bracket = host.find(']');
  const auto colon = host.rfind(':');
  if (colon != host.npos && (bracket == host.npos ? host.find(':') == colon : colon > bracket)) host = host.substr(0, colon);
  return to_lower(host);
}

bool is_below(std::string_view host, std::string_view parent) {
  return parent.find('.') != parent.npos && host.size() > parent.size() && host.ends_with(parent) && host[host.size() - parent.size() - 1] == '.';
}

bool is_address(std::string_view host) { return host.find(':') != host.npos || host.find_first_not_of("0123456789.") == host.npos; }

}  // namespace

std::optional<Challenge> parse_challenge(const net::Headers& headers) {
  std::optional<Challenge> out;
  for (const auto& [name, value] : headers.fields()) {
    if (!equals_ignoring_case(name, "WWW-Authenticate")) continue;
    Reader reader(value);
    while (const auto one = reader.next()) {
      const bool bearer = one->first == "bearer";
      if (!bearer && (one->first != "basic" || out)) continue;
      Challenge challenge{bearer ? Challenge::Kind::bearer : Challenge::Kind::basic, "", ""};
      for (const auto& [key, text] : one->second) {
        if (key == "realm") challenge.realm = text;
        if (key == "service") challenge.service = text;
      }
      if (!out || (bearer && out->kind == Challenge::Kind::basic)) out = std::move(challenge);
    }
  }
  return out;
}

Result<SplitUrl> split_url(std::string_view url) {
  const auto scheme = url.find("://");
  const std::string_view name = url.substr(0, scheme == url.npos ? 0 : scheme);
  if (name != "https" && name != "http") return fail(ErrorCode::invalid, fmt::format("{} is not an http or https URL", printable(url.substr(0, 200))));
  const auto end = std::min(url.find_first_of("/?#", scheme + 3), url.size());
  const std::string_view host = url.substr(scheme + 3, end - scheme - 3);
  if (host.empty() || host.find('@') != host.npos) return fail(ErrorCode::invalid, "a URL without a host, or with a user name in it");
  std::string target(url.substr(end, std::min(url.find('#', end), url.size()) - end));
  if (!target.starts_with('/')) target = "/" + target;
  if (std::ranges::any_of(target, [](char c) { return c <= ' ' || c == 0x7f; })) return fail(ErrorCode::invalid, "a URL with a blank in it");
  return SplitUrl{std::string(url.substr(0, end)), std::move(target)};
}

Result<SplitUrl> resolve_location(std::string_view origin, std::string_view location) {
  if (location.starts_with("//")) return split_url(std::string(origin.substr(0, origin.find("//"))) + std::string(location));
  if (location.starts_with('/')) return split_url(std::string(origin) + std::string(location));
  return split_url(location);
}

bool is_loopback_host(std::string_view text) {
  const std::string host = host_of(text);
  return host == "localhost" || host == "[::1]" || host == "::1" || (host.starts_with("127.") && is_address(host));
}

bool may_share_credentials(std::string_view registry_origin, std::string_view realm_origin) {
  if (registry_origin == realm_origin) return true;
  if (!registry_origin.starts_with("https://") || !realm_origin.starts_with("https://")) return false;
  const std::string registry = host_of(registry_origin), realm = host_of(realm_origin);
  if (is_address(registry) || is_address(realm)) return false;
  if (registry == "registry-1.docker.io" && realm == "auth.docker.io") return true;
  return is_below(registry, realm) || is_below(realm, registry);
}

}  // namespace slipway::oci
