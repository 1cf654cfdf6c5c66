// SPDX-License-Identifier: Apache-2.0
// What Helm adds to Sprig.
#include <fmt/format.h>
#include <openssl/rand.h>

#include "cd/helm/render.h"
#include "text/json.h"
#include "text/yaml.h"

namespace slipway::cd::helm {
namespace {

using text::gotmpl::Call;
using text::gotmpl::from_json;
using text::gotmpl::List;
using text::gotmpl::Numbers;
using text::gotmpl::to_json_value;

Result<Value> include(Call& c) {
  TRY(c.want(2, 2));
  return TRY(at(c.executor.run(print(c[0]), c[1]), print(c[0])));
}
Result<Value> tpl(Call& c) {
  TRY(c.want(2, 2));
  std::string source = print(c[0]);
  if (source.find("{{") == source.npos) return source;
  text::gotmpl::TemplateSet set = c.executor.set();
  TRY(set.parse("gotpl", source));
  return TRY(c.executor.run_in(set, "gotpl", c[1]));
}
Result<Value> required(Call& c) {
  TRY(c.want(2, 2));
  if (c[1].is_nil() || (c[1].string() && c[1].string()->empty())) return c.wrong(print(c[0]));
  return c[1];
}
std::string yaml_of(const Value& value) {
  std::string text = text::to_yaml(to_json_value(value));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}
std::string json_of(const Value& value, bool pretty) {
  text::Json json = to_json_value(value);
  std::string text = pretty ? text::to_json_indented(json, "  ") : text::to_json(json), out;
  for (char c : text)
    if (c == '<' || c == '>' || c == '&') out += fmt::format("\\u{:04x}", c);
    else out += c;
  return out;
}
Result<Value> from_text(Call& c) {
  TRY(c.want(1, 1));
  bool json = c.name.find("Json") != c.name.npos, array = c.name.ends_with("Array");
  auto parsed = json ? text::parse_json(print(c[0])) : text::parse_yaml(print(c[0]), "");
  if (!parsed) return array ? Value(List{Value(parsed.error().message)}) : Value(Map{{"Error", parsed.error().message}});
  Value value = from_json(*parsed, Numbers::all_floats);
  if (array) return value.list() ? value : Value(List{});
  return value.map() || c.name == "mustFromJson" ? value : Value(Map{});
}
Result<Value> random_text(Call& c) {
  TRY(c.want(1, 1));
  std::int64_t size = c[0].integer() ? *c[0].integer() : c[0].floating() ? static_cast<std::int64_t>(*c[0].floating()) : -1;
  if (size < 0 || size > 100'000) return c.wrong("the length is out of range");
  std::string_view letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  if (c.name == "randNumeric") letters = letters.substr(0, 10);
  if (c.name == "randAlpha") letters = letters.substr(10);
  std::string out;
  while (static_cast<std::int64_t>(out.size()) < size) {
    unsigned char byte = 0;
    if (RAND_bytes(&byte, 1) != 1) return c.wrong("no random bytes");
    if (byte < 256 / letters.size() * letters.size()) out += letters[byte % letters.size()];
  }
  return out;
}

}  // namespace

void add_helm_functions(text::gotmpl::Functions& f) {
  f["include"] = include;
  f["tpl"] = tpl;
  f["required"] = required;
  f["lookup"] = [](Call&) -> Result<Value> { return Map{}; };
  f["toYaml"] = f["mustToYaml"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return yaml_of(c[0]); };
  f["toJson"] = f["mustToJson"] = f["toRawJson"] = [](Call& c) -> Result<Value> {
    TRY(c.want(1, 1));
    return c.name == "toRawJson" ? text::to_json(to_json_value(c[0])) : json_of(c[0], false);
  };
  f["toPrettyJson"] = f["mustToPrettyJson"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return json_of(c[0], true); };
  for (const char* name : {"fromYaml", "fromYamlArray", "fromJson", "fromJsonArray", "mustFromJson"}) f[name] = from_text;
  for (const char* name : {"randAlphaNum", "randAlpha", "randNumeric"}) f[name] = random_text;
  f["semverCompare"] = [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return TRY(version_matches(print(c[0]), print(c[1]))); };
}

}  // namespace slipway::cd::helm
