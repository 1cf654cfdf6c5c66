// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "text/template/execute.h"

namespace slipway::text::gotmpl {
namespace {

std::string rendered(std::string_view source, const Value& data = {}, ExecuteLimits limits = {}) {
  Functions functions = builtin_functions();
  add_text_functions(functions);
  add_data_functions(functions);
  TemplateSet set(functions);
  if (auto parsed = set.parse("t", source); !parsed) return "error: " + parsed.error().message;
  Result<std::string> text = Executor(set, nullptr, limits).run("t", data);
  return text ? *text : "error: " + text.error().message;
}

TEST_CASE("numbers, text and lists are printed as Go prints them") {
  CHECK(rendered("{{ . }}", 1000000.0) == "1e+06");
  CHECK(rendered(R"({{ print 1 2 "a" 3 }})") == "1 2a3");
  CHECK(rendered(R"({{ printf "%5.2f|%q|%v" 1.5 "x" (list 1 "b") }})") == R"( 1.50|"x"|[1 b])");
}

TEST_CASE("an escape in a string has all of its digits and names a character") {
  CHECK(rendered(R"({{ "\x41\u00e9\101" }})") == "A\xC3\xA9" "A");
  for (const char* literal : {R"("\xzz")", R"("\u12g4")", R"("\x+1")", R"("\ud800")", R"("\U00110000")", R"("\777")", R"("\x4")"})
    CHECK(rendered(std::string("{{ ") + literal + " }}").starts_with("error: "));
}

TEST_CASE("blocks keep their variables and trim what they are told to trim") {
  CHECK(rendered(R"({{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }})") == "2");
  CHECK(rendered("a {{- range $i, $v := list 5 6 }} {{ $i }}={{ $v }}{{ end }}") == "a 0=5 1=6");
  CHECK(rendered(R"({{ with "" }}x{{ else with "y" }}{{ . }}{{ end }})") == "y");
}

TEST_CASE("what is wrong is refused with its place") {
  CHECK(rendered("a\n{{ nosuch }}") == "error: template: t:2: function \"nosuch\" not defined");
  CHECK(rendered("{{ if true }}").starts_with("error: template: t:1: unexpected EOF"));
}

TEST_CASE("a template that calls itself for ever, and one that loops for ever, are stopped") {
  CHECK(rendered(R"({{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }})", {}, {.depth = 50}).starts_with("error:"));
  CHECK(rendered("{{ range 1000000000 }}{{ end }}", {}, {.steps = 1000}).starts_with("error:"));
}

}  // namespace
}  // namespace slipway::text::gotmpl
