// SPDX-License-Identifier: Apache-2.0
// $(NAME) in the fields that take variables.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cd/kustomize/target.h"

namespace slipway::cd::kustomize {
namespace {

struct Value {
  std::string text;
  YamlTag tag = YamlTag::string;
};

using Values = std::map<std::string, Value>;

// "a[0]" is a, then item 0.
std::vector<std::string> path_parts(std::string_view path) {
  std::vector<std::string> out;
  for (const std::string& part : split_dotted_path(path)) {
    const auto open = part.rfind('[');
    const bool indexed = part.ends_with(']') && open != part.npos && open + 2 < part.size() &&
                         std::all_of(part.begin() + static_cast<std::ptrdiff_t>(open) + 1, part.end() - 1, [](char c) { return c >= '0' && c <= '9'; });
    if (!indexed) {
      out.push_back(part);
      continue;
    }
    if (open > 0) out.push_back(part.substr(0, open));
    out.push_back(part.substr(open + 1, part.size() - open - 2));
  }
  return out;
}

const YamlNode* walk(const YamlNode* node, const std::vector<std::string>& path) {
  for (const std::string& part : path) {
    if (node == nullptr) return nullptr;
    const auto index = parse_int(part);
    if (index && node->is_sequence()) node = *index >= 0 && static_cast<std::size_t>(*index) < node->content.size() ? node->content[static_cast<std::size_t>(*index)] : nullptr;
    else node = node->find(part);
  }
  return node;
}

Result<Values> find_values(const Accumulator& all) {
  Values out;
  for (const auto& [name, variable] : all.variables) {
    const auto holder = std::ranges::find_if(all.map.all(), [&](const ResourcePtr& one) { return std::ranges::find(one->variables, name) != one->variables.end(); });
    const std::string shown = fmt::format("{{{} {{ {} {} {}}} {{{}}}}}", name, variable.object.gvk.to_string(), variable.object.name, variable.object.ns, variable.field_path);
    if (holder == all.map.all().end()) return fail(ErrorCode::not_found, fmt::format("var '{}' cannot be mapped to a field in the set of known resources", shown));
    const YamlNode* node = walk((*holder)->node, path_parts(variable.field_path));
    if (node == nullptr) return fail(ErrorCode::not_found, fmt::format("field specified in var '{}' not found in corresponding resource", shown));
    const bool typed = node->tag == YamlTag::integer || node->tag == YamlTag::floating || node->tag == YamlTag::boolean;
    if (node->is_scalar()) out[name] = {node->value, typed ? node->tag : YamlTag::string};
  }
  return out;
}

// "$$(X)" is "$(X)", "$(X)" the variable; what is not known stays.
Value replaced(const std::string& input, const Values& values) {
  Value out;
  std::size_t done = 0;
  for (std::size_t at = 0; at + 1 < input.size(); ++at) {
    if (input[at] != '$') continue;
    out.text += input.substr(done, at - done);
    const auto end = input[at + 1] == '(' ? input.find(')', at + 2) : input.npos;
    if (input[at + 1] == '$') {
      out.text += '$';
      at += 1;
    } else if (end == input.npos) {
      out.text += input.substr(at, 2);
      at += 1;
    } else {
      const std::string name = input.substr(at + 2, end - at - 2);
      const auto found = values.find(name);
      if (found != values.end() && at == 0 && end + 1 == input.size()) return found->second;
      out.text += found == values.end() ? "$(" + name + ")" : found->second.text;
      at = end;
    }
    done = at + 1;
  }
  if (done < input.size()) out.text += input.substr(done);
  return out;
}

bool is_text(const YamlNode& node) { return node.is_scalar() && (node.tag == YamlTag::string || node.tag == YamlTag::none); }

void replace_in(YamlNode& node, const Values& values) {
  const Value value = replaced(node.value, values);
  node.value = value.text;
  node.tag = value.tag;
  node.style = YamlStyle::plain;
}

Result<> replace_all_in(YamlNode& node, const Values& values) {
  if (is_missing(&node)) return {};
  if (node.is_scalar()) {
    if (is_text(node)) replace_in(node, values);
    return {};
  }
  for (std::size_t i = 0; i < node.content.size(); ++i) {
    const bool is_key = node.is_mapping() && i % 2 == 0;
    YamlNode& item = *node.content[i];
    if (!is_text(item) && is_key) return fail(ErrorCode::invalid, fmt::format("invalid map key: value='{}'", item.value));
    if (!is_text(item) && node.is_sequence()) return fail(ErrorCode::invalid, "invalid value type expect a string");
    if (!is_key && is_text(item)) replace_in(item, values);
  }
  return {};
}

}  // namespace

Result<> resolve_variables(Context& context, Accumulator& all) {
  const Values values = TRY(find_values(all));
  if (values.empty()) return {};
  for (const ResourcePtr& one : all.map.all())
    for (const FieldSpec& spec : all.config.variables) TRY(visit(context.pool, *one->node, spec, {}, [&](YamlNode& node) { return replace_all_in(node, values); }));
  return {};
}

}  // namespace slipway::cd::kustomize
