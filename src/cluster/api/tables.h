// SPDX-License-Identifier: Apache-2.0
// Objects as a Table of meta.k8s.io/v1, with the columns that Kubernetes' own servers give. Pure.
#pragma once

#include "base/clock.h"
#include "cluster/api/failure.h"
#include "cluster/api/resources.h"

namespace slipway::api {

// Whether the first type that is accepted and can be given is a Table. Plain JSON that comes first wins.
bool accepts_table(std::string_view accept);

enum class IncludeObject { none, metadata, object };
Answer<IncludeObject> parse_include_object(std::string_view parameter);

enum class TableHead { with_columns, rows_only };
// `metadata` is the list's.
Json make_table(const ResourceInfo& resource, const std::vector<Json>& objects, const Json& metadata, IncludeObject include, TableHead head, Wall now);

// "5s", "3m20s", "2d4h": how kubectl shows an age.
std::string human_duration(std::chrono::seconds age);
// The value at a printer column's path, such as .status.conditions[?(@.type=="Ready")].status; null where absent.
Json at_json_path(const Json& object, std::string_view path);

}  // namespace slipway::api
