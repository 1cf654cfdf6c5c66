// SPDX-License-Identifier: Apache-2.0
// From a request's method, path and query to what it asks for. Pure.
#pragma once

#include "auth/identity.h"
#include "cluster/api/failure.h"
#include "net/http.h"

namespace slipway::api {

struct Route {
  bool is_resource = false;
  std::string group, version, plural, ns, name, subresource;
  std::string verb;  // of Kubernetes; for other paths the method in lower case
  std::string path;

  auth::Attributes attributes() const;
};

Answer<Route> parse_route(std::string_view method, const net::Url& url);

}  // namespace slipway::api
