// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/field_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "kube/schema.h"

namespace slipway::api {
namespace {

std::vector<std::string> unknown_in(const ResourceInfo& resource, const Json& object) {
  if (object.is_null()) return {};
  if (resource.custom) return resource.schema.is_object() ? kube::unknown_fields(resource.schema, object) : std::vector<std::string>();
  const std::string name = kube::schema_name(resource.id.group, resource.id.version, resource.id.kind);
  return name.empty() ? std::vector<std::string>() : kube::unknown_fields(kube::schema_definitions()[name], object);
}

}  // namespace

Answer<FieldCheck> parse_field_check(std::string_view parameter) {
  if (parameter.empty() || parameter == "Warn") return FieldCheck::warn;
  if (parameter == "Strict") return FieldCheck::strict;
  if (parameter == "Ignore") return FieldCheck::ignore;
  return std::unexpected(Failure(422, "Invalid", fmt::format("CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"{}\": supported values: \"Ignore\", \"Strict\", \"Warn\"", printable(parameter))));
}

std::vector<std::string> field_faults(const ResourceInfo& resource, const Json& object, const Json& before, const std::vector<std::string>& duplicates) {
  std::vector<std::string> out;
  for (const std::string& key : duplicates) out.push_back(fmt::format("duplicate field \"{}\"", key));
  const auto known = unknown_in(resource, before);
  for (const std::string& path : unknown_in(resource, object))
    if (std::ranges::find(known, path) == known.end()) out.push_back(fmt::format("unknown field \"{}\"", path));
  return out;
}

std::string strict_message(const std::vector<std::string>& faults) { return "strict decoding error: " + join(faults, ", "); }

std::string warning_header(std::string_view text) {
  std::string quoted;
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return fmt::format("299 - \"{}\"", quoted);
}

}  // namespace slipway::api
