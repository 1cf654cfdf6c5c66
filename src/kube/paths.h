// SPDX-License-Identifier: Apache-2.0
// Resource URIs of the Kubernetes API ("API concepts", resource URIs). Pure.
#pragma once

#include "kube/client.h"

namespace slipway::kube {

// "/apis/apps/v1/namespaces/shop/deployments/web/status"; an empty name gives the collection.
std::string path_of(const Resource& resource, const ObjectKey& key, std::string_view subresource = {});
std::string query_of(const ListOptions& options);    // "?limit=5&labelSelector=…" or empty
std::string query_of(const WatchOptions& options);   // "?watch=true&…"
std::string query_of(const PatchOptions& options);
std::string_view content_type_of(PatchType type);
Json body_of(const DeleteOptions& options);          // a DeleteOptions object
Result<WatchEvent> parse_watch_event(std::string_view line);  // an ERROR event becomes its error

}  // namespace slipway::kube
