// SPDX-License-Identifier: Apache-2.0
// Value: what a Go template computes with. Maps, lists and objects are shared and may be changed through any holder, as
// Go's are (Sprig's `set` changes a map in place); so a Value belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::text::gotmpl {

class Value;
using List = std::vector<Value>;
using Map = std::map<std::string, Value, std::less<>>;

// A value with methods, or a Go struct: its fields are known, and asking for another one is an error.
class Object {
 public:
  virtual ~Object() = default;
  virtual Result<Value> field(std::string_view name, std::span<const Value> arguments) const = 0;
  virtual Value plain() const = 0;  // what range, toYaml and printing see
};

class Value {
 public:
  Value() = default;  // nil
  Value(bool value) : data_(value) {}
  Value(int value) : data_(std::int64_t{value}) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(List items) : data_(std::make_shared<List>(std::move(items))) {}
  Value(Map members) : data_(std::make_shared<Map>(std::move(members))) {}
  Value(std::shared_ptr<Map> members) : data_(std::move(members)) {}
  Value(std::shared_ptr<const Object> object) : data_(std::move(object)) {}

  bool is_nil() const { return data_.index() == 0; }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
  const double* floating() const { return std::get_if<double>(&data_); }
  const std::string* string() const { return std::get_if<std::string>(&data_); }
  List* list() const { return pointee<List>(); }
  Map* map() const { return pointee<Map>(); }
  const Object* object() const { return pointee<const Object>(); }

 private:
  template <class T>
  T* pointee() const {
    auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer ? pointer->get() : nullptr;
  }
  std::variant<std::monostate, bool, std::int64_t, double, std::string, std::shared_ptr<List>, std::shared_ptr<Map>,
               std::shared_ptr<const Object>>
      data_;
};

enum class Numbers { as_json, all_floats };  // Go's encoding/json reads every number into a float64
Value from_json(const Json& json, Numbers numbers);
Json to_json_value(const Value& value);
Value deep_copy(const Value& value);
bool deep_equal(const Value& a, const Value& b);
bool truth(const Value& value);  // what `if` asks

std::string kind_of(const Value& value);  // reflect.Kind
std::string type_of(const Value& value);  // %T
std::string print(const Value& value);    // %v; nil is <nil>
std::string format_float(double value, char verb, int precision);  // strconv.FormatFloat
std::string quote(std::string_view text);                          // strconv.Quote
std::string sprintf(std::string_view format, std::span<const Value> arguments);

}  // namespace slipway::text::gotmpl
