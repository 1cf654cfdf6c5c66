// SPDX-License-Identifier: Apache-2.0
// Sprig's functions over numbers, lists, dicts and kinds.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "text/template/execute.h"

namespace slipway::text::gotmpl {
namespace {

std::int64_t whole(const Value& value) {
  if (auto* integer = value.integer()) return *integer;
  if (auto* floating = value.floating()) return std::abs(*floating) < 9.2e18 ? static_cast<std::int64_t>(*floating) : 0;
  if (auto* boolean = value.boolean()) return *boolean ? 1 : 0;
  if (!value.string() || value.string()->empty()) return 0;
  char* end = nullptr;
  std::int64_t number = std::strtoll(value.string()->c_str(), &end, 0);
  return *end == 0 ? number : 0;
}
double real(const Value& value) {
  if (auto* floating = value.floating()) return *floating;
  if (auto* string = value.string()) return std::strtod(string->c_str(), nullptr);
  return static_cast<double>(whole(value));
}

Result<Value> arithmetic(Call& c) {
  TRY(c.want(1));
  std::int64_t sum = whole(c[0]);
  if (c.name == "add1") return sum + 1;
  for (const Value& value : c.arguments.subspan(1)) {
    std::int64_t next = whole(value);
    if (c.name == "add") __builtin_add_overflow(sum, next, &sum);
    else if (c.name == "sub") __builtin_sub_overflow(sum, next, &sum);
    else if (c.name == "mul") __builtin_mul_overflow(sum, next, &sum);
    else if (c.name == "max") sum = std::max(sum, next);
    else if (c.name == "min") sum = std::min(sum, next);
    else if (next == 0) return c.wrong("runtime error: integer divide by zero");
    else if (next == -1) sum = c.name == "div" ? -sum : 0;
    else sum = c.name == "div" ? sum / next : sum % next;
  }
  return sum;
}
Result<Value> arithmetic_real(Call& c) {
  TRY(c.want(1));
  double sum = real(c[0]);
  for (const Value& value : c.arguments.subspan(1)) {
    double next = real(value);
    sum = c.name == "addf" ? sum + next : c.name == "subf" ? sum - next : c.name == "mulf" ? sum * next : c.name == "divf" ? sum / next : c.name == "maxf" ? std::max(sum, next) : std::min(sum, next);
  }
  return sum;
}
Result<Value> round(Call& c) {
  TRY(c.want(2, 3));
  double scale = std::pow(10, static_cast<double>(whole(c[1]))), digit = real(c[0]) * scale;
  return (digit - std::floor(digit) >= 0.5 ? std::ceil(digit) : std::floor(digit)) / scale;
}

Result<Value> until(Call& c) {
  TRY(c.want(1, 3));
  std::int64_t from = c.size() > 1 ? whole(c[0]) : 0, to = whole(c[c.size() > 1 ? 1 : 0]), step = c.size() > 2 ? whole(c[2]) : to < 0 ? -1 : 1;
  List out;
  if (step == 0) return out;
  for (std::int64_t i = from; step > 0 ? i < to : i > to; i += step) {
    if (out.size() >= 1'000'000) return c.wrong("more than 1000000 items");
    out.emplace_back(i);
  }
  return out;
}

bool blank(const Value& value) { return !truth(value); }

Result<Value> dict(Call& c) {
  Map map;
  for (std::size_t i = 0; i < c.size(); i += 2) map[print(c[i])] = i + 1 < c.size() ? c[i + 1] : Value("");
  return map;
}
Result<Map*> map_of(Call& c, std::size_t i) {
  if (i >= c.size() || !c[i].map()) return c.wrong(fmt::format("wrong type for value; expected map[string]interface {{}}; got {}", i < c.size() ? type_of(c[i]) : "nothing"));
  return c[i].map();
}
Result<List> list_of(Call& c, std::size_t i) {
  if (i >= c.size() || !c[i].list()) return c.wrong(fmt::format("cannot use type {} as a list", i < c.size() ? type_of(c[i]) : "nothing"));
  return *c[i].list();
}
Result<Value> set(Call& c) {
  TRY(c.want(3, 3));
  (*TRY(map_of(c, 0)))[print(c[1])] = c[2];
  return c[0];
}
Result<Value> get(Call& c) {
  TRY(c.want(2, 2));
  Map* map = TRY(map_of(c, 0));
  auto found = map->find(print(c[1]));
  return found == map->end() ? Value("") : found->second;
}
Result<Value> dig(Call& c) {
  TRY(c.want(3));
  Value at = c.arguments.back();
  for (const Value& key : c.arguments.first(c.size() - 2)) {
    if (!at.map()) return c.wrong("interface conversion: interface {} is not map[string]interface {}");
    auto found = at.map()->find(print(key));
    if (found == at.map()->end()) return c[c.size() - 2];
    Value next = found->second;
    at = next;
  }
  return at;
}
Result<Value> keys_or_values(Call& c) {
  List out;
  for (std::size_t i = 0; i < (c.name == "values" ? 1 : c.size()); ++i)
    for (const auto& [key, value] : *TRY(map_of(c, i))) out.push_back(c.name == "values" ? value : Value(key));
  return out;
}
Result<Value> pick(Call& c) {
  TRY(c.want(1));
  Map* map = TRY(map_of(c, 0));
  Map out;
  for (const auto& [key, value] : *map) {
    bool named = std::any_of(c.arguments.begin() + 1, c.arguments.end(), [&](const Value& v) { return print(v) == key; });
    if (named == (c.name == "pick")) out[key] = value;
  }
  return out;
}
bool is_blank_for_merge(const Value& value) { return value.is_nil() || blank(value); }
// mergo: the first holder of a key that is not empty stays; with `over` the last one that is not empty wins.
void merge_into(Map& into, const Map& from, bool over) {
  for (const auto& [key, value] : from) {
    auto [found, added] = into.try_emplace(key, value);
    if (added) continue;
    if (found->second.map() && value.map() && found->second.map() != value.map()) merge_into(*found->second.map(), *value.map(), over);
    else if (over ? !is_blank_for_merge(value) : is_blank_for_merge(found->second)) found->second = value;
  }
}
Result<Value> merge(Call& c) {
  TRY(c.want(1));
  Map* into = TRY(map_of(c, 0));
  bool over = c.name.ends_with("verwrite");
  for (std::size_t i = 1; i < c.size(); ++i) merge_into(*into, *TRY(map_of(c, i)), over);
  return c[0];
}

Result<Value> list_functions(Call& c) {
  std::string_view name = c.name.starts_with("must") ? c.name.substr(4) : c.name;
  auto is = [&](std::string_view lower) { return name.size() == lower.size() && (name[0] | 0x20) == lower[0] && name.substr(1) == lower.substr(1); };
  if (is("has")) {
    TRY(c.want(2, 2));
    if (c[1].is_nil()) return false;
    List in = TRY(list_of(c, 1));
    return std::any_of(in.begin(), in.end(), [&](const Value& v) { return deep_equal(v, c[0]); });
  }
  if (is("concat")) {
    List out;
    for (std::size_t i = 0; i < c.size(); ++i) for (const Value& v : TRY(list_of(c, i))) out.push_back(v);
    return out;
  }
  TRY(c.want(1));
  List in = TRY(list_of(c, 0));
  if (is("first")) return in.empty() ? Value() : in.front();
  if (is("last")) return in.empty() ? Value() : in.back();
  if (is("rest")) return in.empty() ? Value() : Value(List(in.begin() + 1, in.end()));
  if (is("initial")) return in.empty() ? Value() : Value(List(in.begin(), in.end() - 1));
  if (is("append") || is("push")) return TRY(c.want(2, 2)), in.push_back(c[1]), in;
  if (is("prepend")) return TRY(c.want(2, 2)), in.insert(in.begin(), c[1]), in;
  if (is("reverse")) return std::reverse(in.begin(), in.end()), in;
  if (is("compact")) return std::erase_if(in, blank), in;
  if (is("without")) {
    std::erase_if(in, [&](const Value& v) { return std::any_of(c.arguments.begin() + 1, c.arguments.end(), [&](const Value& w) { return deep_equal(v, w); }); });
    return in;
  }
  if (is("uniq")) {
    List out;
    for (const Value& v : in) if (std::none_of(out.begin(), out.end(), [&](const Value& w) { return deep_equal(v, w); })) out.push_back(v);
    return out;
  }
  std::size_t from = c.size() > 1 ? static_cast<std::size_t>(whole(c[1])) : 0, to = c.size() > 2 ? static_cast<std::size_t>(whole(c[2])) : in.size();
  if (from > to || to > in.size()) return c.wrong("slice bounds out of range");
  return List(in.begin() + static_cast<std::ptrdiff_t>(from), in.begin() + static_cast<std::ptrdiff_t>(to));
}
Result<Value> sort_alpha(Call& c) {
  TRY(c.want(1, 1));
  if (!c[0].list()) return List{print(c[0])};
  std::vector<std::string> names;
  for (const Value& v : *c[0].list()) if (!v.is_nil()) names.push_back(print(v));
  std::sort(names.begin(), names.end());
  List out;
  for (std::string& name : names) out.emplace_back(std::move(name));
  return out;
}

}  // namespace

void add_data_functions(Functions& f) {
  for (const char* name : {"add", "add1", "sub", "mul", "div", "mod", "max", "min"}) f[name] = arithmetic;
  f["biggest"] = f["max"];
  for (const char* name : {"addf", "subf", "mulf", "divf", "maxf", "minf"}) f[name] = arithmetic_real;
  f["round"] = round;
  f["until"] = f["untilStep"] = until;
  f["int"] = f["int64"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return whole(c[0]); };
  f["atoi"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return static_cast<std::int64_t>(std::atoll(print(c[0]).c_str())); };
  f["toDecimal"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return static_cast<std::int64_t>(std::strtoll(print(c[0]).c_str(), nullptr, 8)); };
  f["float64"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return real(c[0]); };
  f["ceil"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return std::ceil(real(c[0])); };
  f["floor"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return std::floor(real(c[0])); };
  f["default"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 2)); return c.size() < 2 || blank(c[1]) ? c[0] : c[1]; };
  f["empty"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return blank(c[0]); };
  f["coalesce"] = [](Call& c) -> Result<Value> { for (const Value& v : c.arguments) if (!blank(v)) return v; return Value(); };
  f["ternary"] = [](Call& c) -> Result<Value> { TRY(c.want(3, 3)); return truth(c[2]) ? c[0] : c[1]; };
  f["all"] = [](Call& c) -> Result<Value> { return std::none_of(c.arguments.begin(), c.arguments.end(), blank); };
  f["any"] = [](Call& c) -> Result<Value> { return !std::all_of(c.arguments.begin(), c.arguments.end(), blank); };
  f["kindOf"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return kind_of(c[0]); };
  f["typeOf"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return type_of(c[0]); };
  f["kindIs"] = [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return kind_of(c[1]) == print(c[0]); };
  f["typeIs"] = [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return type_of(c[1]) == print(c[0]); };
  f["deepEqual"] = [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return deep_equal(c[0], c[1]); };
  f["deepCopy"] = f["mustDeepCopy"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return deep_copy(c[0]); };
  f["fail"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return c.wrong(print(c[0])); };
  f["list"] = f["tuple"] = [](Call& c) -> Result<Value> { return List(c.arguments.begin(), c.arguments.end()); };
  f["dict"] = dict;
  f["set"] = set;
  f["get"] = get;
  f["dig"] = dig;
  f["unset"] = [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); TRY(map_of(c, 0))->erase(print(c[1])); return c[0]; };
  f["hasKey"] = [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return TRY(map_of(c, 0))->contains(print(c[1])); };
  f["keys"] = f["values"] = keys_or_values;
  f["pick"] = f["omit"] = pick;
  for (const char* name : {"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"}) f[name] = merge;
  for (std::string name : {"has", "concat", "first", "last", "rest", "initial", "append", "push", "prepend", "reverse", "compact", "without", "uniq", "slice"}) {
    if (name != "slice") f[name] = list_functions;
    name[0] = static_cast<char>(name[0] & ~0x20);
    f["must" + name] = list_functions;
  }
  f["sortAlpha"] = sort_alpha;
  f["toStrings"] = [](Call& c) -> Result<Value> {
    List out;
    for (const Value& v : TRY(list_of(c, 0))) out.emplace_back(print(v));
    return out;
  };
  f["pluck"] = [](Call& c) -> Result<Value> {
    TRY(c.want(1));
    List out;
    for (std::size_t i = 1; i < c.size(); ++i) {
      Map* map = TRY(map_of(c, i));
      if (auto found = map->find(print(c[0])); found != map->end()) out.push_back(found->second);
    }
    return out;
  };
}

}  // namespace slipway::text::gotmpl
