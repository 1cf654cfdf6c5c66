// SPDX-License-Identifier: Apache-2.0
// Runs a template. Missing map keys are nil, and nil is written as nothing (Helm's missingkey=zero and its clean-up).
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/template/parse.h"

namespace slipway::text::gotmpl {

struct ExecuteLimits {
  std::size_t depth = 1000;                     // B3: templates that call each other
  std::size_t output = 64 * 1024 * 1024;        // B2
  std::size_t steps = 50'000'000;               // B5
};

class Executor final {
 public:
  // `set` and `host` outlive the executor. The host is what functions of the embedding program work with.
  Executor(const TemplateSet& set, const void* host = nullptr, ExecuteLimits limits = {}) : set_(&set), host_(host), limits_(limits) {}
  Result<std::string> run(std::string_view name, const Value& data);
  const void* host() const { return host_; }
  const TemplateSet& set() const { return *set_; }
  // Runs a template of another set (Helm's tpl) under the same limits.
  Result<std::string> run_in(const TemplateSet& set, std::string_view name, const Value& data);

 private:
  enum class Flow { next, broke, continued };
  struct Variable { std::string_view name; Value value; };
  const TemplateSet* set_;
  const void* host_;
  ExecuteLimits limits_;
  std::size_t depth_ = 0, steps_ = 0;
  std::string_view file_;
  std::vector<Variable> variables_;
  std::string* out_ = nullptr;

  std::unexpected<Error> wrong(const Node& node, std::string_view what) const;
  Result<Flow> statements(const std::vector<Node*>& nodes, const Value& dot);
  Result<Flow> statement(const Node& node, const Value& dot);
  Result<Flow> range(const Node& node, const Value& dot);
  Result<> call_template(const Node& node, const Value& dot);
  Result<Value> pipeline(const Node& node, const Value& dot);
  Result<Value> command(const Node& node, const Value& dot, const Value* last);
  Result<Value> operand(const Node& node, const Value& dot);
  Result<Value> function(const Node& command, const Value& dot, const Value* last);
  Result<Value> fields(const Node& node, Value from, std::span<const Value> arguments);
  Result<Value> arguments_then_fields(const Node& command, const Value& dot, const Value* last);
};

// What a function gets.
class Call {
 public:
  Executor& executor;
  std::string_view name;
  std::span<const Value> arguments;
  std::size_t size() const { return arguments.size(); }
  const Value& operator[](std::size_t index) const { return arguments[index]; }
  std::unexpected<Error> wrong(std::string_view what) const;
  Result<> want(std::size_t least, std::size_t most = 1000) const;
};

Functions builtin_functions();             // and, or, not, len, index, printf, …
void add_text_functions(Functions& functions);   // Sprig's strings, regular expressions, encodings
void add_data_functions(Functions& functions);   // Sprig's numbers, lists, dicts, kinds, defaults
}  // namespace slipway::text::gotmpl
