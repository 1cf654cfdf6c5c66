// SPDX-License-Identifier: Apache-2.0
#include "text/yaml.h"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "text/json_builder.h"
#include "text/utf8.h"
#include "text/yaml_resolve.h"

namespace slipway::text {
namespace {

// go-yaml's bound: of the first 400,000 values 99 % may come from aliases, of 4,000,000 only 10 %.
double allowed_alias_ratio(double decoded) {
  constexpr double low = 400'000, high = 4'000'000;
  if (decoded <= low) return 0.99;
  if (decoded >= high) return 0.10;
  return 0.99 - 0.89 * (decoded - low) / (high - low);
}

struct Event : yaml_event_t {
  Event() { std::memset(static_cast<yaml_event_t*>(this), 0, sizeof(yaml_event_t)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(this); }
};

std::string_view text_of(const yaml_char_t* text) { return text == nullptr ? "" : reinterpret_cast<const char*>(text); }

std::string_view scalar_text(const Event& event) {
  return {reinterpret_cast<const char*>(event.data.scalar.value), event.data.scalar.length};
}

std::string decode_base64(std::string_view text, bool& valid) {
  std::string out;
  unsigned bits = 0;
  int count = 0;
  std::size_t padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto digit = alphabet.find(c);
    if (c == '=') ++padding;
    else if (digit == std::string_view::npos || padding > 0) return valid = false, out;
    bits = bits << 6 | static_cast<unsigned>(c == '=' ? 0 : digit);
    if (++count % 4 != 0) continue;
    for (const int shift : {16, 8, 0}) out += static_cast<char>(bits >> shift & 255);
  }
  valid = count % 4 == 0 && padding <= 2;
  if (valid) out.resize(out.size() - padding);
  return out;
}

std::string with_valid_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const auto length = utf8_sequence(bytes);
    if (length == 0) append_utf8(0xFFFD, out);
    else out += bytes.substr(0, length);
    bytes.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

// Builds the documents of one stream from libyaml's events.
class YamlReader {
 public:
  YamlReader(std::string_view text, std::string_view name, const YamlLimits& limits)
      : text_(text), name_(name), limits_(limits) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~YamlReader() {
    if (ready_) yaml_parser_delete(&parser_);
  }
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;

  Result<std::vector<YamlDocument>> read() {
    if (!ready_) return fail(ErrorCode::internal, "no memory for the YAML parser");
    std::vector<YamlDocument> documents;
    for (;;) {
      Event event;
      TRY(next(event));
      if (event.type == YAML_STREAM_END_EVENT) return documents;
      if (event.type != YAML_DOCUMENT_START_EVENT) continue;
      YamlDocument document;
      if (TRY(read_document(document))) documents.push_back(std::move(document));
    }
  }

 private:
  // A value and what it took: the counts of an anchor are added anew wherever an alias stands for it.
  struct Node {
    Json value;
    std::size_t nodes = 1;
    std::size_t height = 0;
  };
  struct Anchor {
    bool complete = false;
    Node node;
  };
  using Place = YamlDocument::Place;

  std::unexpected<Error> error(yaml_mark_t mark, std::string_view what, ErrorCode code = ErrorCode::invalid) const {
    return fail(code, fmt::format("{}:{}:{}: {}", name_, mark.line + 1, mark.column + 1, what));
  }

  Result<> next(Event& event) {
    if (yaml_parser_parse(&parser_, &event) != 0) return {};
    const std::string_view problem = parser_.problem == nullptr ? "not YAML" : parser_.problem;
    if (parser_.error == YAML_MEMORY_ERROR) return fail(ErrorCode::internal, "no memory for the YAML parser");
    if (parser_.error == YAML_READER_ERROR) return reader_error(problem);
    if (parser_.context == nullptr) return error(parser_.problem_mark, problem);
    return error(parser_.problem_mark, fmt::format("{}: {}", parser_.context, problem));
  }

  std::unexpected<Error> reader_error(std::string_view problem) const {
    const auto before = text_.substr(0, parser_.problem_offset);
    const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    yaml_mark_t mark{};
    mark.line = static_cast<std::size_t>(std::ranges::count(before, '\n'));
    mark.column = before.size() - line_start;
    return error(mark, problem);
  }

  // Whether the document has content.
  Result<bool> read_document(YamlDocument& document) {
    places_.clear();
    anchors_.clear();
    decoded_ = aliased_ = 0;
    Event event;
    TRY(next(event));
    const bool empty = event.type == YAML_SCALAR_EVENT && event.data.scalar.length == 0 &&
                       event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && event.data.scalar.tag == nullptr;
    document.line = event.start_mark.line + 1;
    document.value = TRY(read_node(event, 0)).value;
    document.places_ = std::move(places_);
    places_ = {};
    Event end;
    TRY(next(end));
    return !empty;
  }

  Result<Node> read_node(const Event& event, std::size_t depth) {
    const auto place = places_.size();
    places_.push_back({{static_cast<std::uint32_t>(event.start_mark.line + 1),
                        static_cast<std::uint32_t>(event.start_mark.column + 1)},
                       1});
    if (depth > limits_.depth) return error(event.start_mark, too_deep(), ErrorCode::too_large);
    TRY(count(event, 1, 0));
    Node node;
    switch (event.type) {
      case YAML_ALIAS_EVENT: return read_alias(event, depth);
      case YAML_SCALAR_EVENT: node = TRY(read_scalar(event)); break;
      case YAML_SEQUENCE_START_EVENT: node = TRY(read_sequence(event, depth)); break;
      default: node = TRY(read_mapping(event, depth));
    }
    places_[place].extent = static_cast<std::uint32_t>(places_.size() - place);
    return node;
  }

  std::string too_deep() const { return fmt::format("nested deeper than {}", limits_.depth); }

  Result<> count(const Event& event, std::size_t nodes, std::size_t by_alias) {
    decoded_ += nodes;
    aliased_ += by_alias;
    total_ += nodes;
    const auto decoded = static_cast<double>(decoded_);
    if (aliased_ > 100 && decoded_ > 1000 && static_cast<double>(aliased_) / decoded > allowed_alias_ratio(decoded))
      return error(event.start_mark, "document contains excessive aliasing", ErrorCode::too_large);
    if (total_ > limits_.nodes)
      return error(event.start_mark, fmt::format("more than {} values", limits_.nodes), ErrorCode::too_large);
    return {};
  }

  Result<Node> read_alias(const Event& event, std::size_t depth) {
    const std::string anchor(text_of(event.data.alias.anchor));
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return error(event.start_mark, fmt::format("unknown anchor '{}' referenced", anchor));
    if (!found->second.complete) return error(event.start_mark, fmt::format("anchor '{}' value contains itself", anchor));
    const Node& node = found->second.node;
    if (depth + node.height > limits_.depth) return error(event.start_mark, too_deep(), ErrorCode::too_large);
    TRY(count(event, node.nodes, node.nodes));
    return Node{node.value, node.nodes + 1, node.height};
  }

  void open_anchor(const yaml_char_t* anchor) {
    if (anchor != nullptr) anchors_[std::string(text_of(anchor))] = {};
  }
  void close_anchor(const yaml_char_t* anchor, const Node& node) {
    if (anchor != nullptr) anchors_[std::string(text_of(anchor))] = {true, node};
  }

  Result<Node> read_scalar(const Event& event) {
    Node node{TRY(scalar_value(event))};
    if (node.value.kind() == Json::Kind::floating) {
      if (!std::isfinite(node.value.as_double()))
        return error(event.start_mark, fmt::format("JSON has no value for {}", scalar_text(event)));
      // Kubernetes reads YAML by way of JSON: what is written there without a fraction comes back an integer.
      node.value = TRY(parse_json(to_json(node.value)));
    }
    close_anchor(event.data.scalar.anchor, node);
    return node;
  }

  Result<Json> scalar_value(const Event& event) const {
    const auto text = scalar_text(event);
    std::string_view tag = text_of(event.data.scalar.tag);
    if (tag.empty() || tag == "!")
      return event.data.scalar.plain_implicit && tag.empty() ? resolve_yaml_scalar(text) : Json(text);
    constexpr std::string_view standard = "tag:yaml.org,2002:";
    if (!tag.starts_with(standard)) return Json(text);
    tag.remove_prefix(standard.size());
    if (tag == "binary") return binary_value(event);
    const Json value = resolve_yaml_scalar(text);
    const bool known = tag == "int" || tag == "float" || tag == "bool" || tag == "null";
    if (!known) return Json(text);
    const bool fits = tag == "int"     ? value.is_int()
                      : tag == "float" ? value.is_number()
                      : tag == "bool"  ? value.is_bool()
                                       : value.is_null();
    if (!fits) return error(event.start_mark, fmt::format("cannot decode `{}` as a !!{}", text, tag));
    return value;
  }

  Result<Json> binary_value(const Event& event) const {
    bool valid = true;
    const auto bytes = decode_base64(scalar_text(event), valid);
    if (!valid) return error(event.start_mark, "!!binary value contains invalid base64 data");
    return Json(with_valid_utf8(bytes));
  }

  Result<Node> read_sequence(const Event& start, std::size_t depth) {
    open_anchor(start.data.sequence_start.anchor);
    Node node;
    std::vector<Json> items;
    for (;;) {
      Event event;
      TRY(next(event));
      if (event.type == YAML_SEQUENCE_END_EVENT) break;
      auto item = TRY(read_node(event, depth + 1));
      add(node, item);
      items.push_back(std::move(item.value));
    }
    node.value = JsonBuilder::array(items);
    close_anchor(start.data.sequence_start.anchor, node);
    return node;
  }

  static void add(Node& parent, const Node& child) {
    parent.nodes += child.nodes;
    parent.height = std::max(parent.height, child.height + 1);
  }

  Result<Node> read_mapping(const Event& start, std::size_t depth) {
    open_anchor(start.data.mapping_start.anchor);
    Node node;
    std::vector<JsonMember> members;
    std::vector<yaml_mark_t> key_marks;
    std::vector<std::pair<Json, YamlMark>> merges;
    for (;;) {
      Event key;
      TRY(next(key));
      if (key.type == YAML_MAPPING_END_EVENT) break;
      if (is_merge(key)) {
        TRY(read_merge(node, merges, depth));
        continue;
      }
      members.emplace_back(TRY(key_text(key, depth)), Json());
      key_marks.push_back(key.start_mark);
      Event event;
      TRY(next(event));
      auto value = TRY(read_node(event, depth + 1));
      add(node, value);
      members.back().value = std::move(value.value);
    }
    if (limits_.refuse_duplicate_keys) TRY(refuse_duplicates(members, key_marks));
    merge(members, merges);
    node.value = JsonBuilder::object(members);
    close_anchor(start.data.mapping_start.anchor, node);
    return node;
  }

  static bool is_merge(const Event& key) {
    if (key.type != YAML_SCALAR_EVENT || scalar_text(key) != "<<") return false;
    return text_of(key.data.scalar.tag) == "tag:yaml.org,2002:merge" ||
           (key.data.scalar.plain_implicit != 0 && key.data.scalar.tag == nullptr);
  }

  // A mapping, or a sequence of mappings of which the first has the say.
  Result<> read_merge(Node& parent, std::vector<std::pair<Json, YamlMark>>& merges, std::size_t depth) {
    Event event;
    TRY(next(event));
    const auto before = places_.size();
    const auto node = TRY(read_node(event, depth + 1));
    const auto mark = places_[before].mark;
    places_.resize(before);
    parent.nodes += node.nodes;
    parent.height = std::max(parent.height, node.height);
    const auto refuse = [&] { return error(event.start_mark, "map merge requires map or sequence of maps as the value"); };
    if (node.value.is_object()) return merges.emplace_back(node.value, mark), Result<>{};
    if (!node.value.is_array()) return refuse();
    for (const auto& item : node.value.items()) {
      if (!item.is_object()) return refuse();
      merges.emplace_back(item, mark);
    }
    return {};
  }

  // The mapping's own keys win over merged ones, wherever the merge stands.
  void merge(std::vector<JsonMember>& members, const std::vector<std::pair<Json, YamlMark>>& merges) {
    if (merges.empty()) return;
    Json own = Json::object(members);
    for (const auto& [source, mark] : merges) {
      std::vector<JsonMember> added;
      for (const auto& member : source.members()) {
        if (own.contains(member.key())) continue;
        added.push_back(member);
        places_.push_back({mark, 1});
      }
      members.insert(members.end(), added.begin(), added.end());
      own = Json::object(members);
    }
  }

  // Keys are strings in the end; a number or a boolean becomes the text that Kubernetes' tools make of it.
  Result<std::string> key_text(const Event& key, std::size_t depth) {
    Json value;
    if (key.type == YAML_SCALAR_EVENT) {
      value = TRY(scalar_value(key));
      TRY(count(key, 1, 0));
      close_anchor(key.data.scalar.anchor, Node{value});
    } else if (key.type == YAML_ALIAS_EVENT) {
      value = TRY(read_alias(key, depth)).value;
    } else {
      return error(key.start_mark, "a map or a sequence cannot be a key");
    }
    switch (value.kind()) {
      case Json::Kind::string: return value.str();
      case Json::Kind::boolean: return value.as_bool() ? "true" : "false";
      case Json::Kind::integer: return to_json(value);
      case Json::Kind::floating: return float_key(value.as_double());
      default: return error(key.start_mark, "unsupported map key: null, a map or a sequence");
    }
  }

  static std::string float_key(double value) {
    if (std::isnan(value)) return ".nan";
    if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
    char digits[48];
    const auto narrow = static_cast<float>(value);
    const float size = std::fabs(narrow);
    const bool exponent = size != 0 && (size < 1e-4F || size >= 1e21F);
    const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
    return {digits, std::to_chars(digits, digits + sizeof digits, narrow, format).ptr};
  }

  Result<> refuse_duplicates(const std::vector<JsonMember>& members, const std::vector<yaml_mark_t>& marks) const {
    std::vector<std::size_t> order(members.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](std::size_t at) { return members[at].key(); });
    std::optional<std::size_t> first;
    for (std::size_t i = 1; i < order.size(); ++i)
      if (members[order[i]].key() == members[order[i - 1]].key()) first = std::min(first.value_or(order[i]), order[i]);
    if (!first) return {};
    return error(marks[*first], fmt::format("key \"{}\" already set in map", members[*first].key()));
  }

  std::string_view text_;
  std::string_view name_;
  const YamlLimits& limits_;
  yaml_parser_t parser_;
  bool ready_ = false;
  std::map<std::string, Anchor> anchors_;
  std::vector<Place> places_;
  std::size_t decoded_ = 0;  // of this document, as go-yaml counts
  std::size_t aliased_ = 0;
  std::size_t total_ = 0;
};

namespace {

// The child that the path names next, and what is left of the path behind it. Keys may hold dots, so the longest wins.
std::optional<std::size_t> child_index(const Json& value, std::string_view& path) {
  const bool bracket = path.starts_with('[');
  if (bracket || path.starts_with('.')) path.remove_prefix(1);
  if (value.is_array()) {
    std::size_t index = 0;
    const auto read = std::from_chars(path.data(), path.data() + path.size(), index);
    if (read.ec != std::errc() || index >= value.size()) return std::nullopt;
    path.remove_prefix(static_cast<std::size_t>(read.ptr - path.data()));
    if (path.starts_with(']')) path.remove_prefix(1);
    return index;
  }
  std::optional<std::size_t> best;
  std::size_t best_length = 0;
  const auto members = value.members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto key = members[i].key();
    if (!path.starts_with(key) || (best && key.size() < best_length)) continue;
    const auto rest = path.substr(key.size());
    if (!rest.empty() && rest[0] != '.' && rest[0] != '[' && rest[0] != ']') continue;
    best = i;
    best_length = key.size();
  }
  if (best) path.remove_prefix(best_length);
  if (bracket && path.starts_with(']')) path.remove_prefix(1);
  return best;
}

}  // namespace

YamlMark YamlDocument::position(std::string_view path) const {
  const Json* at = &value;
  std::size_t place = 0;
  if (places_.empty()) return {static_cast<std::uint32_t>(line), 1};
  while (!path.empty()) {
    const auto index = child_index(*at, path);
    if (!index || places_[place].extent == 1) break;  // an alias has one place for all that it stands for
    at = at->is_array() ? &(*at)[*index] : &at->members()[*index].value;
    ++place;
    for (std::size_t i = 0; i < *index; ++i) place += places_[place].extent;
  }
  return places_[place].mark;
}

Result<std::vector<YamlDocument>> parse_yaml_documents(std::string_view text, std::string_view name,
                                                       const YamlLimits& limits) {
  return YamlReader(text, name, limits).read();
}

Result<Json> parse_yaml(std::string_view text, std::string_view name, const YamlLimits& limits) {
  const auto documents = TRY(parse_yaml_documents(text, name, limits));
  if (documents.size() > 1)
    return fail(ErrorCode::invalid, fmt::format("{}:{}:1: expected one document", name, documents[1].line));
  return documents.empty() ? Json() : documents[0].value;
}

}  // namespace slipway::text
