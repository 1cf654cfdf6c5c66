// SPDX-License-Identifier: Apache-2.0
#include "desired/diff.h"

#include <fmt/format.h>

#include "kube/fields.h"

namespace slipway::desired {
namespace {

using text::Json;

std::string shown(const Json& value) {
  std::string out = value.is_null() ? "(absent)" : text::to_json(value);
  if (out.size() > 120) out = out.substr(0, 117) + "...";
  return out;
}

class Differ final {
 public:
  void compare(const Json& desired, const Json& live, const std::string& path, std::string_view field) {
    if (out.size() >= max_differences) return;
    if (desired.is_object() && live.is_object()) return compare_members(desired, live, path);
    if (desired.is_array() && live.is_array()) {
      const auto kind = kube::list_kind(field, desired);
      if (kind.kind == kube::ListKind::Kind::keyed) return compare_keyed(desired, live, path, kind);
      if (desired.size() == live.size()) {
        for (std::size_t i = 0; i < desired.size(); ++i) compare(desired[i], live[i], fmt::format("{}[{}]", path, i), {});
        return;
      }
    }
    if (desired == live || is_empty_and_absent(desired, live)) return;
    out.push_back(fmt::format("{}: {} -> {}", path, shown(live), shown(desired)));
  }

  std::vector<std::string> out;

 private:
  // null, {} and [] are what an API drops.
  static bool is_empty_and_absent(const Json& desired, const Json& live) {
    return live.is_null() && (desired.is_null() || ((desired.is_object() || desired.is_array()) && desired.empty()));
  }

  void compare_members(const Json& desired, const Json& live, const std::string& path) {
    for (const auto& member : desired.members())
      compare(member.value, live[member.key()], path.empty() ? std::string(member.key()) : fmt::format("{}.{}", path, member.key()), member.key());
  }

  void compare_keyed(const Json& desired, const Json& live, const std::string& path, const kube::ListKind& kind) {
    for (const Json& item : desired.items()) {
      const auto key = kube::item_key(kind, item);
      const Json* found = nullptr;
      for (const Json& other : live.items())
        if (kube::item_key(kind, other) == key) found = &other;
      compare(item, found ? *found : Json(), fmt::format("{}[{}]", path, item[kind.keys[0]].is_string() ? item[kind.keys[0]].str() : text::to_json(item[kind.keys[0]])), {});
    }
  }
};

}  // namespace

std::vector<std::string> diff(const Json& desired, const Json& live) {
  Differ differ;
  differ.compare(desired, live, "", "");
  return std::move(differ.out);
}

}  // namespace slipway::desired
