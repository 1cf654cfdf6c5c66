// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/substitute.h"

#include <fmt/format.h>

namespace slipway::tekton {
namespace {

std::string as_text(const Json& value) { return value.is_string() ? value.str() : text::to_json(value); }

// The next "$(name)" at or after `from`: begin, end behind the bracket, and the name.
struct Found {
  std::size_t begin = 0, end = 0;
  std::string_view name;
};

bool next_variable(std::string_view text, std::size_t from, Found& found) {
  for (auto at = text.find("$(", from); at != text.npos; at = text.find("$(", at + 2)) {
    const auto close = text.find(')', at);
    if (close == text.npos) return false;
    if (at > 0 && text[at - 1] == '$') continue;  // "$$(x)" is for the shell
    found = {at, close + 1, text.substr(at + 2, close - at - 2)};
    return true;
  }
  return false;
}

}  // namespace

void Variables::set_param(const std::string& name, const Json& value) {
  const auto put = [&](const std::string& suffix, const Json& what) {
    for (const std::string& prefix : {fmt::format("params.{}", name), fmt::format("params['{}']", name), fmt::format("params[\"{}\"]", name)}) set(prefix + suffix, what);
  };
  put("", value);
  if (value.is_array()) {
    put("[*]", value);
    for (std::size_t i = 0; i < value.size(); ++i) put(fmt::format("[{}]", i), value[i]);
  }
  for (const auto& member : value.members()) put("." + std::string(member.key()), member.value);
}

const Json* Variables::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::string Variables::apply_text(std::string_view text) const {
  std::string out;
  std::size_t from = 0;
  for (Found found; next_variable(text, from, found); from = found.end) {
    out += text.substr(from, found.begin - from);
    const Json* value = find(found.name);
    out += value ? as_text(*value) : std::string(text.substr(found.begin, found.end - found.begin));
  }
  return out += text.substr(from);
}

Json Variables::apply(const Json& value) const {
  if (value.is_string()) {
    Found found;
    const std::string_view text = value.as_string();
    // A whole value that is one variable keeps its type.
    if (next_variable(text, 0, found) && found.begin == 0 && found.end == text.size())
      if (const Json* whole = find(found.name)) return *whole;
    return Json(apply_text(text));
  }
  if (value.is_array()) {
    std::vector<Json> items;
    for (const Json& item : value.items()) {
      const Json replaced = apply(item);
      const bool spreads = item.is_string() && item.as_string().find("[*])") != std::string_view::npos && replaced.is_array();
      if (spreads) items.insert(items.end(), replaced.items().begin(), replaced.items().end());
      else items.push_back(replaced);
    }
    return Json::array(std::move(items));
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const auto& member : value.members()) out = out.with(apply_text(member.key()), apply(member.value));
  return out;
}

namespace {

void collect(const Json& value, std::set<std::string>& out) {
  if (value.is_string()) {
    std::size_t from = 0;
    for (Found found; next_variable(value.as_string(), from, found); from = found.end) {
      if (!found.name.starts_with("tasks.")) continue;
      const std::string_view rest = found.name.substr(6);
      const auto dot = rest.find(".results.");
      if (dot != rest.npos) out.emplace(rest.substr(0, dot));
    }
  }
  for (const Json& item : value.items()) collect(item, out);
  for (const auto& member : value.members()) collect(member.value, out);
}

}  // namespace

std::set<std::string> tasks_read_by(const Json& value) {
  std::set<std::string> out;
  collect(value, out);
  return out;
}

}  // namespace slipway::tekton
