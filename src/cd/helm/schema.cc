// SPDX-License-Identifier: Apache-2.0
#include "cd/helm/schema.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace slipway::cd::helm {
namespace {

using text::Json;

constexpr std::string_view kRefused[] = {"$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "unevaluatedProperties",
                                         "unevaluatedItems", "dependencies", "dependentSchemas", "dependentRequired",
                                         "contains", "minContains", "maxContains", "extends", "disallow", "divisibleBy"};

bool same(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.is_int() && b.is_int() ? a == b : a.as_double() == b.as_double();
  if (a.kind() != b.kind() || a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.items().size(); ++i)
    if (!same(a[i], b[i])) return false;
  for (const auto& member : a.members())
    if (!b.contains(member.key()) || !same(member.value, b[member.key()])) return false;
  return a.is_array() || a.is_object() || a == b;
}

std::string_view kind_name(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::null: return "null";
    case Json::Kind::boolean: return "boolean";
    case Json::Kind::integer:
    case Json::Kind::floating: return "number";
    case Json::Kind::string: return "string";
    case Json::Kind::array: return "array";
    case Json::Kind::object: return "object";
  }
  return "";
}

bool is_of(const Json& value, std::string_view type) {
  if (type == "integer") return value.is_number() && std::trunc(value.as_double()) == value.as_double();
  return kind_name(value) == type;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// The problem with a value; empty where there is none. An error means that the schema itself cannot be used.
using Problem = Result<std::string>;

class Checker {
 public:
  explicit Checker(const Json& root) : root_(root) {
    const std::string draft = root["$schema"].str();
    old_ = draft.find("draft-0") != draft.npos;
  }

  Problem check(const Json& schema, const Json& value, const std::string& path) {
    if (schema.is_bool()) return schema.as_bool() ? "" : problem(path, "false schema");
    if (!schema.is_object()) return fail(ErrorCode::invalid, fmt::format("values.schema.json: at '{}': a schema is an object or a boolean", path));
    if (++steps_ > 1'000'000 || depth_ >= 200) return fail(ErrorCode::too_large, "values.schema.json: too many steps");
    ++depth_;
    Problem found = check_all(schema, value, path);
    --depth_;
    return found;
  }

 private:
  const Json& root_;
  bool old_ = false;  // draft 7 or older: nothing beside $ref counts, formats are checked
  std::size_t steps_ = 0, depth_ = 0;

  static std::string problem(const std::string& path, std::string_view what) { return fmt::format("at '{}': {}", path, what); }

  Problem check_all(const Json& schema, const Json& value, const std::string& path) {
    for (std::string_view keyword : kRefused)
      if (schema.contains(keyword)) return fail(ErrorCode::invalid, fmt::format("values.schema.json: {} is not supported", keyword));
    if (schema["format"].is_string() && value.is_string() && old_)
      return fail(ErrorCode::invalid, fmt::format("values.schema.json: format {} is not supported", schema["format"].as_string()));
    if (schema["$id"].is_string() && depth_ > 1) return fail(ErrorCode::invalid, "values.schema.json: $id within a schema is not supported");
    if (schema.contains("$ref")) {
      std::string found = TRY(check(*TRY(target(schema["$ref"].str())), value, path));
      if (!found.empty() || old_) return found;
    }
    for (auto part : {&Checker::general, &Checker::numbers, &Checker::text, &Checker::array, &Checker::object, &Checker::combined})
      if (std::string found = TRY((this->*part)(schema, value, path)); !found.empty()) return found;
    return "";
  }

  Result<const Json*> target(std::string_view ref) {
    const auto refuse = [&] { return fail(ErrorCode::invalid, fmt::format("values.schema.json: $ref {} is not supported: only places in this schema are", ref)); };
    if (ref != "#" && !ref.starts_with("#/")) return refuse();
    const Json* at = &root_;
    for (std::string_view rest = ref.substr(1); !rest.empty();) {
      rest.remove_prefix(1);
      const std::size_t slash = std::min(rest.find('/'), rest.size());
      std::string key(rest.substr(0, slash));
      rest.remove_prefix(slash);
      if (key.find('%') != key.npos) return refuse();
      for (auto [from, to] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}})
        for (std::size_t i = 0; (i = key.find(from, i)) != key.npos; ++i) key.replace(i, 2, to);
      std::size_t index = 0;
      if (at->is_array() && std::from_chars(key.data(), key.data() + key.size(), index).ec == std::errc() && index < at->size()) at = &(*at)[index];
      else if (const Json* next = at->find(key)) at = next;
      else return fail(ErrorCode::invalid, fmt::format("values.schema.json: $ref {} leads nowhere", ref));
    }
    return at;
  }

  Problem general(const Json& schema, const Json& value, const std::string& path) {
    const Json& type = schema["type"];
    if (type.is_string() && !is_of(value, type.as_string())) return problem(path, fmt::format("got {}, want {}", kind_name(value), type.as_string()));
    if (type.is_array() && std::none_of(type.items().begin(), type.items().end(), [&](const Json& one) { return is_of(value, one.as_string()); }))
      return problem(path, fmt::format("got {}, want one of {}", kind_name(value), to_json(type)));
    const auto allowed = schema["enum"].items();
    if (schema.contains("enum") && std::none_of(allowed.begin(), allowed.end(), [&](const Json& one) { return same(one, value); }))
      return problem(path, fmt::format("value must be one of {}", to_json(schema["enum"])));
    if (schema.contains("const") && !same(schema["const"], value)) return problem(path, fmt::format("value must be {}", to_json(schema["const"])));
    return "";
  }

  Problem numbers(const Json& schema, const Json& value, const std::string& path) {
    if (!value.is_number()) return "";
    const double number = value.as_double();
    const Json &least = schema["minimum"], &most = schema["maximum"], &above = schema["exclusiveMinimum"], &below = schema["exclusiveMaximum"];
    const bool low = least.is_number() && (number < least.as_double() || (above.as_bool() && number == least.as_double()));
    const bool high = most.is_number() && (number > most.as_double() || (below.as_bool() && number == most.as_double()));
    if (low || (above.is_number() && number <= above.as_double())) return problem(path, fmt::format("{} is too small", number));
    if (high || (below.is_number() && number >= below.as_double())) return problem(path, fmt::format("{} is too large", number));
    if (const Json& step = schema["multipleOf"]; step.is_number() && std::fmod(number, step.as_double()) != 0)
      return problem(path, fmt::format("{} is not a multiple of {}", number, step.as_double()));
    return "";
  }

  // A length against two keywords.
  static std::string length(const Json& schema, const char* least, const char* most, std::size_t size, const std::string& path) {
    const double given = static_cast<double>(size);
    for (auto [name, wrong] : {std::pair{least, given < schema[least].as_double(given)}, std::pair{most, given > schema[most].as_double(given)}})
      if (wrong) return problem(path, fmt::format("{}: got {}, want {}", name, size, to_json(schema[name])));
    return "";
  }

  static Result<bool> matches(std::string_view pattern, std::string_view text) {
    const RE2 compiled(re2::StringPiece(pattern.data(), pattern.size()), RE2::Quiet);
    if (!compiled.ok()) return fail(ErrorCode::invalid, fmt::format("values.schema.json: pattern {}: {}", pattern, compiled.error()));
    return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), compiled);
  }

  Problem text(const Json& schema, const Json& value, const std::string& path) {
    if (!value.is_string()) return "";
    if (schema["pattern"].is_string() && !TRY(matches(schema["pattern"].as_string(), value.as_string())))
      return problem(path, fmt::format("'{}' does not match pattern '{}'", value.as_string(), schema["pattern"].as_string()));
    return length(schema, "minLength", "maxLength", characters(value.as_string()), path);
  }

  Problem array(const Json& schema, const Json& value, const std::string& path) {
    if (!value.is_array()) return "";
    const Json &items = schema["items"], &first = items.is_array() ? items : schema["prefixItems"];
    for (std::size_t i = 0; i < value.size(); ++i) {
      const Json* one = i < first.size() ? &first[i] : schema.find(items.is_array() ? "additionalItems" : "items");
      if (!one) break;
      if (std::string found = TRY(check(*one, value[i], fmt::format("{}/{}", path, i))); !found.empty()) return found;
    }
    if (schema["uniqueItems"].as_bool())
      for (std::size_t i = 0; i < value.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
          if (++steps_ > 1'000'000) return fail(ErrorCode::too_large, "values.schema.json: too many steps");
          if (same(value[i], value[j])) return problem(path, fmt::format("items at {} and {} are equal", j, i));
        }
    return length(schema, "minItems", "maxItems", value.size(), path);
  }

  Problem object(const Json& schema, const Json& value, const std::string& path) {
    if (!value.is_object()) return "";
    for (const Json& name : schema["required"].items())
      if (!value.contains(name.as_string())) return problem(path, fmt::format("missing property '{}'", name.as_string()));
    for (const auto& member : value.members()) {
      const std::string key(member.key()), below = path + "/" + key;
      bool known = false;
      const auto one = [&](const Json& inner) { return known = true, check(inner, member.value, below); };
      if (const Json* inner = schema["properties"].find(key))
        if (std::string found = TRY(one(*inner)); !found.empty()) return found;
      for (const auto& [pattern, inner] : patterns(schema))
        if (TRY(matches(pattern, key)))
          if (std::string found = TRY(one(*inner)); !found.empty()) return found;
      const Json* rest = schema.find("additionalProperties");
      if (!known && rest && rest->is_bool() && !rest->as_bool()) return problem(path, fmt::format("additional properties '{}' not allowed", key));
      if (!known && rest)
        if (std::string found = TRY(one(*rest)); !found.empty()) return found;
      if (const Json* names = schema.find("propertyNames"))
        if (std::string found = TRY(check(*names, Json(key), path)); !found.empty()) return found;
    }
    return length(schema, "minProperties", "maxProperties", value.size(), path);
  }

  static std::vector<std::pair<std::string, const Json*>> patterns(const Json& schema) {
    std::vector<std::pair<std::string, const Json*>> found;
    for (const auto& member : schema["patternProperties"].members()) found.emplace_back(member.key(), &member.value);
    return found;
  }

  Problem combined(const Json& schema, const Json& value, const std::string& path) {
    for (const Json& one : schema["allOf"].items())
      if (std::string found = TRY(check(one, value, path)); !found.empty()) return found;
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (!schema.contains(keyword)) continue;
      std::size_t fitting = 0;
      for (const Json& one : schema[keyword].items()) fitting += TRY(check(one, value, path)).empty() ? 1 : 0;
      if (fitting == 0 || (fitting > 1 && keyword[0] == 'o')) return problem(path, fmt::format("{} failed, {} subschemas matched", keyword, fitting));
    }
    if (const Json* no = schema.find("not"); no && TRY(check(*no, value, path)).empty()) return problem(path, "'not' failed");
    if (const Json* question = schema.find("if"))
      if (const Json* then = schema.find(TRY(check(*question, value, path)).empty() ? "then" : "else")) return check(*then, value, path);
    return "";
  }
};

}  // namespace

Result<> check_schema(const Json& schema, const Json& values) {
  if (std::string found = TRY(Checker(schema).check(schema, values, "")); !found.empty()) return fail(ErrorCode::invalid, found);
  return {};
}

}  // namespace slipway::cd::helm
