// SPDX-License-Identifier: Apache-2.0
#include "desired/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/strings.h"
#include "kube/fields.h"

namespace slipway::desired {
namespace {

using text::Json;

std::string shown(const Json& value) {
  std::string out = value.is_null() ? "(absent)" : text::to_json(value);
  if (out.size() > 120) out = out.substr(0, 117) + "...";
  return out;
}

// "500m" and 0.5, "1Gi" and 1073741824: the API writes quantities in its own form.
std::optional<double> quantity(const Json& value) {
  if (value.is_number()) return value.as_double();
  const std::string text = value.str();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc()) return std::nullopt;
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::array<std::pair<std::string_view, double>, 16> factors{{{"", 1}, {"n", 1e-9}, {"u", 1e-6}, {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12},
                                                                         {"P", 1e15}, {"E", 1e18}, {"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"Ei", 0x1p60}}};
  const auto found = std::ranges::find(factors, suffix, &std::pair<std::string_view, double>::first);
  if (found == factors.end()) return std::nullopt;
  return number * found->second;
}

bool is_same_quantity(const Json& a, const Json& b) {
  const auto x = quantity(a), y = quantity(b);
  return x && y && std::abs(*x - *y) <= 1e-12 * std::max(std::abs(*x), std::abs(*y));
}

bool holds_quantities(std::string_view field) {
  return field == "limits" || field == "requests" || field == "hard" || field == "capacity" || field == "overhead";
}

// What is written but never read back: a Secret's stringData; the status is the controllers'.
Json as_stored(const Json& desired) {
  Json out = desired.without("status");
  if (out["kind"].as_string() != "Secret" || out["apiVersion"].as_string() != "v1" || !out["stringData"].is_object()) return out;
  Json data = out["data"].is_object() ? out["data"] : Json::object();
  for (const auto& member : out["stringData"].members()) data = data.with(member.key(), to_base64(member.value.as_string()));
  return out.without("stringData").with("data", data);
}

// The values of a Secret are nobody's to read in a message.
bool is_secret(const Json& object) { return object["kind"].as_string() == "Secret"; }

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
    if (desired == live || desired.is_null() || is_empty_and_absent(desired, live)) return;
    if (field == "sizeLimit" && is_same_quantity(desired, live)) return;
    if (hides_values && path.starts_with("data")) return out.push_back(path + (live.is_null() ? ": is absent" : ": differs"));
    out.push_back(fmt::format("{}: {} -> {}", path, shown(live), shown(desired)));
  }

  std::vector<std::string> out;
  bool hides_values = false;

 private:
  // {} and [] are what an API drops; so is null, which asks for nothing.
  static bool is_empty_and_absent(const Json& desired, const Json& live) {
    return live.is_null() && (desired.is_null() || ((desired.is_object() || desired.is_array()) && desired.empty()));
  }

  void compare_members(const Json& desired, const Json& live, const std::string& path) {
    for (const auto& member : desired.members()) {
      if (quantities_ && is_same_quantity(member.value, live[member.key()])) continue;
      compare_member(member.value, live[member.key()], path.empty() ? std::string(member.key()) : fmt::format("{}.{}", path, member.key()), member.key());
    }
  }

  void compare_member(const Json& desired, const Json& live, const std::string& path, std::string_view field) {
    const bool before = std::exchange(quantities_, holds_quantities(field) && path.starts_with("spec."));
    compare(desired, live, path, field);
    quantities_ = before;
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

  bool quantities_ = false;  // the members of this object are
};

}  // namespace

std::vector<std::string> diff(const Json& desired, const Json& live) {
  Differ differ;
  differ.hides_values = is_secret(desired);
  differ.compare(as_stored(desired), live, "", "");
  return std::move(differ.out);
}

}  // namespace slipway::desired
