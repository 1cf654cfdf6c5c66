// SPDX-License-Identifier: Apache-2.0
#include "text/template/value.h"

namespace slipway::text::gotmpl {

Value from_json(const Json& json, Numbers numbers) {
  switch (json.kind()) {
    case Json::Kind::null: return {};
    case Json::Kind::boolean: return json.as_bool();
    case Json::Kind::integer:
      if (numbers == Numbers::all_floats || json.is_unsigned_beyond_int64())
        return json.is_unsigned_beyond_int64() ? static_cast<double>(json.as_uint()) : json.as_double();
      return json.as_int();
    case Json::Kind::floating: return json.as_double();
    case Json::Kind::string: return json.str();
    case Json::Kind::array: {
      List items;
      items.reserve(json.size());
      for (const Json& item : json.items()) items.push_back(from_json(item, numbers));
      return items;
    }
    case Json::Kind::object: {
      Map members;
      for (const JsonMember& member : json.members()) members[std::string(member.key())] = from_json(member.value, numbers);
      return members;
    }
  }
  return {};
}

Json to_json_value(const Value& value) {
  if (auto* boolean = value.boolean()) return Json(*boolean);
  if (auto* integer = value.integer()) return Json(*integer);
  if (auto* floating = value.floating()) {
    double number = *floating;
    if (number > -9e15 && number < 9e15 && number == static_cast<double>(static_cast<std::int64_t>(number)))
      return Json(static_cast<std::int64_t>(number));
    return Json(number);
  }
  if (auto* string = value.string()) return Json(*string);
  if (auto* object = value.object()) return to_json_value(object->plain());
  if (auto* list = value.list()) {
    std::vector<Json> items;
    items.reserve(list->size());
    for (const Value& item : *list) items.push_back(to_json_value(item));
    return Json::array(std::move(items));
  }
  if (auto* map = value.map()) {
    std::vector<JsonMember> members;
    members.reserve(map->size());
    for (const auto& [key, member] : *map) members.emplace_back(key, to_json_value(member));
    return Json::object(std::move(members));
  }
  return {};
}

Value deep_copy(const Value& value) {
  if (auto* list = value.list()) {
    List items;
    items.reserve(list->size());
    for (const Value& item : *list) items.push_back(deep_copy(item));
    return items;
  }
  if (auto* map = value.map()) {
    Map members;
    for (const auto& [key, member] : *map) members.emplace_hint(members.end(), key, deep_copy(member));
    return members;
  }
  return value;
}

bool deep_equal(const Value& a, const Value& b) {
  if (a.is_nil() || b.is_nil()) return a.is_nil() && b.is_nil();
  if (a.boolean() && b.boolean()) return *a.boolean() == *b.boolean();
  if (a.integer() && b.integer()) return *a.integer() == *b.integer();
  if (a.floating() && b.floating()) return *a.floating() == *b.floating();
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.list() && b.list()) {
    if (a.list()->size() != b.list()->size()) return false;
    for (std::size_t i = 0; i < a.list()->size(); ++i)
      if (!deep_equal((*a.list())[i], (*b.list())[i])) return false;
    return true;
  }
  if (a.map() && b.map()) {
    if (a.map()->size() != b.map()->size()) return false;
    for (auto left = a.map()->begin(), right = b.map()->begin(); left != a.map()->end(); ++left, ++right)
      if (left->first != right->first || !deep_equal(left->second, right->second)) return false;
    return true;
  }
  return a.object() && a.object() == b.object();
}

bool truth(const Value& value) {
  if (auto* boolean = value.boolean()) return *boolean;
  if (auto* integer = value.integer()) return *integer != 0;
  if (auto* floating = value.floating()) return *floating != 0;
  if (auto* string = value.string()) return !string->empty();
  if (auto* list = value.list()) return !list->empty();
  if (auto* map = value.map()) return !map->empty();
  return value.object() != nullptr;
}

std::string kind_of(const Value& value) {
  if (value.is_nil()) return "invalid";
  if (value.boolean()) return "bool";
  if (value.integer()) return "int";
  if (value.floating()) return "float64";
  if (value.string()) return "string";
  if (value.list()) return "slice";
  return value.map() ? "map" : "ptr";
}

std::string type_of(const Value& value) {
  if (value.is_nil()) return "<nil>";
  if (value.list()) return "[]interface {}";
  if (value.map()) return "map[string]interface {}";
  return value.object() ? "*object" : kind_of(value);
}

}  // namespace slipway::text::gotmpl
