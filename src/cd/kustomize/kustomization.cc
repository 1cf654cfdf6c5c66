// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/kustomization.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

// "name:type": s text, b boolean, i integer, M map of text, S list of text, x anything, Table, [Table] a list of it.
constexpr std::string_view tables = R"(
Kustomization apiVersion:s kind:s metadata:Meta openapi:M namePrefix:s nameSuffix:s namespace:s commonLabels:M labels:[Label] commonAnnotations:M patchesStrategicMerge:S patchesJson6902:[Patch] patches:[Patch] images:[Image] imageTags:[Image] replacements:[Replacement] replicas:[Replica] vars:[Variable] sortOptions:SortOptions resources:S components:S crds:S bases:S configMapGenerator:[ConfigMap] secretGenerator:[Secret] helmGlobals:x helmCharts:[Chart] helmChartInflationGenerator:x generatorOptions:Options configurations:S generators:S transformers:S validators:S buildMetadata:S
Meta name:s namespace:s labels:M annotations:M
Label pairs:M includeSelectors:b includeTemplates:b fields:[FieldSpec]
FieldSpec group:s version:s kind:s path:s create:b
Patch path:s patch:s target:Selector options:PatchOptions
PatchOptions allowNameChange:b allowKindChange:b
Selector group:s version:s kind:s name:s namespace:s annotationSelector:s labelSelector:s
Image name:s newName:s tagSuffix:s newTag:s digest:s
Replacement path:s source:Source targets:[Target] sourceValue:s
Source group:s version:s kind:s name:s namespace:s fieldPath:s options:FieldOptions
Target select:Selector reject:[Selector] fieldPaths:S options:FieldOptions
FieldOptions delimiter:s index:i encoding:s create:b
Replica name:s count:i
Variable name:s objref:Object fieldref:FieldRef
Object apiVersion:s group:s version:s kind:s name:s namespace:s
FieldRef fieldPath:s
SortOptions order:s legacySortOptions:LegacySort
LegacySort orderFirst:S orderLast:S
ConfigMap namespace:s name:s behavior:s literals:S files:S envs:S env:s options:Options
Secret namespace:s name:s behavior:s literals:S files:S envs:S env:s options:Options type:s
Options labels:M annotations:M disableNameSuffixHash:b immutable:b
Chart name:s version:s repo:s releaseName:s namespace:s additionalValuesFiles:S valuesFile:s valuesInline:x valuesMerge:s includeCRDs:b skipHooks:b apiVersions:S kubeVersion:s nameTemplate:s skipTests:b debug:b devel:b
)";

using Table = std::map<std::string, std::string, std::less<>>;

const std::map<std::string, Table, std::less<>>& field_tables() {
  static const auto made = [] {
    std::map<std::string, Table, std::less<>> out;
    for (const auto line : split_lines(tables)) {
      const auto parts = split(line, ' ');
      for (std::size_t i = 1; i < parts.size(); ++i) {
        const auto colon = parts[i].find(':');
        out[std::string(parts[0])].emplace(parts[i].substr(0, colon), parts[i].substr(colon + 1));
      }
    }
    return out;
  }();
  return made;
}

std::string_view json_kind(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::boolean: return "bool";
    case Json::Kind::integer:
    case Json::Kind::floating: return "number";
    case Json::Kind::string: return "string";
    case Json::Kind::array: return "array";
    case Json::Kind::object: return "object";
    case Json::Kind::null: break;
  }
  return "null";
}

std::unexpected<Error> wrong_type(const Json& value, std::string_view path, std::string_view type) {
  return fail(ErrorCode::invalid, fmt::format("json: cannot unmarshal {} into Go struct field {} of type {}", json_kind(value), path, type));
}

Result<Json> checked_fields(const Json& value, std::string_view table, std::string_view path);

Result<Json> checked_texts(const Json& value, bool is_map, const std::string& path) {
  if (is_map ? !value.is_object() : !value.is_array()) return wrong_type(value, path, is_map ? "map[string]string" : "[]string");
  const auto is_text = [](const Json& one) { return one.is_string() || one.is_null(); };
  for (const auto& member : value.members())
    if (!is_text(member.value)) return wrong_type(member.value, path, "string");
  for (const Json& item : value.items())
    if (!is_text(item)) return wrong_type(item, path, "string");
  return value;
}

Result<Json> checked_value(const Json& value, std::string_view type, const std::string& path) {
  if (value.is_null() || type == "x") return value;
  if (type == "s") return value.is_string() ? Result<Json>(value) : wrong_type(value, path, "string");
  if (type == "b") return value.is_bool() ? Result<Json>(value) : wrong_type(value, path, "bool");
  if (type == "i") return value.is_int() ? Result<Json>(value) : wrong_type(value, path, "int64");
  if (type == "M" || type == "S") return checked_texts(value, type == "M", path);
  if (!type.starts_with('[')) return checked_fields(value, type, path);
  const std::string_view of = type.substr(1, type.size() - 2);
  if (!value.is_array()) return wrong_type(value, path, fmt::format("[]types.{}", of));
  std::vector<Json> items;
  for (const Json& item : value.items()) items.push_back(TRY(checked_fields(item, of, path)));
  return Json::array(std::move(items));
}

// Names count without regard to case, as in encoding/json; the answer has them as the table does.
Result<Json> checked_fields(const Json& value, std::string_view table, std::string_view path) {
  if (value.is_null()) return value;
  if (!value.is_object()) return wrong_type(value, path, fmt::format("types.{}", table));
  const Table& known = field_tables().find(table)->second;
  std::vector<text::JsonMember> out;
  for (const auto& member : value.members()) {
    auto found = known.find(member.key());
    if (found == known.end()) found = std::ranges::find_if(known, [&](const auto& one) { return equals_ignoring_case(one.first, member.key()); });
    if (found == known.end()) return fail(ErrorCode::invalid, fmt::format("json: unknown field \"{}\"", member.key()));
    out.emplace_back(found->first, TRY(checked_value(member.value, found->second, fmt::format("{}.{}", path, found->first))));
  }
  return Json::object(std::move(out));
}

// What a deprecated field holds goes behind what its successor holds.
Json moved(Json value, std::string_view from, std::string_view to) {
  if (!value.contains(from)) return value;
  Json list = value[to].is_array() ? value[to] : Json::array();
  for (const Json& item : value[from].items()) list = list.with_item(item);
  return value.without(from).with(to, list);
}

Json with_env_sources(Json value, std::string_view generator) {
  for (std::size_t i = 0; i < value[generator].size(); ++i) {
    const Json& one = value[generator][i];
    if (one["env"].as_string().empty()) continue;
    const Json envs = (one["envs"].is_array() ? one["envs"] : Json::array()).with_item(one["env"]);
    value = value.with(generator, value[generator].with_item(i, one.without("env").with("envs", envs)));
  }
  return value;
}

std::vector<std::string> warnings_of(const Json& value) {
  static constexpr std::string_view fields[][2] = {{"bases", "resources"}, {"commonLabels", "labels"}, {"imageTags", "images"},
                                                   {"patchesJson6902", "patches"}, {"patchesStrategicMerge", "patches"}, {"vars", "replacements"}};
  std::vector<std::string> out;
  for (const auto& [old, now] : fields) {
    if (value[old].is_null()) continue;
    out.push_back(fmt::format("# Warning: '{}' is deprecated. Please use '{}' instead. {}Run 'kustomize edit fix' to update your Kustomization automatically.", old, now,
                              old == "vars" ? "[EXPERIMENTAL] " : ""));
  }
  return out;
}

bool is_empty_kustomization(const Json& value) {
  for (const auto& member : value.members()) {
    if (member.key() == "apiVersion" || member.key() == "kind") continue;
    if (!member.value.is_null() && member.value != Json("") ) return false;
  }
  return true;
}

}  // namespace

Result<Json> parse_lenient(std::string_view text, std::string_view name) {
  text::YamlLimits limits;
  limits.refuse_duplicate_keys = false;
  const auto documents = TRY(text::parse_yaml_documents(text, name, limits));
  return documents.empty() ? Json() : documents[0].value;  // what follows is not read
}

Result<Kustomization> parse_kustomization(std::string_view text, const std::string& path) {
  const auto parsed = parse_lenient(text, path);
  if (!parsed) return fail(parsed.error().code, "invalid Kustomization: " + parsed.error().message);
  auto checked = checked_fields(*parsed, "Kustomization", "Kustomization");
  if (!checked) return at(Result<Kustomization>(fail(checked.error().code, "invalid Kustomization: " + checked.error().message)), path);
  Json value = checked->is_null() ? Json::object() : *checked;
  Kustomization out;
  out.warnings = warnings_of(value);
  const std::string kind = value["kind"].str().empty() ? "Kustomization" : value["kind"].str();
  const std::string wanted = kind == "Component" ? "kustomize.config.k8s.io/v1alpha1" : "kustomize.config.k8s.io/v1beta1";
  value = with_env_sources(with_env_sources(moved(moved(value, "bases", "resources"), "imageTags", "images"), "configMapGenerator"), "secretGenerator");
  if (is_empty_kustomization(value)) return at(Result<Kustomization>(fail(ErrorCode::invalid, "kustomization.yaml is empty")), path);
  std::string problems;
  if (kind != "Kustomization" && kind != "Component") problems = "kind should be Kustomization or Component";
  const std::string version = value["apiVersion"].str();
  if (!version.empty() && version != wanted) problems += fmt::format("{}apiVersion for {} should be {}", problems.empty() ? "" : "\n", kind, wanted);
  if (!problems.empty()) return fail(ErrorCode::invalid, fmt::format("Failed to read kustomization file under {}:\n{}", path.substr(0, path.rfind('/')), problems));
  out.value = value.with("kind", kind).with("apiVersion", wanted);
  return out;
}

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.items()) out.push_back(item.str());
  return out;
}

StringMap strings_map_of(const Json& map) {
  StringMap out;
  for (const auto& member : map.members()) out[std::string(member.key())] = member.value.str();
  return out;
}

}  // namespace slipway::cd::kustomize
