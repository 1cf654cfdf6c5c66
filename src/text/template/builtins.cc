// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "text/template/execute.h"

namespace slipway::text::gotmpl {
namespace {

Result<bool> equal(Call& call, const Value& a, const Value& b) {
  if (a.is_nil() || b.is_nil()) return a.is_nil() && b.is_nil();
  if (a.list() || a.map() || b.list() || b.map()) return call.wrong("non-comparable type");
  if (a.boolean() && b.boolean()) return *a.boolean() == *b.boolean();
  if (a.integer() && b.integer()) return *a.integer() == *b.integer();
  if (a.floating() && b.floating()) return *a.floating() == *b.floating();
  if (a.string() && b.string()) return *a.string() == *b.string();
  return call.wrong("incompatible types for comparison");
}

Result<bool> less(Call& call, const Value& a, const Value& b) {
  if (a.integer() && b.integer()) return *a.integer() < *b.integer();
  if (a.floating() && b.floating()) return *a.floating() < *b.floating();
  if (a.string() && b.string()) return *a.string() < *b.string();
  return call.wrong("incompatible types for comparison");
}

Result<Value> eq(Call& call) {
  TRY(call.want(2));
  for (std::size_t i = 1; i < call.size(); ++i)
    if (TRY(equal(call, call[0], call[i]))) return true;
  return false;
}

Result<Value> index(Call& call) {
  TRY(call.want(1));
  Value value = call[0];
  for (std::size_t i = 1; i < call.size(); ++i) {
    Value next;
    if (auto* map = value.map()) {
      if (!call[i].string()) return call.wrong(fmt::format("value has type {}; should be string", type_of(call[i])));
      if (auto found = map->find(*call[i].string()); found != map->end()) next = found->second;
    } else if (auto* list = value.list()) {
      if (!call[i].integer()) return call.wrong(fmt::format("cannot index slice/array with type {}", type_of(call[i])));
      auto at = static_cast<std::size_t>(*call[i].integer());
      if (at >= list->size()) return call.wrong(fmt::format("index out of range: {}", *call[i].integer()));
      next = (*list)[at];
    } else if (auto* text = value.string()) {
      auto at = call[i].integer() ? static_cast<std::size_t>(*call[i].integer()) : text->size();
      if (at >= text->size()) return call.wrong("index out of range");
      next = std::int64_t{static_cast<unsigned char>((*text)[at])};
    } else {
      return call.wrong(value.is_nil() ? "index of untyped nil" : fmt::format("can't index item of type {}", type_of(value)));
    }
    value = std::move(next);
  }
  return value;
}

Result<Value> slice(Call& call) {
  TRY(call.want(1, 4));
  std::size_t size = call[0].list() ? call[0].list()->size() : call[0].string() ? call[0].string()->size() : 0;
  std::size_t from = call.size() > 1 && call[1].integer() ? static_cast<std::size_t>(*call[1].integer()) : 0;
  std::size_t to = call.size() > 2 && call[2].integer() ? static_cast<std::size_t>(*call[2].integer()) : size;
  if (from > to || to > size) return call.wrong("index out of range");
  if (auto* text = call[0].string()) return text->substr(from, to - from);
  if (auto* list = call[0].list()) return List(list->begin() + static_cast<std::ptrdiff_t>(from), list->begin() + static_cast<std::ptrdiff_t>(to));
  return call.wrong(fmt::format("can't slice item of type {}", type_of(call[0])));
}

Result<Value> len(Call& call) {
  TRY(call.want(1, 1));
  if (auto* text = call[0].string()) return static_cast<std::int64_t>(text->size());
  if (auto* list = call[0].list()) return static_cast<std::int64_t>(list->size());
  if (auto* map = call[0].map()) return static_cast<std::int64_t>(map->size());
  return call.wrong(call[0].is_nil() ? "len of nil pointer" : fmt::format("len of type {}", type_of(call[0])));
}

std::string print_all(std::span<const Value> values, bool line) {
  std::string out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0 && (line || (!values[i].string() && !values[i - 1].string()))) out += ' ';
    out += print(values[i]);
  }
  return line ? out + "\n" : out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&#34;";
    else if (c == '\'') out += "&#39;";
    else if (c == 0) out += "\uFFFD";
    else out += c;
  }
  return out;
}

std::string escape_query(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '~') out += c;
    else if (c == ' ') out += '+';
    else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

Functions builtin_functions() {
  return {
      {"and", [](Call& c) -> Result<Value> { TRY(c.want(1)); for (const Value& v : c.arguments) if (!truth(v)) return v; return c.arguments.back(); }},
      {"or", [](Call& c) -> Result<Value> { TRY(c.want(1)); for (const Value& v : c.arguments) if (truth(v)) return v; return c.arguments.back(); }},
      {"not", [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return !truth(c[0]); }},
      {"eq", eq},
      {"ne", [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return !TRY(equal(c, c[0], c[1])); }},
      {"lt", [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return TRY(less(c, c[0], c[1])); }},
      {"gt", [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return TRY(less(c, c[1], c[0])); }},
      {"le", [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return !TRY(less(c, c[1], c[0])); }},
      {"ge", [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); return !TRY(less(c, c[0], c[1])); }},
      {"index", index}, {"slice", slice}, {"len", len},
      {"print", [](Call& c) -> Result<Value> { return print_all(c.arguments, false); }},
      {"println", [](Call& c) -> Result<Value> { return print_all(c.arguments, true); }},
      {"printf", [](Call& c) -> Result<Value> { TRY(c.want(1)); return sprintf(print(c[0]), c.arguments.subspan(1)); }},
      {"html", [](Call& c) -> Result<Value> { return escape_html(print_all(c.arguments, false)); }},
      {"urlquery", [](Call& c) -> Result<Value> { return escape_query(print_all(c.arguments, false)); }},
  };
}

}  // namespace slipway::text::gotmpl
