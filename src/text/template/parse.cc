// SPDX-License-Identifier: Apache-2.0
#include "text/template/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/template/lex.h"

namespace slipway::text::gotmpl {

class Parser {
 public:
  Parser(TemplateSet& set, std::string_view name, std::vector<Token> tokens) : set_(set), name_(name), tokens_(std::move(tokens)) {}

  Result<> run() {
    variables_ = {"$"};
    std::vector<Node*> body;
    std::string stop = TRY(statements(body, true));
    if (!stop.empty()) return wrong("unexpected {{" + stop + "}}");
    define(std::string(name_), std::move(body));
    return {};
  }

 private:
  TemplateSet& set_;
  std::string_view name_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0, depth_ = 0, loops_ = 0;
  std::vector<std::string> variables_;

  std::unexpected<Error> wrong(std::string_view what) {
    return fail(ErrorCode::invalid, fmt::format("template: {}:{}: {}", name_, tokens_[std::min(at_, tokens_.size() - 1)].line, what));
  }
  const Token& peek() const { return tokens_[at_]; }
  void spaces() { while (peek().word == Word::space) ++at_; }
  bool take(Word word) { return peek().word == word ? (++at_, true) : false; }
  Result<Node*> make(NodeKind kind) {
    if (set_.nodes_.size() >= set_.limits_.nodes) return fail(ErrorCode::too_large, fmt::format("template: {}: more than {} nodes", name_, set_.limits_.nodes));
    Node& node = set_.nodes_.emplace_back();
    node.kind = kind;
    node.line = peek().line;
    return &node;
  }
  void define(std::string name, std::vector<Node*> body) {
    bool blank = std::all_of(body.begin(), body.end(), [](Node* node) {
      return node->kind == NodeKind::text && node->text.find_first_not_of(" \t\r\n") == std::string::npos;
    });
    auto found = set_.definitions_.find(name);
    if (found != set_.definitions_.end() && blank) return;
    set_.definitions_[std::move(name)] = Definition{std::string(name_), std::move(body)};
  }

  // Reads up to an `end` or `else`, whose keyword it returns; empty at the end of the file.
  Result<std::string> statements(std::vector<Node*>& out, bool top) {
    if (++depth_ > set_.limits_.depth) return wrong("blocks are nested too deep");
    for (;;) {
      if (peek().word == Word::text) {
        Node* node = TRY(make(NodeKind::text));
        node->text = peek().text;
        ++at_;
        out.push_back(node);
        continue;
      }
      if (peek().word == Word::end) {
        --depth_;
        return top ? Result<std::string>("") : wrong("unexpected EOF");
      }
      ++at_;  // open
      spaces();
      std::string_view key = peek().word == Word::identifier ? peek().text : std::string_view();
      if (key == "end" || key == "else") {
        ++at_;
        --depth_;
        return std::string(key);
      }
      Node* node = TRY(statement(key));
      if (node) out.push_back(node);
    }
  }

  Result<> close() {
    spaces();
    return take(Word::close) ? Result<>{} : wrong(fmt::format("unexpected {:?} in command", peek().text));
  }

  Result<Node*> statement(std::string_view key) {
    if (key == "if") return block(NodeKind::if_block);
    if (key == "range") return block(NodeKind::range_block);
    if (key == "with") return block(NodeKind::with_block);
    if (key == "define" || key == "block") return definition(key == "block");
    if (key == "template") {
      Node* node = TRY(make(NodeKind::call_template));
      ++at_;
      spaces();
      if (peek().word != Word::string) return wrong("unexpected token in template clause");
      node->text = TRY(unquote(peek().text));
      ++at_;
      spaces();
      if (peek().word != Word::close) node->pipe = TRY(pipeline(false));
      TRY(close());
      return node;
    }
    if (key == "break" || key == "continue") {
      if (loops_ == 0) return wrong(fmt::format("{{{{{}}}}} outside {{{{range}}}}", key));
      Node* node = TRY(make(key == "break" ? NodeKind::break_loop : NodeKind::continue_loop));
      ++at_;
      TRY(close());
      return node;
    }
    Node* node = TRY(make(NodeKind::action));
    node->pipe = TRY(pipeline(false));
    TRY(close());
    return node;
  }

  Result<Node*> block(NodeKind kind) {
    Node* node = TRY(make(kind));
    ++at_;
    std::size_t known = variables_.size();
    node->pipe = TRY(pipeline(kind == NodeKind::range_block));
    TRY(close());
    loops_ += kind == NodeKind::range_block;
    std::string stop = TRY(statements(node->children, false));
    loops_ -= kind == NodeKind::range_block;
    if (stop == "else") {
      spaces();
      std::string_view key = peek().word == Word::identifier ? peek().text : std::string_view();
      if ((key == "if" && kind != NodeKind::range_block) || (key == "with" && kind == NodeKind::with_block)) {
        if (++depth_ > set_.limits_.depth * 4) return wrong("too many else branches");
        node->otherwise.push_back(TRY(block(key == "if" ? NodeKind::if_block : NodeKind::with_block)));
        --depth_;
        variables_.resize(known);
        return node;  // the inner block took the one end
      }
      TRY(close());
      stop = TRY(statements(node->otherwise, false));
    }
    if (stop != "end") return wrong("expected end; found {{else}}");
    TRY(close());
    variables_.resize(known);
    return node;
  }

  Result<Node*> definition(bool is_block) {
    ++at_;
    spaces();
    if (peek().word != Word::string) return wrong("unexpected token in define clause");
    std::string name = TRY(unquote(peek().text));
    ++at_;
    Node* node = nullptr;
    if (is_block) {
      node = TRY(make(NodeKind::call_template));
      node->text = name;
      node->pipe = TRY(pipeline(false));
    }
    TRY(close());
    std::vector<std::string> outer = std::exchange(variables_, {"$"});
    std::vector<Node*> body;
    std::string stop = TRY(statements(body, false));
    if (stop != "end") return wrong("unexpected {{else}} in define clause");
    TRY(close());
    variables_ = std::move(outer);
    define(std::move(name), std::move(body));
    return node;
  }

  Result<Node*> pipeline(bool range) {
    if (++depth_ > set_.limits_.depth) return wrong("parentheses are nested too deep");
    Node* pipe = TRY(make(NodeKind::pipeline));
    spaces();
    std::size_t start = at_;
    if (peek().word == Word::variable) {
      std::vector<std::string> names{std::string(peek().text)};
      ++at_;
      spaces();
      if (range && take(Word::comma)) {
        spaces();
        if (peek().word != Word::variable) return wrong("range can only initialize variables");
        names.emplace_back(peek().text);
        ++at_;
        spaces();
      }
      if (peek().word == Word::declare || peek().word == Word::assign) {
        pipe->assigns = peek().word == Word::assign;
        ++at_;
        pipe->declares = names;
      } else {
        at_ = start;
      }
    }
    for (;;) {
      pipe->children.push_back(TRY(command()));
      spaces();
      if (!take(Word::pipe)) break;
    }
    if (!pipe->assigns)
      for (const std::string& name : pipe->declares) variables_.push_back(name);
    --depth_;
    return pipe;
  }

  Result<Node*> command() {
    Node* node = TRY(make(NodeKind::command));
    for (;;) {
      spaces();
      Word word = peek().word;
      if (word == Word::pipe || word == Word::close || word == Word::right) break;
      node->children.push_back(TRY(operand()));
      word = peek().word;
      if (word != Word::space && word != Word::pipe && word != Word::close && word != Word::right)
        return wrong(fmt::format("unexpected {:?} in operand", peek().text));
    }
    if (node->children.empty()) return wrong("missing value for command");
    return node;
  }

  Result<Node*> operand() {
    Node* node = TRY(term());
    bool chains = peek().word == Word::field && (node->kind == NodeKind::pipeline || node->kind == NodeKind::variable || node->kind == NodeKind::field);
    if (!chains) return node;
    if (node->kind == NodeKind::pipeline) {
      Node* chain = TRY(make(NodeKind::chain));
      chain->pipe = node;
      node = chain;
    }
    while (peek().word == Word::field) node->fields.emplace_back(tokens_[at_++].text.substr(1));
    return node;
  }

  Result<Node*> term() {
    Token token = peek();
    Node* node = TRY(make(NodeKind::constant));
    ++at_;
    switch (token.word) {
      case Word::dot: node->kind = NodeKind::dot; return node;
      case Word::field:
        node->kind = NodeKind::field;
        node->fields.emplace_back(token.text.substr(1));
        return node;
      case Word::variable:
        node->kind = NodeKind::variable;
        node->text = token.text;
        if (std::find(variables_.begin(), variables_.end(), node->text) == variables_.end()) return wrong(fmt::format("undefined variable {:?}", node->text));
        return node;
      case Word::string: node->value = TRY(unquote(token.text)); return node;
      case Word::character: return node->value = std::int64_t{static_cast<unsigned char>(TRY(unquote(token.text))[0])}, node;
      case Word::number: return number(token.text, node);
      case Word::left: {
        Node* pipe = TRY(pipeline(false));
        if (!take(Word::right)) return wrong("unclosed left paren");
        return pipe;
      }
      case Word::identifier: {
        node->text = token.text;
        if (token.text == "true" || token.text == "false") return node->value = token.text == "true", node;
        if (token.text == "nil") return node->kind = NodeKind::nil, node;
        auto found = set_.functions_.find(token.text);
        if (found == set_.functions_.end()) return wrong(fmt::format("function {:?} not defined", token.text));
        node->kind = NodeKind::function;
        node->call = found->second;
        return node;
      }
      default: return wrong(fmt::format("unexpected {:?} in operand", token.text));
    }
  }

  Result<Node*> number(std::string_view text, Node* node) {
    std::string digits;
    for (char c : text) if (c != '_') digits += c;
    std::string_view rest = digits;
    bool negative = rest.starts_with('-');
    if (negative || rest.starts_with('+')) rest.remove_prefix(1);
    int base = 10;
    if (rest.size() > 1 && rest[0] == '0') {
      char mark = static_cast<char>(rest[1] | 0x20);
      base = mark == 'x' ? 16 : mark == 'b' ? 2 : mark == 'o' || (rest[1] >= '0' && rest[1] <= '9') ? 8 : 10;
      if (base != 10) rest.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
    }
    std::int64_t integer = 0;
    auto end = std::from_chars(rest.data(), rest.data() + rest.size(), integer, base);
    if (end.ec == std::errc() && end.ptr == rest.data() + rest.size()) return node->value = negative ? -integer : integer, node;
    double floating = 0;
    auto stop = std::from_chars(rest.data(), rest.data() + rest.size(), floating);
    if (stop.ec != std::errc() || stop.ptr != rest.data() + rest.size()) return wrong(fmt::format("bad number syntax: {:?}", text));
    return node->value = negative ? -floating : floating, node;
  }
};

Result<> TemplateSet::parse(std::string_view name, std::string_view source) {
  auto tokens = TRY(lex(name, source));
  return Parser(*this, name, std::move(tokens)).run();
}

const Definition* TemplateSet::find(std::string_view name) const {
  auto found = definitions_.find(name);
  return found == definitions_.end() ? nullptr : &found->second;
}

}  // namespace slipway::text::gotmpl
