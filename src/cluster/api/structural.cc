// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/structural.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/strings.h"

namespace slipway::api {
namespace {

constexpr int deepest_schema = 60;

std::string join_path(const std::string& path, std::string_view key) { return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key); }

std::int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

RE2::Options quiet() {
  RE2::Options out;
  out.set_log_errors(false);
  out.set_max_mem(1 << 20);
  return out;
}

class Walker {
 public:
  std::vector<Cause> causes;

  void value(const Json& rule, const Json& given, const std::string& path) {
    if (given.is_null() && rule["nullable"].as_bool()) return;
    if (!type_fits(rule, given)) {
      const std::string type = rule["type"].str();
      causes.push_back({"FieldValueTypeInvalid", path, fmt::format("Invalid value: {}: {} in body must be of type {}: {}", to_json(given), path, type, quoted_kind(given))});
      return;
    }
    enumeration(rule, given, path);
    if (given.is_number()) number(rule, given, path);
    if (given.is_string()) text(rule, given, path);
    if (given.is_array()) list(rule, given, path);
    if (given.is_object()) object(rule, given, path);
  }

 private:
  static bool type_fits(const Json& rule, const Json& given) {
    const std::string_view type = rule["type"].as_string();
    if (rule["x-kubernetes-int-or-string"].as_bool()) return given.is_int() || given.is_string();
    return type.empty() || (type == "object" && given.is_object()) || (type == "array" && given.is_array()) || (type == "string" && given.is_string()) ||
           (type == "integer" && (given.is_int() || (given.is_number() && std::floor(given.as_double()) == given.as_double()))) ||
           (type == "number" && given.is_number()) || (type == "boolean" && given.is_bool());
  }

  static std::string quoted_kind(const Json& given) {
    switch (given.kind()) {
      case Json::Kind::null: return "\"null\"";
      case Json::Kind::boolean: return "\"boolean\"";
      case Json::Kind::integer: return "\"integer\"";
      case Json::Kind::floating: return "\"number\"";
      case Json::Kind::string: return "\"string\"";
      case Json::Kind::array: return "\"array\"";
      case Json::Kind::object: return "\"object\"";
    }
    return {};
  }

  void bad(const std::string& path, const Json& given, const std::string& why) { causes.push_back(invalid_value(path, given, fmt::format("{} in body {}", path, why))); }

  void enumeration(const Json& rule, const Json& given, const std::string& path) {
    if (rule["enum"].empty() || std::ranges::find(rule["enum"].items(), given) != rule["enum"].items().end()) return;
    std::vector<std::string> known;
    for (const Json& one : rule["enum"].items()) known.push_back(one.is_string() ? one.str() : to_json(one));
    causes.push_back(unsupported_value(path, given, known));
  }

  void number(const Json& rule, const Json& given, const std::string& path) {
    const double value = given.as_double();
    const Json &low = rule["minimum"], &high = rule["maximum"], &step = rule["multipleOf"];
    const bool above = rule["exclusiveMinimum"].as_bool(), below = rule["exclusiveMaximum"].as_bool();
    if (low.is_number() && (above ? value <= low.as_double() : value < low.as_double()))
      bad(path, given, fmt::format("should be greater than {}{}", above ? "" : "or equal to ", to_json(low)));
    if (high.is_number() && (below ? value >= high.as_double() : value > high.as_double()))
      bad(path, given, fmt::format("should be less than {}{}", below ? "" : "or equal to ", to_json(high)));
    if (step.is_number() && step.as_double() > 0 && std::fmod(value, step.as_double()) != 0) bad(path, given, fmt::format("should be a multiple of {}", to_json(step)));
  }

  void text(const Json& rule, const Json& given, const std::string& path) {
    const std::int64_t length = characters(given.as_string());
    const Json &least = rule["minLength"], &most = rule["maxLength"];
    if (least.is_int() && length < least.as_int()) bad(path, given, fmt::format("should be at least {} chars long", least.as_int()));
    if (most.is_int() && length > most.as_int()) causes.push_back({"FieldValueTooLong", path, fmt::format("Too long: may not be more than {} bytes", most.as_int())});
    const std::string pattern = rule["pattern"].str();
    if (pattern.empty()) return;
    const RE2 expression(pattern, quiet());
    const std::string_view view = given.as_string();
    if (expression.ok() && !RE2::PartialMatch(re2::StringPiece(view.data(), view.size()), expression)) bad(path, given, fmt::format("should match '{}'", pattern));
  }

  void list(const Json& rule, const Json& given, const std::string& path) {
    const auto size = static_cast<std::int64_t>(given.size());
    const Json &least = rule["minItems"], &most = rule["maxItems"];
    if (least.is_int() && size < least.as_int()) bad(path, given, fmt::format("should have at least {} items", least.as_int()));
    if (most.is_int() && size > most.as_int()) {
      causes.push_back({"FieldValueTooMany", path, fmt::format("Too many: {}: must have at most {} items", size, most.as_int())});
      return;
    }
    for (std::size_t i = 0; i < given.size(); ++i) value(rule["items"], given[i], fmt::format("{}[{}]", path, i));
    unique(rule, given, path);
  }

  void unique(const Json& rule, const Json& given, const std::string& path) {
    const std::string_view type = rule["x-kubernetes-list-type"].as_string();
    if (type != "set" && type != "map") return;
    std::vector<std::string> seen;
    for (std::size_t i = 0; i < given.size(); ++i) {
      Json key = given[i];
      if (type == "map") {
        key = Json::object();
        for (const Json& name : rule["x-kubernetes-list-map-keys"].items()) key = key.with(name.as_string(), given[i][name.as_string()]);
      }
      std::string told = to_json(key);
      if (std::ranges::find(seen, told) != seen.end()) causes.push_back({"FieldValueDuplicate", fmt::format("{}[{}]", path, i), fmt::format("Duplicate value: {}", told)});
      seen.push_back(std::move(told));
    }
  }

  void object(const Json& rule, const Json& given, const std::string& path) {
    const auto size = static_cast<std::int64_t>(given.size());
    const Json &least = rule["minProperties"], &most = rule["maxProperties"];
    if (least.is_int() && size < least.as_int()) bad(path, given, fmt::format("should have at least {} properties", least.as_int()));
    if (most.is_int() && size > most.as_int()) causes.push_back({"FieldValueTooMany", path, fmt::format("Too many: {}: must have at most {} items", size, most.as_int())});
    for (const Json& key : rule["required"].items())
      if (!given.contains(key.as_string())) causes.push_back(required(join_path(path, key.as_string())));
    for (const auto& member : given.members()) {
      if (path.empty() && (member.key() == "metadata" || member.key() == "apiVersion" || member.key() == "kind")) continue;
      const Json* property = rule["properties"].find(member.key());
      if (property == nullptr && rule["additionalProperties"].is_object()) property = &rule["additionalProperties"];
      if (property != nullptr) value(*property, member.value, join_path(path, member.key()));
    }
  }
};

void look_into(const Json& schema, const std::string& path, int depth, std::vector<Cause>& causes) {
  if (depth > deepest_schema) {
    causes.push_back({"FieldValueForbidden", path, "Forbidden: the schema is nested too deeply"});
    return;
  }
  if (const std::string pattern = schema["pattern"].str(); !pattern.empty() && !RE2(pattern, quiet()).ok())
    causes.push_back(invalid_value(path + ".pattern", pattern, "must be a valid regular expression"));
  if (schema.contains("$ref")) causes.push_back({"FieldValueForbidden", path + ".$ref", "Forbidden: $ref is not supported"});
  if (!schema["x-kubernetes-validations"].empty())
    causes.push_back({"FieldValueForbidden", path + ".x-kubernetes-validations", "Forbidden: rules in CEL are not supported by this server"});
  for (const auto& one : schema["properties"].members()) look_into(one.value, fmt::format("{}.properties[{}]", path, one.key()), depth + 1, causes);
  if (schema["items"].is_object()) look_into(schema["items"], path + ".items", depth + 1, causes);
  if (schema["additionalProperties"].is_object()) look_into(schema["additionalProperties"], path + ".additionalProperties", depth + 1, causes);
}

}  // namespace

std::vector<Cause> schema_causes(const Json& schema, const Json& object) {
  Walker walker;
  walker.value(schema, object, "");
  return std::move(walker.causes);
}

std::vector<Cause> causes_in_schema(const Json& schema, const std::string& path) {
  std::vector<Cause> out;
  look_into(schema, path, 0, out);
  return out;
}

}  // namespace slipway::api
