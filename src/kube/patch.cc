// SPDX-License-Identifier: Apache-2.0
#include "kube/patch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::kube {
namespace {

// "/a~1b/0" -> {"a/b", "0"}
Result<std::vector<std::string>> parse_pointer(std::string_view text) {
  std::vector<std::string> out;
  if (text.empty()) return out;
  if (text[0] != '/') return fail(ErrorCode::invalid, fmt::format("a JSON pointer must begin with /: {}", printable(text)));
  for (const auto part : split(text.substr(1), '/')) out.push_back(replace_all(replace_all(std::string(part), "~1", "/"), "~0", "~"));
  return out;
}

Result<std::size_t> index_of(const Json& array, const std::string& word, std::size_t limit) {
  const auto index = parse_int(word);
  if (!index || *index < 0 || static_cast<std::size_t>(*index) >= limit) return fail(ErrorCode::invalid, fmt::format("index {} is out of range of a list of {}", printable(word), array.size()));
  return static_cast<std::size_t>(*index);
}

Result<Json> look_up(const Json& value, const std::vector<std::string>& path) {
  Json at = value;
  for (const std::string& key : path) {
    if (at.is_array()) {
      const Json next = at[TRY(index_of(at, key, at.size()))];
      at = next;
    } else if (at.contains(key)) {
      const Json next = at[key];
      at = next;
    } else {
      return fail(ErrorCode::invalid, fmt::format("there is nothing at {}", printable(key)));
    }
  }
  return at;
}

enum class Edit { add, replace, remove };

Result<Json> edit(const Json& value, const std::vector<std::string>& path, std::size_t depth, Edit how, const Json& content) {
  if (depth == path.size()) return content;
  const std::string& key = path[depth];
  const bool last = depth + 1 == path.size();
  if (value.is_array()) {
    std::vector<Json> items(value.items().begin(), value.items().end());
    if (last && how == Edit::add) {
      const std::size_t index = key == "-" ? items.size() : TRY(index_of(value, key, items.size() + 1));
      items.insert(items.begin() + static_cast<std::ptrdiff_t>(index), content);
      return Json::array(std::move(items));
    }
    const std::size_t index = TRY(index_of(value, key, items.size()));
    if (last && how == Edit::remove) items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
    else items[index] = TRY(edit(items[index], path, depth + 1, how, content));
    return Json::array(std::move(items));
  }
  if (!value.is_object()) return fail(ErrorCode::invalid, fmt::format("{} is not inside of an object or a list", printable(key)));
  if ((!last || how != Edit::add) && !value.contains(key)) return fail(ErrorCode::invalid, fmt::format("there is nothing at {}", printable(key)));
  if (last && how == Edit::remove) return value.without(key);
  return value.with(key, TRY(edit(value[key], path, depth + 1, how, content)));
}

Result<Json> apply_operation(const Json& target, const Json& operation) {
  const std::string_view op = operation["op"].as_string();
  const auto path = TRY(parse_pointer(operation["path"].as_string()));
  if (op == "add") return edit(target, path, 0, Edit::add, operation["value"]);
  if (op == "replace") return edit(target, path, 0, Edit::replace, operation["value"]);
  if (op == "remove") return edit(target, path, 0, Edit::remove, Json());
  if (op == "test") {
    if (TRY(look_up(target, path)) == operation["value"]) return target;
    return fail(ErrorCode::invalid, fmt::format("testing path {} failed", printable(operation["path"].as_string())));
  }
  if (op != "move" && op != "copy") return fail(ErrorCode::invalid, fmt::format("unknown operation \"{}\"", printable(op)));
  const auto from = TRY(parse_pointer(operation["from"].as_string()));
  const Json moved = TRY(look_up(target, from));
  const Json rest = op == "move" ? TRY(edit(target, from, 0, Edit::remove, Json())) : target;
  return edit(rest, path, 0, Edit::add, moved);
}

}  // namespace

Result<Json> json_patch(const Json& target, const Json& operations) {
  if (!operations.is_array()) return fail(ErrorCode::invalid, "a JSON patch is a list of operations");
  if (operations.size() > max_json_patch_operations) return fail(ErrorCode::too_large, fmt::format("a JSON patch of more than {} operations", max_json_patch_operations));
  Json out = target;
  for (std::size_t i = 0; i < operations.size(); ++i) out = TRY(at(apply_operation(out, operations[i]), fmt::format("operation {}", i)));
  return out;
}

Json merge_patch(const Json& target, const Json& patch) {
  if (!patch.is_object()) return patch;
  Json out = target.is_object() ? target : Json::object();
  for (const auto& member : patch.members()) out = member.value.is_null() ? out.without(member.key()) : out.with(member.key(), merge_patch(out[member.key()], member.value));
  return out;
}

namespace {

constexpr std::string_view directive = "$patch", retain_keys = "$retainKeys";
constexpr std::string_view delete_primitive = "$deleteFromPrimitiveList/", element_order = "$setElementOrder/";

Result<Json> merge_maps(const Json& target, const Json& patch);

// The merge key of a keyed list: the first of the server-side keys, which is the strategic one of every built-in list.
std::string merge_key(std::string_view field, const Json& target, const Json& patch) {
  std::vector<Json> real;
  for (const Json& item : patch.items())
    if (!(item.size() == 1 && item.contains(directive))) real.push_back(item);
  if (const auto kind = list_kind(field, Json::array(real)); kind.kind == ListKind::Kind::keyed && !real.empty()) return kind.keys[0];
  if (const auto kind = list_kind(field, target); kind.kind == ListKind::Kind::keyed && !target.empty()) return kind.keys[0];
  return {};
}

Result<Json> merge_lists(std::string_view field, const Json& target, const Json& patch) {
  std::vector<Json> out(target.items().begin(), target.items().end());
  if (list_kind(field, patch).kind == ListKind::Kind::set) {
    for (const Json& item : patch.items())
      if (std::ranges::find(out, item) == out.end()) out.push_back(item);
    return Json::array(std::move(out));
  }
  const std::string key = merge_key(field, target, patch);
  if (key.empty()) return patch;
  for (const Json& item : patch.items())
    if (item[directive].as_string() == "replace") out.clear();
  for (const Json& item : patch.items()) {
    const std::string_view what = item[directive].as_string();
    if (what == "replace" && item.size() == 1) continue;
    if (!item.contains(key)) return fail(ErrorCode::invalid, fmt::format("an item of {} does not contain its merge key {}", field, key));
    const auto same = std::ranges::find_if(out, [&](const Json& one) { return one[key] == item[key]; });
    if (what == "delete") {
      std::erase_if(out, [&](const Json& one) { return one[key] == item[key]; });
    } else if (same == out.end()) {
      out.push_back(TRY(merge_maps(Json::object(), item)));
    } else {
      *same = TRY(merge_maps(*same, item));
    }
  }
  return Json::array(std::move(out));
}

// $setElementOrder/containers: [{name: a}, {name: b}]: those come first, in that order; what only the live list has stays behind.
Json ordered(std::string_view field, const Json& list, const Json& order) {
  const std::string key = merge_key(field, list, order);
  std::vector<Json> rest(list.items().begin(), list.items().end()), out;
  for (const Json& wanted : order.items()) {
    const auto found = std::ranges::find_if(rest, [&](const Json& one) { return key.empty() ? one == wanted : one[key] == wanted[key]; });
    if (found == rest.end()) continue;
    out.push_back(*found);
    rest.erase(found);
  }
  out.insert(out.end(), rest.begin(), rest.end());
  return Json::array(std::move(out));
}

Result<Json> merge_member(const Json& target, std::string_view key, const Json& value) {
  if (value.is_null()) return target.without(key);
  if (value.is_object()) {
    if (value[directive].as_string() == "delete") return target.without(key);
    return target.with(key, TRY(merge_maps(target[key].is_object() ? target[key] : Json::object(), value)));
  }
  if (value.is_array() && target[key].is_array()) return target.with(key, TRY(merge_lists(key, target[key], value)));
  if (value.is_array()) return target.with(key, TRY(merge_lists(key, Json::array(), value)));
  return target.with(key, value);
}

Result<Json> merge_maps(const Json& target, const Json& patch) {
  Json out = patch[directive].as_string() == "replace" ? Json::object() : target;
  if (const Json& kept = patch[retain_keys]; kept.is_array())
    for (const auto& member : target.members())
      if (std::ranges::none_of(kept.items(), [&](const Json& one) { return one.as_string() == member.key(); })) out = out.without(member.key());
  for (const auto& member : patch.members()) {
    const std::string_view key = member.key();
    if (key.starts_with("$")) continue;
    out = TRY(merge_member(out, key, member.value));
  }
  for (const auto& member : patch.members()) {
    if (member.key().starts_with(delete_primitive)) {
      const auto field = member.key().substr(delete_primitive.size());
      std::vector<Json> rest;
      for (const Json& item : out[field].items())
        if (std::ranges::find(member.value.items(), item) == member.value.items().end()) rest.push_back(item);
      out = out.with(field, Json::array(std::move(rest)));
    } else if (member.key().starts_with(element_order)) {
      const auto field = member.key().substr(element_order.size());
      if (out[field].is_array()) out = out.with(field, ordered(field, out[field], member.value));
    }
  }
  return out;
}

}  // namespace

Result<Json> strategic_merge_patch(const Json& target, const Json& patch) {
  if (!patch.is_object()) return fail(ErrorCode::invalid, "a strategic merge patch is an object");
  return merge_maps(target.is_object() ? target : Json::object(), patch);
}

}  // namespace slipway::kube
