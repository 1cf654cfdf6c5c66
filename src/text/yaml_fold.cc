// SPDX-License-Identifier: Apache-2.0
#include "text/yaml_fold.h"

#include <algorithm>

#include "text/yaml_node.h"

namespace slipway::text {
namespace {

// Else it is written in double quotes and comes back as it was.
bool is_written_folded(const std::string& text) {
  if (text.empty() || text.ends_with(' ') || text.find(" \n") != text.npos) return false;
  return std::ranges::none_of(text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f; });
}

std::string header(const std::string& text) {
  std::string out = "k: >";
  if (text[0] == ' ' || text[0] == '\n') out += '2';
  if (!text.ends_with('\n')) out += '-';
  else if (text.size() == 1 || text[text.size() - 2] == '\n') out += '+';
  return out + "\n";
}

std::string body(const std::string& text) {
  const auto first = text.find_first_not_of('\n');
  const bool adds = first != text.npos && text[first] != ' ' && text[first] != '\t';
  std::string out;
  bool breaks = true, leading_space = true;
  for (const char c : text) {
    if (c == '\n') {
      if (!breaks && !leading_space && adds) out += '\n';
      out += '\n';
      breaks = true;
      continue;
    }
    if (breaks) {
      out += "  ";
      leading_space = c == ' ' || c == '\t';
    }
    out += c;
    breaks = false;
  }
  return out + (text.ends_with('\n') ? "" : "\n");
}

}  // namespace

std::string refolded(const std::string& text) {
  if (!is_written_folded(text) || text.find('\n') == text.npos) return text;
  YamlPool pool;
  const auto read = parse_yaml_node(pool, header(text) + body(text));
  const YamlNode* value = read && *read != nullptr ? (*read)->find("k") : nullptr;
  return value == nullptr ? text : value->value;
}

}  // namespace slipway::text
