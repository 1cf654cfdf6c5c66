// SPDX-License-Identifier: Apache-2.0
#include <yaml.h>

#include <cstdlib>

#include "text/yaml_node.h"

namespace slipway::text {
namespace {

class NodeWriter {
 public:
  NodeWriter() {
    require(yaml_emitter_initialize(&emitter_));
    yaml_emitter_set_output(&emitter_, &append, &out_);
    yaml_emitter_set_width(&emitter_, -1);  // go-yaml v3 folds no lines
    yaml_emitter_set_unicode(&emitter_, 1);
  }
  ~NodeWriter() { yaml_emitter_delete(&emitter_); }
  NodeWriter(const NodeWriter&) = delete;
  NodeWriter& operator=(const NodeWriter&) = delete;

  std::string write(const YamlNode& root) {
    yaml_event_t event;
    emit(event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(event, yaml_document_start_event_initialize(&event, nullptr, nullptr, nullptr, 1));
    node(root);
    emit(event, yaml_document_end_event_initialize(&event, 1));
    emit(event, yaml_stream_end_event_initialize(&event));
    if (out_.ends_with("\n...\n")) out_.resize(out_.size() - 4);
    return std::move(out_);
  }

 private:
  static int append(void* out, unsigned char* bytes, std::size_t size) {
    static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), size);
    return 1;
  }
  static void require(int ok) {
    if (ok == 0) std::abort();
  }
  void emit(yaml_event_t& event, int made) {
    require(made);
    require(yaml_emitter_emit(&emitter_, &event));
  }

  static yaml_scalar_style_t style_of(const YamlNode& node) {
    switch (node.style) {
      case YamlStyle::single_quoted: return YAML_SINGLE_QUOTED_SCALAR_STYLE;
      case YamlStyle::double_quoted: return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
      case YamlStyle::literal: return YAML_LITERAL_SCALAR_STYLE;
      case YamlStyle::folded: return YAML_FOLDED_SCALAR_STYLE;
      default: break;
    }
    if (node.value.find('\n') != node.value.npos) return YAML_LITERAL_SCALAR_STYLE;
    const bool would_change = node.tag == YamlTag::string && yaml_tag_of(node.value) != YamlTag::string;
    return would_change ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
  }

  void node(const YamlNode& node) {
    yaml_event_t event;
    const bool flow = node.style == YamlStyle::flow || node.content.empty();
    if (node.is_sequence()) {
      emit(event, yaml_sequence_start_event_initialize(&event, nullptr, nullptr, 1, flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
      for (const YamlNode* item : node.content) this->node(*item);
      emit(event, yaml_sequence_end_event_initialize(&event));
    } else if (node.is_mapping()) {
      emit(event, yaml_mapping_start_event_initialize(&event, nullptr, nullptr, 1, flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE));
      for (const YamlNode* item : node.content) this->node(*item);
      emit(event, yaml_mapping_end_event_initialize(&event));
    } else {
      const auto* bytes = reinterpret_cast<const yaml_char_t*>(node.value.c_str());
      emit(event, yaml_scalar_event_initialize(&event, nullptr, nullptr, bytes, static_cast<int>(node.value.size()), 1, 1, style_of(node)));
    }
  }

  yaml_emitter_t emitter_;
  std::string out_;
};

}  // namespace

std::string to_yaml_text(const YamlNode& node) { return NodeWriter().write(node); }

}  // namespace slipway::text
