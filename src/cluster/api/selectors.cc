// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/selectors.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::api {
namespace {

// Splits at commas that are not inside of parentheses.
std::vector<std::string_view> terms(std::string_view text) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
    if (const auto term = trim(text.substr(begin, i - begin)); !term.empty()) out.push_back(term);
    begin = i + 1;
  }
  return out;
}

const Json* field_of(const Json& object, std::string_view path) {
  const Json* at = &object;
  for (const std::string_view part : split(path, '.')) {
    at = at->find(part);
    if (at == nullptr) return nullptr;
  }
  return at;
}

std::string text_of(const Json& value) {
  if (value.is_string()) return value.str();
  return value.is_null() ? std::string() : to_json(value);
}

}  // namespace

Answer<Selectors::Requirement> Selectors::parse_label(std::string_view text) {
  Requirement out;
  if (text[0] == '!') return Requirement{std::string(trim(text.substr(1))), Operator::missing, {}};
  if (const std::size_t open = text.find('('); open != text.npos) {
    const std::string_view head = trim(text.substr(0, open));
    const std::size_t space = head.rfind(' ');
    const std::string_view word = space == head.npos ? std::string_view() : head.substr(space + 1);
    if ((word != "in" && word != "notin") || text.back() != ')')
      return bad_request(fmt::format("unable to parse requirement: {}", printable(text)));
    out.key = trim(head.substr(0, space));
    out.op = word == "in" ? Operator::in : Operator::not_in;
    for (const std::string_view value : split(text.substr(open + 1, text.size() - open - 2), ',')) out.values.emplace_back(trim(value));
    return out;
  }
  const std::size_t equals = text.find('=');
  if (equals == text.npos) return Requirement{std::string(text), Operator::exists, {}};
  const bool negated = equals > 0 && text[equals - 1] == '!';
  out.key = trim(text.substr(0, negated ? equals - 1 : equals));
  out.op = negated ? Operator::not_in : Operator::in;
  std::string_view value = text.substr(equals + 1);
  if (value.starts_with('=')) value.remove_prefix(1);
  out.values.emplace_back(trim(value));
  if (out.key.empty() || out.values[0].find_first_of("=!") != std::string::npos)
    return bad_request(fmt::format("unable to parse requirement: {}", printable(text)));
  return out;
}

Answer<Selectors> Selectors::parse(std::string_view labels, std::string_view fields) {
  Selectors out;
  for (const std::string_view term : terms(labels)) out.labels_.push_back(TRY(parse_label(term)));
  for (const std::string_view term : terms(fields)) {
    out.fields_.push_back(TRY(parse_label(term)));
    if (out.fields_.back().values.size() != 1) return bad_request(fmt::format("invalid field selector: {}", printable(term)));
  }
  return out;
}

bool Selectors::holds(const Requirement& requirement, const Json* value) {
  switch (requirement.op) {
    case Operator::exists: return value != nullptr;
    case Operator::missing: return value == nullptr;
    case Operator::in: return value != nullptr && std::ranges::find(requirement.values, text_of(*value)) != requirement.values.end();
    case Operator::not_in: return value == nullptr || std::ranges::find(requirement.values, text_of(*value)) == requirement.values.end();
  }
  return false;
}

bool Selectors::match(const Json& object) const {
  static const Json nothing{""};
  const Json& labels = object["metadata"]["labels"];
  for (const Requirement& one : labels_)
    if (!holds(one, labels.find(one.key))) return false;
  for (const Requirement& one : fields_) {
    // A field that is not set compares as the empty text.
    const Json* value = field_of(object, one.key);
    if (!holds(one, value == nullptr ? &nothing : value)) return false;
  }
  return true;
}

}  // namespace slipway::api
