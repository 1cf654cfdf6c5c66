// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"

#include <doctest/doctest.h>

namespace slipway::text {
namespace {

std::string round(std::string_view text) {
  const auto value = parse_json(text);
  return value ? to_json(*value) : value.error().to_string();
}

TEST_CASE("a parsed text is written as it was, members in their order") {
  const std::string text =
      R"({"b":[1,-2,18446744073709551615,true,false,null,"é"],"a":{"long key past inline":"x"},"e":{},"f":[]})";
  CHECK(round(text) == text);
  CHECK(to_canonical_json(*parse_json(text)) ==
        R"({"a":{"long key past inline":"x"},"b":[1,-2,18446744073709551615,true,false,null,"é"],"e":{},"f":[]})");
  CHECK(to_json_indented(*parse_json(R"({"a":[1,{}],"b":[]})"), "  ") ==
        "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

TEST_CASE("numbers keep their kind, and floats are written as Go writes them") {
  CHECK(round("[9223372036854775807,9223372036854775808,18446744073709551616]") ==
        "[9223372036854775807,9223372036854775808,18446744073709552000]");
  CHECK(round("[1e-7,1.5e-6,0.000001,1e20,1e21,1.0,0.1,-0.5,1e100,1e-400]") ==
        "[1e-7,0.0000015,0.000001,100000000000000000000,1e+21,1,0.1,-0.5,1e+100,0]");
  CHECK(Json(1) != Json(1.0));
  CHECK(Json(1).as_double() == 1.0);
  CHECK(Json(~std::uint64_t{0}).as_int(7) == 7);
  CHECK(round("1e400").find("out of range") != std::string::npos);
}

TEST_CASE("strings are escaped as Go escapes them without HTML") {
  CHECK(to_json(Json("a\"\\\b\f\n\r\t\x01<>&\u2028\u2029\x7f")) ==
        "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001<>&\\u2028\\u2029\x7f\"");
  CHECK(to_json(Json("a\xff")) == R"("a\ufffd")");
  CHECK(parse_json(R"("\ud83d\ude00\ud800x\u00e9\/")")->str() == "😀\uFFFDxé/");
}

TEST_CASE("what is not JSON is refused with its line and column") {
  CHECK(round("{\"a\":1,\n \"b\" 2}") == "2:6: expected ':'");
  CHECK(round("[1,]") == "1:4: expected a value");
  CHECK(round("[1") == "1:3: unexpected end, expected ',' or ']'");
  for (const char* bad : {"",
                          "01",
                          "+1",
                          "1.",
                          ".5",
                          "1e",
                          "-",
                          "nul",
                          "'a'",
                          "\"a",
                          "\"\\x\"",
                          "\"\\u12g4\"",
                          "[1]2",
                          "{a:1}",
                          "NaN",
                          "\xEF\xBB\xBF{}",
                          "\"\xC0\x80\"",
                          "\"\xED\xA0\x80\"",
                          "\"\xF4\x90\x80\x80\"",
                          "\"a\nb\"",
                          "{\"a\":1,}"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_json(bad));
  }
}

TEST_CASE("depth and the number of values are bounded") {
  CHECK(parse_json(std::string(100, '[') + std::string(100, ']')));
  const auto deep = parse_json(std::string(101, '[') + std::string(101, ']'));
  REQUIRE_FALSE(deep);
  CHECK(deep.error().code == ErrorCode::too_large);
  CHECK_FALSE(parse_json("[1,2,3]", {.values = 3}));
}

TEST_CASE("the last of duplicate keys wins and is reported, or it is refused") {
  std::vector<std::string> duplicates;
  CHECK(to_json(*parse_json(R"({"a":1,"b":2,"a":3})", {}, &duplicates)) == R"({"a":3,"b":2})");
  CHECK(duplicates == std::vector<std::string>{"a"});
  CHECK_FALSE(parse_json(R"({"a":1,"a":3})", {.refuse_duplicate_keys = true}));
  CHECK(to_json(Json::object({{"a", 1}, {"a", 2}})) == R"({"a":2})");
}

TEST_CASE("an object of many members is found through its index, also after changes") {
  Json object;
  for (int i = 0; i < 200; ++i) object = object.with("key-" + std::to_string(i * 37 % 200), i);
  CHECK(object.size() == 200);
  for (int i = 0; i < 200; ++i) CHECK(object["key-" + std::to_string(i * 37 % 200)] == Json(i));
  CHECK(object["key-200"].is_null());
  CHECK(object.with("key-5", "x")["key-5"].str() == "x");
  CHECK(object.without("key-5").size() == 199);
  std::vector<std::string> duplicates;
  std::string text = "{\"z\":0";
  for (int i = 0; i < 30; ++i) text += ",\"k" + std::to_string(i % 25) + "\":" + std::to_string(i);
  CHECK(parse_json(text + "}", {}, &duplicates)->size() == 26);
  CHECK(duplicates.size() == 5);
}

TEST_CASE("a change leaves the old value as it was and shares the rest") {
  const Json old = *parse_json(R"({"metadata":{"name":"a string past the inline size"},"spec":{"replicas":1}})");
  const Json changed = old.with_path({"spec", "template", "x"}, true);
  CHECK(old.at_path({"spec", "template"}).is_null());
  CHECK(changed.at_path({"spec", "template", "x"}).as_bool());
  CHECK(changed["metadata"].is_same(old["metadata"]));
  CHECK(changed.without_path({"spec", "template", "x"}).without_path({"spec", "template"}) == old);
  CHECK(old.without_path({"spec", "nothing", "there"}) == old);
  CHECK(Json().with_item(1).with_item(2).with_item(0, 3) == Json::array({3, 2}));
  CHECK(*parse_json(R"({"a":1,"b":2})") == *parse_json(R"({"b":2,"a":1})"));
}

TEST_CASE("a value built a million levels deep is freed without a deep stack") {
  Json value;
  for (int i = 0; i < 1'000'000; ++i)
    value = Json::array({i % 2 == 0 ? Json::object({{"a", std::move(value)}}) : std::move(value)});
  CHECK(value.size() == 1);
}

}  // namespace
}  // namespace slipway::text
