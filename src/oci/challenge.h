// SPDX-License-Identifier: Apache-2.0
// What a registry asks for with 401 (RFC 9110 section 11.6.1; the token protocol of the distribution project), and
// which hosts may be sent a registry's credentials. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace slipway::oci {

struct Challenge {
  enum class Kind { basic, bearer } kind = Kind::basic;
  std::string realm, service;
};
// The strongest that we know: Bearer before Basic. Nothing where neither is offered.
std::optional<Challenge> parse_challenge(const net::Headers& headers);

// A URL in its origin ("https://host:port") and the target behind it.
struct SplitUrl {
  std::string origin, target;
};
Result<SplitUrl> split_url(std::string_view url);
// A Location, which may be absolute or begin with '/', seen from the origin that sent it.
Result<SplitUrl> resolve_location(std::string_view origin, std::string_view location);

bool is_loopback_host(std::string_view host);  // a name or address, perhaps with a port
// Whether a token server may see the credentials of a registry: the same origin, or over TLS the registry's own domain
// above or below its name, or the one that Docker Hub is known to use.
bool may_share_credentials(std::string_view registry_origin, std::string_view realm_origin);

}  // namespace slipway::oci
