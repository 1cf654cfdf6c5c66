// SPDX-License-Identifier: Apache-2.0
// The syntax tree of Go's text/template, and its parser. Pure; the tree points into nothing outside of itself.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/template/value.h"

namespace slipway::text::gotmpl {

class Call;
using Function = Result<Value> (*)(Call&);
using Functions = std::map<std::string, Function, std::less<>>;

enum class NodeKind : std::uint8_t {
  text, action, if_block, range_block, with_block, call_template, break_loop, continue_loop,  // statements
  pipeline, command, dot, nil, constant, variable, field, function, chain                      // expressions
};

struct Node {
  NodeKind kind = NodeKind::text;
  std::uint32_t line = 1;
  std::string text;                  // literal text; a variable's, a function's or a template's name
  std::vector<std::string> fields;   // .a.b behind a variable, the dot or a parenthesis
  std::vector<Node*> children;       // statements of a block, commands of a pipeline, words of a command
  std::vector<Node*> otherwise;      // of else
  Node* pipe = nullptr;
  std::vector<std::string> declares; // variables before := or =
  bool assigns = false;              // =
  Value value;                       // a constant
  Function call = nullptr;
};

struct Definition {
  std::string file;
  std::vector<Node*> body;
};

struct ParseLimits {
  std::size_t depth = 200;          // B3: blocks and parentheses in each other
  std::size_t nodes = 2'000'000;    // B2
};

// Templates that know each other by name.
class TemplateSet final {
 public:
  explicit TemplateSet(const Functions& functions, ParseLimits limits = {}) : functions_(functions), limits_(limits) {}
  // The file's own body goes under `name`; a body of white space alone replaces no earlier one.
  Result<> parse(std::string_view name, std::string_view source);
  const Definition* find(std::string_view name) const;

 private:
  friend class Parser;
  const Functions& functions_;
  ParseLimits limits_;
  std::deque<Node> nodes_;
  std::map<std::string, Definition, std::less<>> definitions_;
};

}  // namespace slipway::text::gotmpl
