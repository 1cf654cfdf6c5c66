// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <yaml.h>

#include <cstring>
#include <map>

#include "text/utf8.h"
#include "text/yaml_node.h"

namespace slipway::text {
namespace {

struct Event : yaml_event_t {
  Event() { std::memset(static_cast<yaml_event_t*>(this), 0, sizeof(yaml_event_t)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(this); }
};

std::string_view view(const yaml_char_t* text) { return text == nullptr ? "" : reinterpret_cast<const char*>(text); }

YamlTag named_tag(std::string_view tag) {
  static constexpr std::string_view prefix = "tag:yaml.org,2002:";
  if (tag == "!") return YamlTag::string;
  if (!tag.starts_with(prefix)) return YamlTag::other;
  static const std::map<std::string_view, YamlTag> tags = {
      {"str", YamlTag::string}, {"int", YamlTag::integer}, {"float", YamlTag::floating}, {"bool", YamlTag::boolean},
      {"null", YamlTag::null}, {"map", YamlTag::mapping}, {"seq", YamlTag::sequence}, {"timestamp", YamlTag::timestamp},
      {"binary", YamlTag::binary}, {"merge", YamlTag::merge}};
  const auto found = tags.find(tag.substr(prefix.size()));
  return found == tags.end() ? YamlTag::other : found->second;
}

YamlStyle style_of(yaml_scalar_style_t style) {
  switch (style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE: return YamlStyle::single_quoted;
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE: return YamlStyle::double_quoted;
    case YAML_LITERAL_SCALAR_STYLE: return YamlStyle::literal;
    case YAML_FOLDED_SCALAR_STYLE: return YamlStyle::folded;
    default: return YamlStyle::plain;
  }
}

class NodeReader {
 public:
  NodeReader(YamlPool& pool, std::string_view text, const YamlNodeLimits& limits) : pool_(pool), limits_(limits) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~NodeReader() { yaml_parser_delete(&parser_); }
  NodeReader(const NodeReader&) = delete;
  NodeReader& operator=(const NodeReader&) = delete;

  Result<YamlNode*> read() {
    Event start;
    TRY(next(start));
    Event document;
    TRY(next(document));
    if (document.type == YAML_STREAM_END_EVENT) return nullptr;
    Event first;
    TRY(next(first));
    YamlNode* root = TRY(node(first, 0));
    Event end;
    TRY(next(end));
    return root->is_scalar() && root->is_null() ? nullptr : root;
  }

 private:
  Result<> next(Event& event) {
    if (yaml_parser_parse(&parser_, &event)) return {};
    const std::size_t mark = parser_.context_mark.line != 0 ? parser_.context_mark.line : parser_.problem_mark.line;
    const std::size_t line = mark == 0 ? 0 : mark + (parser_.error == YAML_SCANNER_ERROR ? 1 : 0);
    const std::string where = line > 0 ? fmt::format("line {}: ", line) : std::string();
    const std::string place = fmt::format("{}:{}", parser_.problem_mark.line + 1, parser_.problem_mark.column + 1);
    const std::string problem = parser_.problem == nullptr ? "cannot be read" : parser_.problem;
    return std::unexpected(Error{ErrorCode::invalid, fmt::format("yaml: {}{}", where, problem), {place}});
  }

  Result<YamlNode*> make(const Event& event, YamlKind kind, const yaml_char_t* tag, YamlTag fallback) {
    if (++nodes_ > limits_.nodes) return fail(ErrorCode::too_large, fmt::format("yaml: line {}: a document of more than {} values", event.start_mark.line + 1, limits_.nodes));
    YamlNode* node = pool_.make(kind, tag == nullptr ? fallback : named_tag(view(tag)));
    node->line = static_cast<std::uint32_t>(event.start_mark.line + 1);
    return node;
  }

  Result<YamlNode*> node(Event& event, std::size_t depth) {
    if (depth > limits_.depth) return fail(ErrorCode::too_large, fmt::format("yaml: line {}: nested more than {} levels deep", event.start_mark.line + 1, limits_.depth));
    switch (event.type) {
      case YAML_ALIAS_EVENT: return alias(event);
      case YAML_SCALAR_EVENT: return scalar(event);
      case YAML_SEQUENCE_START_EVENT: return sequence(event, depth);
      case YAML_MAPPING_START_EVENT: return mapping(event, depth);
      default: return fail(ErrorCode::invalid, "yaml: unexpected content");
    }
  }

  Result<YamlNode*> alias(const Event& event) {
    const std::string name(view(event.data.alias.anchor));
    const auto found = anchors_.find(name);
    if (found == anchors_.end() || found->second.node == nullptr) return fail(ErrorCode::invalid, fmt::format("yaml: unknown anchor '{}' referenced", name));
    alias_nodes_ += found->second.nodes;
    nodes_ += found->second.nodes;
    if (alias_nodes_ > limits_.alias_nodes || nodes_ > limits_.nodes)
      return fail(ErrorCode::too_large, fmt::format("yaml: line {}: document contains excessive aliasing", event.start_mark.line + 1));
    return pool_.copy(*found->second.node);
  }

  Result<YamlNode*> scalar(const Event& event) {
    const auto& data = event.data.scalar;
    YamlNode* made = TRY(make(event, YamlKind::scalar, data.tag, YamlTag::string));
    made->value.assign(reinterpret_cast<const char*>(data.value), data.length);
    made->style = style_of(data.style);
    if (data.tag == nullptr && made->style == YamlStyle::plain) made->tag = yaml_tag_of(made->value);
    remember(data.anchor, made, 1);
    return made;
  }

  Result<YamlNode*> sequence(const Event& start, std::size_t depth) {
    const std::size_t before = nodes_;
    YamlNode* made = TRY(make(start, YamlKind::sequence, start.data.sequence_start.tag, YamlTag::sequence));
    if (start.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE) made->style = YamlStyle::flow;
    const std::string anchor(view(start.data.sequence_start.anchor));
    while (true) {
      Event event;
      TRY(next(event));
      if (event.type == YAML_SEQUENCE_END_EVENT) break;
      made->content.push_back(TRY(node(event, depth + 1)));
    }
    remember(anchor, made, nodes_ - before);
    return made;
  }

  Result<YamlNode*> mapping(const Event& start, std::size_t depth) {
    const std::size_t before = nodes_;
    YamlNode* made = TRY(make(start, YamlKind::mapping, start.data.mapping_start.tag, YamlTag::mapping));
    if (start.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE) made->style = YamlStyle::flow;
    const std::string anchor(view(start.data.mapping_start.anchor));
    bool merges = false;
    while (true) {
      Event event;
      TRY(next(event));
      if (event.type == YAML_MAPPING_END_EVENT) break;
      made->content.push_back(TRY(node(event, depth + 1)));
      merges = merges || (made->content.size() % 2 == 1 && made->content.back()->tag == YamlTag::merge);
    }
    if (merges) TRY(expand_merge(*made));
    remember(anchor, made, nodes_ - before);
    return made;
  }

  void remember(const yaml_char_t* anchor, YamlNode* node, std::size_t nodes) { remember(std::string(view(anchor)), node, nodes); }
  void remember(const std::string& anchor, YamlNode* node, std::size_t nodes) {
    if (!anchor.empty()) anchors_[anchor] = {node, nodes};
  }

  // The mappings that `<<` names; of a list the first wins, so it comes last.
  Result<> collect_merged(YamlNode* value, std::vector<YamlNode*>& out) {
    if (value->is_mapping()) {
      out.insert(out.begin(), value);
      return {};
    }
    if (!value->is_sequence()) return fail(ErrorCode::invalid, "map merge requires map or sequence of maps as the value");
    for (YamlNode* item : value->content) {
      if (item->is_sequence()) return fail(ErrorCode::invalid, "invalid map merge: received a nested sequence");
      TRY(collect_merged(item, out));
    }
    return {};
  }

  Result<> expand_merge(YamlNode& node) {
    std::vector<YamlNode*> merged, own;
    bool found = false;
    for (std::size_t i = 0; i + 1 < node.content.size(); i += 2) {
      if (node.content[i]->tag == YamlTag::merge) {
        if (std::exchange(found, true)) return fail(ErrorCode::invalid, "duplicate merge key");
        TRY(collect_merged(node.content[i + 1], merged));
      } else {
        own.push_back(node.content[i]);
        own.push_back(node.content[i + 1]);
      }
    }
    std::vector<YamlNode*> out = own;
    const auto set = [&out](YamlNode* key, YamlNode* value) {
      for (std::size_t i = 0; i + 1 < out.size(); i += 2) {
        if (out[i]->value != key->value) continue;
        out[i + 1] = value;
        return;
      }
      out.push_back(key);
      out.push_back(value);
    };
    for (const YamlNode* from : merged)
      for (std::size_t i = 0; i + 1 < from->content.size(); i += 2) set(from->content[i], from->content[i + 1]);
    for (std::size_t i = 0; i + 1 < own.size(); i += 2) set(own[i], own[i + 1]);
    node.content = std::move(out);
    return {};
  }

  struct Anchor {
    YamlNode* node = nullptr;
    std::size_t nodes = 0;
  };
  YamlPool& pool_;
  const YamlNodeLimits limits_;
  yaml_parser_t parser_;
  std::map<std::string, Anchor> anchors_;
  std::size_t nodes_ = 0, alias_nodes_ = 0;
};

}  // namespace

Result<YamlNode*> parse_yaml_node(YamlPool& pool, std::string_view text, const YamlNodeLimits& limits) {
  return NodeReader(pool, text, limits).read();
}

}  // namespace slipway::text
