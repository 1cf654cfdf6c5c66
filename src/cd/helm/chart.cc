// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cd/helm/files.h"
#include "cd/helm/render.h"
#include "text/yaml.h"

namespace slipway::cd::helm {
namespace {

using text::gotmpl::from_json;
using text::gotmpl::List;
using text::gotmpl::Numbers;

Result<Map> yaml_map(const std::string& text, std::string_view name) {
  Value value = from_json(TRY(text::parse_yaml(text, name)), Numbers::all_floats);
  return value.map() ? *value.map() : Map{};
}

Result<Chart> build(std::map<std::string, std::string> files, std::string_view where, std::size_t depth) {
  if (depth == 0) return fail(ErrorCode::too_large, fmt::format("{}: subcharts are nested too deep", where));
  Chart chart;
  if (!files.contains("Chart.yaml")) return fail(ErrorCode::not_found, fmt::format("{}: Chart.yaml file is missing", where));
  chart.metadata = TRY(yaml_map(files["Chart.yaml"], "Chart.yaml"));
  if (auto* name = chart.metadata["name"].string()) chart.name = *name;
  if (chart.name.empty()) return fail(ErrorCode::invalid, fmt::format("{}: validation: chart.metadata.name is required", where));
  if (files.contains("values.yaml")) chart.values = TRY(yaml_map(files["values.yaml"], "values.yaml"));
  if (files.contains("requirements.yaml") && !chart.metadata.contains("dependencies"))
    if (Map old = TRY(yaml_map(files["requirements.yaml"], "requirements.yaml")); old.contains("dependencies")) chart.metadata["dependencies"] = old["dependencies"];
  std::map<std::string, std::map<std::string, std::string>> below;
  for (auto& [path, content] : files) {
    if (path.starts_with("templates/")) chart.templates[path] = content;
    else if (path.starts_with("charts/")) {
      std::string rest = path.substr(7);
      std::size_t slash = rest.find('/');
      if (slash == rest.npos && rest.ends_with(".tgz")) return fail(ErrorCode::invalid, fmt::format("{}: packed subcharts are not supported: {}", where, rest));
      if (slash != rest.npos && rest[0] != '_' && rest[0] != '.') below[rest.substr(0, slash)][rest.substr(slash + 1)] = content;
    } else {
      if (path == "values.schema.json") chart.schema = TRY(at(text::parse_json(content), path));
      if (path.starts_with("crds/")) chart.crds[path] = content;
      if (path != "Chart.yaml" && path != "values.yaml" && path != "values.schema.json" && path != "Chart.lock") chart.files[path] = content;
    }
  }
  for (auto& [name, inner] : below) chart.charts.push_back(TRY(build(std::move(inner), fmt::format("{}/charts/{}", where, name), depth - 1)));
  return chart;
}

const Value* at_path(const Map& values, std::string_view path) {
  const Map* map = &values;
  for (;;) {
    std::size_t dot = path.find('.');
    auto found = map->find(path.substr(0, dot));
    if (found == map->end()) return nullptr;
    if (dot == path.npos) return &found->second;
    if (!found->second.map()) return nullptr;
    map = found->second.map();
    path.remove_prefix(dot + 1);
  }
}

std::string text_of(Map& map, std::string_view key) {
  auto found = map.find(key);
  return found != map.end() && found->second.string() ? *found->second.string() : "";
}

bool enabled(Map& dependency, const Map& values) {
  bool on = true, tagged = false, tag_on = false;
  if (auto* tags = dependency["tags"].list())
    for (const Value& tag : *tags)
      if (const Value* set = at_path(values, "tags." + print(tag)); set && set->boolean()) tagged = true, tag_on |= *set->boolean();
  if (tagged) on = tag_on;
  std::string conditions = text_of(dependency, "condition");
  for (std::string_view rest = conditions; !rest.empty();) {
    std::size_t comma = rest.find(',');
    std::string_view path = rest.substr(0, comma);
    while (path.starts_with(' ')) path.remove_prefix(1);
    if (const Value* set = at_path(values, path); set && set->boolean()) return *set->boolean();
    rest = comma == rest.npos ? "" : rest.substr(comma + 1);
  }
  return on;
}

void drop_nulls(Map& map) {
  std::erase_if(map, [](const auto& member) { return member.second.is_nil(); });
  for (auto& [key, value] : map)
    if (value.map()) drop_nulls(*value.map());
}

// Takes away the nulls that stand where a default is.
void drop_nulls_over(Map& into, const Map& from) {
  for (const auto& [key, value] : from) {
    auto found = into.find(key);
    if (found == into.end()) continue;
    if (found->second.is_nil()) into.erase(found);
    else if (found->second.map() && value.map()) drop_nulls_over(*found->second.map(), *value.map());
  }
}

// Lays defaults under what is there. A null that is there hides the default; a default that is null is none.
void coalesce_into(Map& into, const Map& from) {
  for (const auto& [key, value] : from) {
    auto found = into.find(key);
    if (found == into.end()) {
      if (value.is_nil()) continue;
      Value copy = deep_copy(value);
      if (copy.map()) drop_nulls(*copy.map());
      into.emplace(key, std::move(copy));
    } else if (found->second.map() && value.map()) {
      coalesce_into(*found->second.map(), *value.map());
    }
  }
}

void coalesce_chart(const Chart& chart, Map& into) {
  coalesce_into(into, chart.values);
  for (const Chart& sub : chart.charts) {
    Value& scope = into[sub.name];
    if (!scope.map()) scope = Map{};
    if (Value& global = (*scope.map())["global"]; !global.map()) global = Map{};
    if (auto global = into.find("global"); global != into.end() && global->second.map()) {
      Value& inner = (*scope.map())["global"];
      Value copy = deep_copy(global->second);
      if (inner.map()) coalesce_into(*copy.map(), *inner.map());
      inner = copy;
    }
    coalesce_chart(sub, *scope.map());
  }
  drop_nulls_over(into, chart.values);  // last, so that a null hides the defaults of subcharts too
}

}  // namespace

Result<Chart> load_chart(const std::string& folder, const ChartLimits& limits) {
  auto files = TRY(read_chart_files(folder, limits));
  return build(std::move(files), folder, limits.depth);
}

Result<> choose_dependencies(Chart& chart, const Map& values) {
  auto* listed = chart.metadata["dependencies"].list();
  std::vector<Chart> chosen;
  std::vector<bool> named(chart.charts.size());
  if (listed)
    for (const Value& item : *listed) {
      if (!item.map()) continue;
      if (item.map()->contains("import-values")) return fail(ErrorCode::invalid, fmt::format("chart {}: import-values is not supported", chart.name));
      std::string name = text_of(*item.map(), "name"), alias = text_of(*item.map(), "alias");
      bool found = false;
      for (std::size_t i = 0; i < chart.charts.size(); ++i) {
        if (text_of(chart.charts[i].metadata, "name") != name) continue;
        named[i] = found = true;
        if (!enabled(*item.map(), values)) continue;
        chosen.push_back(chart.charts[i]);
        if (!alias.empty()) chosen.back().name = alias, chosen.back().metadata["name"] = alias;
      }
      if (!found && enabled(*item.map(), values)) return fail(ErrorCode::not_found, fmt::format("found in Chart.yaml, but missing in charts/ directory: {}", name));
    }
  for (std::size_t i = 0; i < chart.charts.size(); ++i)
    if (!named[i]) chosen.push_back(chart.charts[i]);
  chart.charts = std::move(chosen);
  for (Chart& sub : chart.charts) {
    auto scope = values.find(sub.name);
    TRY(choose_dependencies(sub, scope != values.end() && scope->second.map() ? *scope->second.map() : sub.values));
  }
  return {};
}

Map coalesce_values(const Chart& chart, const Map& given) {
  Value values = deep_copy(Value(given));
  coalesce_chart(chart, *values.map());
  return *values.map();
}

}  // namespace slipway::cd::helm
