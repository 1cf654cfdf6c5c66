// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/tables.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "cluster/api/printers.h"

namespace slipway::api {
namespace {

Json column_entry(const Column& column) {
  return Json::object({{"name", column.name}, {"type", column.type}, {"format", column.name == "Name" ? "name" : ""}, {"description", ""}, {"priority", column.priority}});
}

const std::vector<Column>& columns_of_custom(const ResourceInfo& resource) {
  static const std::vector<Column> age_only{{"Age", "date", ".metadata.creationTimestamp", 0}};
  return resource.columns.empty() ? age_only : resource.columns;
}

Json custom_cell(const Column& column, const Json& object, Wall now) {
  const Json value = at_json_path(object, column.path);
  if (value.is_null()) return {};
  if (column.type == "date") return age_of(value, now);
  if (column.type == "integer") return value.is_int() ? value : Json();
  if (column.type == "number") return value.is_number() ? value : Json();
  if (column.type == "boolean") return value.is_bool() ? value : Json();
  return value.is_string() ? value : Json(to_json(value));
}

std::vector<Json> cells_of(const ResourceInfo& resource, const Json& object, Wall now) {
  if (!resource.custom)
    if (const Printer* printer = printer_of(resource.id)) return printer->cells(object, now);
  std::vector<Json> out{object["metadata"]["name"]};
  for (const Column& column : columns_of_custom(resource)) out.push_back(custom_cell(column, object, now));
  return out;
}

Json columns_json(const ResourceInfo& resource) {
  std::vector<Json> out;
  const Printer* printer = resource.custom ? nullptr : printer_of(resource.id);
  if (printer == nullptr) out.push_back(column_entry({"Name", "string", "", 0}));
  for (const Column& column : printer == nullptr ? columns_of_custom(resource) : printer->columns) out.push_back(column_entry(column));
  return Json::array(std::move(out));
}

Json shown_object(const Json& object, IncludeObject include) {
  if (include == IncludeObject::object) return object;
  return Json::object({{"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/v1"}, {"metadata", object["metadata"]}});
}

// The item of a list that a filter ?(@.key=="value") names.
Json filtered(const Json& list, std::string_view filter) {
  const std::size_t equals = filter.find("==");
  if (!filter.starts_with("?(@.") || !filter.ends_with(')') || equals == filter.npos) return {};
  const std::string_view key = trim(filter.substr(4, equals - 4));
  std::string_view wanted = trim(filter.substr(equals + 2, filter.size() - equals - 3));
  if (wanted.size() >= 2 && (wanted.front() == '"' || wanted.front() == '\'')) wanted = wanted.substr(1, wanted.size() - 2);
  for (const Json& one : list.items())
    if (const Json value = at_json_path(one, "." + std::string(key)); value.is_string() ? value.as_string() == wanted : to_json(value) == wanted) return one;
  return {};
}

Json step_into(const Json& value, std::string_view inside) {
  if (inside.starts_with('?')) return filtered(value, inside);
  if (inside == "*") return value[0];
  if (inside.starts_with('\'') && inside.size() >= 2) return value[inside.substr(1, inside.size() - 2)];
  const auto index = parse_int(inside);
  if (!index) return {};
  const std::int64_t size = static_cast<std::int64_t>(value.size());
  const std::int64_t at = *index < 0 ? size + *index : *index;
  return value.is_array() && at >= 0 && at < size ? value[static_cast<std::size_t>(at)] : Json();
}

}  // namespace

bool accepts_table(std::string_view accept) {
  for (const std::string_view entry : split(accept, ',')) {
    const auto parts = split(entry, ';');
    const std::string_view type = trim(parts[0]);
    if (type != "application/json") {
      if (type == "*/*" || type == "application/*") return false;
      continue;
    }
    bool table = false, group = false, version = false;
    for (const std::string_view part : parts) {
      table |= trim(part) == "as=Table";
      group |= trim(part) == "g=meta.k8s.io";
      version |= trim(part) == "v=v1";
    }
    if (!table) {
      bool plain = true;
      for (const std::string_view part : parts) plain &= !trim(part).starts_with("as=");
      if (plain) return false;
    }
    if (table && group && version) return true;
  }
  return false;
}

Answer<IncludeObject> parse_include_object(std::string_view parameter) {
  if (parameter.empty() || parameter == "Metadata") return IncludeObject::metadata;
  if (parameter == "None") return IncludeObject::none;
  if (parameter == "Object") return IncludeObject::object;
  return bad_request(fmt::format("unrecognized includeObject value: \"{}\"", printable(parameter)));
}

Json make_table(const ResourceInfo& resource, const std::vector<Json>& objects, const Json& metadata, IncludeObject include, TableHead head, Wall now) {
  std::vector<Json> rows;
  rows.reserve(objects.size());
  for (const Json& object : objects) {
    Json row = Json::object({{"cells", Json::array(cells_of(resource, object, now))}});
    rows.push_back(include == IncludeObject::none ? row : row.with("object", shown_object(object, include)));
  }
  const Json columns = head == TableHead::with_columns ? columns_json(resource) : Json();
  return Json::object({{"kind", "Table"}, {"apiVersion", "meta.k8s.io/v1"}, {"metadata", metadata}, {"columnDefinitions", columns}, {"rows", Json::array(std::move(rows))}});
}

std::string human_duration(std::chrono::seconds age) {
  const std::int64_t seconds = age.count();
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const auto two = [](std::int64_t big, const char* big_unit, std::int64_t small, const char* small_unit) {
    return small == 0 ? fmt::format("{}{}", big, big_unit) : fmt::format("{}{}{}{}", big, big_unit, small, small_unit);
  };
  const std::int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24, years = days / 365;
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return fmt::format("{}m", minutes);
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return fmt::format("{}h", hours);
  if (hours < 24 * 8) return two(days, "d", hours % 24, "h");
  if (days < 365 * 2) return fmt::format("{}d", days);
  if (days < 365 * 8) return two(years, "y", days % 365, "d");
  return fmt::format("{}y", years);
}

Json at_json_path(const Json& object, std::string_view path) {
  Json now = object;
  while (!path.empty() && !now.is_null()) {
    if (path.front() == '[') {
      const std::size_t end = path.starts_with("[?(") ? path.find(")]") : path.find(']');
      if (end == path.npos) return {};
      const std::size_t length = path[end] == ')' ? end + 1 : end;
      now = step_into(now, path.substr(1, length - 1));
      path.remove_prefix(length + 1);
      continue;
    }
    if (path.front() == '.') path.remove_prefix(1);
    std::string key;  // a dot after a backslash is part of the name
    std::size_t at = 0;
    for (; at < path.size() && path[at] != '.' && path[at] != '['; ++at) {
      if (path[at] == '\\' && at + 1 < path.size()) ++at;
      key += path[at];
    }
    path.remove_prefix(at);
    if (!key.empty()) now = now[key];
  }
  return now;
}

}  // namespace slipway::api
