// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/route.h"

#include "base/strings.h"

namespace slipway::api {
namespace {

bool is_true(std::string_view text) { return text == "true" || text == "1"; }

std::string verb_of(std::string_view method, bool has_name, bool watch) {
  if (method == "GET" || method == "HEAD") return watch ? "watch" : has_name ? "get" : "list";
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return has_name ? "delete" : "deletecollection";
  return {};
}

}  // namespace

auth::Attributes Route::attributes() const {
  if (!is_resource) return {verb, {}, {}, {}, {}, {}, path};
  return {verb, group, plural, subresource, ns, name, {}};
}

Answer<Route> parse_route(std::string_view method, const net::Url& url) {
  Route out;
  out.path = url.path;
  out.verb = to_lower(method);
  if (method == "HEAD") out.verb = "get";
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(url.path, '/'))
    if (!part.empty()) parts.push_back(part);
  const bool core = !parts.empty() && parts[0] == "api";
  const std::size_t begin = core ? 2 : 3;  // after the version
  if (parts.empty() || (!core && parts[0] != "apis") || parts.size() <= begin) return out;
  // A name with an encoded slash would be read as more than one segment.
  if (url.raw_path.find("%2f") != std::string::npos || url.raw_path.find("%2F") != std::string::npos)
    return bad_request("an encoded slash is not accepted in a path");

  out.is_resource = true;
  if (!core) out.group = parts[1];
  out.version = parts[begin - 1];
  std::vector<std::string_view> rest(parts.begin() + static_cast<std::ptrdiff_t>(begin), parts.end());
  // /namespaces/NS/RESOURCE…, but /namespaces/NS and its subresources are the namespace itself.
  const bool in_namespace = rest[0] == "namespaces" && rest.size() >= 3 && rest[2] != "status" && rest[2] != "finalize";
  if (in_namespace) {
    out.ns = rest[1];
    rest.erase(rest.begin(), rest.begin() + 2);
  }
  out.plural = rest[0];
  if (rest.size() > 1) out.name = rest[1];
  if (rest.size() > 2) out.subresource = rest[2];
  if (rest.size() > 3) return std::unexpected(Failure(404, "NotFound", "the server could not find the requested resource"));
  if (out.plural == "namespaces" && out.ns.empty() && core) out.ns = out.name;
  out.verb = verb_of(method, !out.name.empty(), is_true(url.param("watch")));
  if (out.verb.empty())
    return std::unexpected(Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"));
  return out;
}

}  // namespace slipway::api
