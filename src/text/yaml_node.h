// SPDX-License-Identifier: Apache-2.0
// YAML as a tree that may be changed: scalars keep their own text, tag and style, mappings the order of their keys.
//
// Where Json says what a document means, a YamlNode says how it was written: 1.10 stays "1.10" until to_json() resolves
// it. Tags are those of go-yaml v3 (yes and on are text, timestamps are not). Aliases and `<<` are expanded on reading.
// Nodes belong to their pool and may be shared between trees; a pool and its nodes are one thread's. Comments are not
// kept: no tool that reads these trees writes them back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::text {

enum class YamlKind : std::uint8_t { none, scalar, mapping, sequence };
enum class YamlTag : std::uint8_t {
  none, string, integer, floating, boolean, null, mapping, sequence, timestamp, binary, merge, other
};
enum class YamlStyle : std::uint8_t { plain, single_quoted, double_quoted, literal, folded, flow };

struct YamlNode {
  YamlKind kind = YamlKind::none;
  YamlTag tag = YamlTag::none;  // none: made by a program; what a plain scalar means is then decided by its text
  YamlStyle style = YamlStyle::plain;
  std::uint32_t line = 0;  // 1 is the first; 0: made by a program
  std::string value;       // of a scalar
  std::vector<YamlNode*> content;  // items, or keys and values in turn

  bool is_mapping() const { return kind == YamlKind::mapping; }
  bool is_sequence() const { return kind == YamlKind::sequence; }
  bool is_scalar() const { return kind == YamlKind::scalar; }
  bool is_null() const { return tag == YamlTag::null; }
  YamlNode* find(std::string_view key) const;  // of a mapping; nullptr where absent
};

class YamlPool final {
 public:
  YamlPool() = default;
  YamlPool(const YamlPool&) = delete;
  YamlNode* make(YamlKind kind, YamlTag tag = YamlTag::none);
  YamlNode* scalar(std::string_view value, YamlTag tag = YamlTag::none, YamlStyle style = YamlStyle::plain);
  YamlNode* copy(const YamlNode& node);  // deep
  std::size_t size() const { return nodes_.size(); }

 private:
  std::deque<YamlNode> nodes_;
};

struct YamlNodeLimits {
  std::size_t depth = 100;            // B3
  std::size_t nodes = 1'000'000;      // B2, in one document
  std::size_t alias_nodes = 100'000;  // of these, copied for aliases
};

// The first document of `text`; nullptr where it has no content. Errors read "yaml: line 3: …", as go-yaml
// has them; their place is "line:column".
Result<YamlNode*> parse_yaml_node(YamlPool& pool, std::string_view text, const YamlNodeLimits& limits = {});

// What an untagged plain scalar is.
YamlTag yaml_tag_of(std::string_view plain);
// The value, as go-yaml decodes it and encoding/json writes it. Keys that are no strings, a key given twice and values
// that do not fit their tag are errors.
Result<Json> to_json(const YamlNode& node);
// Keys sorted, strings quoted where they would otherwise be read as something else.
YamlNode* yaml_node_of(YamlPool& pool, const Json& value);
// As go-yaml v3 writes a tree with two spaces, sequences level with their key. Ends in a newline.
std::string to_yaml_text(const YamlNode& node);

}  // namespace slipway::text
