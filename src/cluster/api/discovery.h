// SPDX-License-Identifier: Apache-2.0
// Discovery: which groups, versions and resources are served, old (APIGroupList, APIResourceList) and aggregated
// (apidiscovery.k8s.io/v2). Pure.
#pragma once

#include "cluster/api/resources.h"

namespace slipway::api {

Json version_info();                                                 // /version
Json api_versions();                                                 // /api
Json group_list(const std::vector<ResourcePointer>& resources);      // /apis
Json group(const std::vector<ResourcePointer>& resources, std::string_view group);  // /apis/G; null where unknown
Json resource_list(const std::vector<ResourcePointer>& resources, std::string_view group, std::string_view version);
// `core`: of /api, else of /apis.
Json aggregated(const std::vector<ResourcePointer>& resources, bool core);

}  // namespace slipway::api
