// SPDX-License-Identifier: Apache-2.0
// Json: an immutable JSON value of 16 bytes, reference-counted; a copy is free and may be read from any thread.
//
// null, true/false, integers (int64, and uint64 above it), floats and strings; arrays; objects that keep the order of
// their members. 1 and 1.0 are different values. Every "change" returns a new value that shares what stayed the same.
// A look-up of what is not there gives null, so a path can be read without a check a step: v["spec"]["replicas"].
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace slipway::text {

class JsonMember;

class Json {
 public:
  enum class Kind : std::uint8_t { null, boolean, integer, floating, string, array, object };
  using Object = std::initializer_list<std::pair<std::string_view, Json>>;

  Json() noexcept;
  Json(std::nullptr_t) noexcept : Json() {}
  Json(bool value) noexcept;
  Json(int value) noexcept : Json(static_cast<std::int64_t>(value)) {}
  Json(unsigned value) noexcept : Json(static_cast<std::int64_t>(value)) {}
  Json(std::int64_t value) noexcept;
  Json(std::uint64_t value) noexcept;  // above 2^63-1 it stays exact
  Json(double value) noexcept;
  Json(std::string_view text);
  Json(const std::string& text) : Json(std::string_view(text)) {}
  Json(const char* text) : Json(std::string_view(text)) {}
  Json(const Json& other) noexcept;
  Json(Json&& other) noexcept;
  Json& operator=(Json other) noexcept;
  ~Json();

  static Json array(std::vector<Json> items = {});
  static Json object(Object members = {});  // a later duplicate key replaces the earlier
  static Json object(std::vector<JsonMember> members);
  static Json strings(std::span<const std::string> items);

  Kind kind() const noexcept;
  bool is_null() const noexcept { return kind() == Kind::null; }
  bool is_bool() const noexcept { return kind() == Kind::boolean; }
  bool is_int() const noexcept { return kind() == Kind::integer; }
  bool is_number() const noexcept { return kind() == Kind::integer || kind() == Kind::floating; }
  bool is_string() const noexcept { return kind() == Kind::string; }
  bool is_array() const noexcept { return kind() == Kind::array; }
  bool is_object() const noexcept { return kind() == Kind::object; }

  // The value, or the fallback where it is of another kind. The view of a string lives as long as some copy of this
  // value; the view of a short string lives as long as *this* value.
  bool as_bool(bool fallback = false) const noexcept;
  std::int64_t as_int(std::int64_t fallback = 0) const noexcept;
  double as_double(double fallback = 0) const noexcept;  // of an integer too
  std::string_view as_string(std::string_view fallback = {}) const& noexcept;
  std::string as_string(std::string_view fallback = {}) && {
    return std::string(std::as_const(*this).as_string(fallback));
  }
  std::string str(std::string_view fallback = {}) const { return std::string(as_string(fallback)); }
  bool is_unsigned_beyond_int64() const noexcept;  // then as_uint() is exact and as_int() the fallback
  std::uint64_t as_uint(std::uint64_t fallback = 0) const noexcept;

  std::size_t size() const noexcept;  // of an array or object; else 0
  bool empty() const noexcept { return size() == 0; }
  std::span<const Json> items() const noexcept;          // empty unless an array
  std::span<const JsonMember> members() const noexcept;  // empty unless an object

  const Json* find(std::string_view key) const noexcept;
  bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }
  const Json& operator[](std::string_view key) const noexcept;  // null where absent
  const Json& operator[](const char* key) const noexcept { return (*this)[std::string_view(key)]; }
  const Json& operator[](std::size_t index) const noexcept;  // null where absent
  const Json& operator[](int index) const noexcept { return (*this)[static_cast<std::size_t>(index)]; }
  const Json& at_path(std::initializer_list<std::string_view> keys) const noexcept;

  // New values. On null they make an object (with) or array (with_item appended); on other kinds they abort.
  Json with(std::string_view key, Json value) const;
  Json without(std::string_view key) const;
  Json with_path(std::initializer_list<std::string_view> keys, Json value) const;  // makes objects on the way
  Json without_path(std::initializer_list<std::string_view> keys) const;
  Json with_item(Json value) const;                     // appended
  Json with_item(std::size_t index, Json value) const;  // replaced; index < size()

  bool is_same(const Json& other) const noexcept;  // the same memory: equal without a look inside
  // Equal whatever the order of members. 1 != 1.0.
  friend bool operator==(const Json& a, const Json& b) noexcept;

  struct Node;  // the heap part; json.cc

 private:
  friend class JsonBuilder;
  alignas(8) unsigned char bytes_[16];  // tag, and an inline string, a number or a Node*; laid out in json.cc
};

// One member of an object. The key is a string value, so that a short or an interned one costs no allocation.
class JsonMember {
 public:
  JsonMember(std::string_view key, Json value) : value(std::move(value)), key_(key) {}
  std::string_view key() const noexcept { return key_.as_string(); }
  Json value;

 private:
  Json key_;
};

struct JsonLimits {
  std::size_t depth = 100;  // B3
  std::size_t values = 1'000'000;
  bool refuse_duplicate_keys = false;  // else the last one wins and the key is reported in `duplicates`
};

// Parses one JSON text (RFC 8259; UTF-8 checked; nothing but white space may follow). The error names line:column.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {},
                        std::vector<std::string>* duplicates = nullptr);

// Compact, members in their order. Floats as Go's encoding/json writes them; HTML characters are not escaped.
std::string to_json(const Json& value);
void append_json(const Json& value, std::string& out);
std::string to_json_indented(const Json& value, std::string_view indent = "    ");  // as Go's MarshalIndent
std::string to_canonical_json(const Json& value);  // keys sorted at every level: for digests

}  // namespace slipway::text
