// SPDX-License-Identifier: Apache-2.0
#include "text/template/execute.h"

#include <fmt/format.h>

namespace slipway::text::gotmpl {

std::unexpected<Error> Call::wrong(std::string_view what) const {
  return fail(ErrorCode::invalid, fmt::format("error calling {}: {}", name, what));
}

Result<> Call::want(std::size_t least, std::size_t most) const {
  if (size() >= least && size() <= most) return {};
  return fail(ErrorCode::invalid, fmt::format("wrong number of args for {}: want {}{} got {}", name, most > 100 ? "at least " : "", least, size()));
}

std::unexpected<Error> Executor::wrong(const Node& node, std::string_view what) const {
  return fail(ErrorCode::invalid, fmt::format("template: {}:{}: {}", file_, node.line, what));
}

Result<std::string> Executor::run(std::string_view name, const Value& data) {
  const Definition* definition = set_->find(name);
  if (!definition) return fail(ErrorCode::not_found, fmt::format("template: no template {:?} associated with template \"gotpl\"", name));
  if (++depth_ > limits_.depth) return fail(ErrorCode::too_large, fmt::format("rendering template has a nested reference name: {}: unable to execute template", name));
  std::string text;
  std::string* outer_out = std::exchange(out_, &text);
  std::string_view outer_file = std::exchange(file_, definition->file);
  std::vector<Variable> outer_variables = std::exchange(variables_, {});
  variables_.push_back({"$", data});
  Result<Flow> flow = statements(definition->body, data);
  variables_ = std::move(outer_variables);
  file_ = outer_file;
  out_ = outer_out;
  --depth_;
  if (!flow) return std::unexpected(std::move(flow).error());
  return text;
}

Result<std::string> Executor::run_in(const TemplateSet& set, std::string_view name, const Value& data) {
  const TemplateSet* outer = std::exchange(set_, &set);
  Result<std::string> text = run(name, data);
  set_ = outer;
  return text;
}

Result<Executor::Flow> Executor::statements(const std::vector<Node*>& nodes, const Value& dot) {
  for (const Node* node : nodes) {
    Flow flow = TRY(statement(*node, dot));
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Result<Executor::Flow> Executor::statement(const Node& node, const Value& dot) {
  if (++steps_ > limits_.steps) return fail(ErrorCode::timeout, fmt::format("template: {}:{}: more than {} steps", file_, node.line, limits_.steps));
  if (out_->size() > limits_.output) return fail(ErrorCode::too_large, fmt::format("template: {}:{}: more than {} bytes of output", file_, node.line, limits_.output));
  std::size_t known = variables_.size();
  switch (node.kind) {
    case NodeKind::text: out_->append(node.text); return Flow::next;
    case NodeKind::action: {
      Value value = TRY(pipeline(*node.pipe, dot));
      if (!node.pipe->declares.empty()) return Flow::next;
      if (auto* string = value.string()) out_->append(*string);
      else if (!value.is_nil()) out_->append(print(value));
      return Flow::next;
    }
    case NodeKind::if_block:
    case NodeKind::with_block: {
      Value value = TRY(pipeline(*node.pipe, dot));
      const std::vector<Node*>& chosen = truth(value) ? node.children : node.otherwise;
      const Value& inner = truth(value) && node.kind == NodeKind::with_block ? value : dot;
      Flow flow = TRY(statements(chosen, inner));
      variables_.resize(known);
      return flow;
    }
    case NodeKind::range_block: {
      Result<Flow> flow = range(node, dot);
      if (flow) variables_.resize(known);
      return flow;
    }
    case NodeKind::call_template: TRY(call_template(node, dot)); return Flow::next;
    case NodeKind::break_loop: return Flow::broke;
    case NodeKind::continue_loop: return Flow::continued;
    default: return wrong(node, "unknown node");
  }
}

Result<Executor::Flow> Executor::range(const Node& node, const Value& dot) {
  // The variables belong to each round, so the pipeline is evaluated without declaring them.
  std::size_t known = variables_.size();
  Value over = TRY(pipeline(*node.pipe, dot));
  if (!node.pipe->assigns) variables_.resize(known);
  if (over.object()) over = over.object()->plain();
  const std::vector<std::string>& names = node.pipe->declares;
  std::size_t rounds = 0;
  auto round = [&](const Value& key, const Value& item) -> Result<bool> {
    ++rounds;
    if (++steps_ > limits_.steps) return fail(ErrorCode::timeout, fmt::format("template: {}:{}: more than {} steps", file_, node.line, limits_.steps));
    if (node.pipe->assigns) {
      for (std::size_t i = 0; i < names.size(); ++i)
        for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable)
          if (variable->name == names[i]) {
            variable->value = names.size() == 2 && i == 0 ? key : item;
            break;
          }
    } else {
      if (names.size() == 2) variables_.push_back({names[0], key});
      if (!names.empty()) variables_.push_back({names.back(), item});
    }
    Flow flow = TRY(statements(node.children, item));
    variables_.resize(known);
    return flow != Flow::broke;
  };
  if (auto* list = over.list()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      Value item = (*list)[i];
      if (!TRY(round(static_cast<std::int64_t>(i), item))) break;
    }
  } else if (auto* map = over.map()) {
    Map copy = *map;  // the body may change the map
    for (const auto& [key, item] : copy)
      if (!TRY(round(key, item))) break;
  } else if (auto* count = over.integer()) {
    for (std::int64_t i = 0; i < *count; ++i)
      if (!TRY(round(i, i))) break;
  } else if (!over.is_nil()) {
    return wrong(node, fmt::format("range can't iterate over {}", print(over)));
  }
  return rounds == 0 ? statements(node.otherwise, dot) : Result<Flow>(Flow::next);
}

Result<> Executor::call_template(const Node& node, const Value& dot) {
  Value data;
  if (node.pipe) data = TRY(pipeline(*node.pipe, dot));
  Result<std::string> text = run(node.text, data);
  if (!text) return at(Result<>(std::unexpected(std::move(text).error())), fmt::format("{}:{}", file_, node.line));
  out_->append(*text);
  return {};
}

Result<Value> Executor::pipeline(const Node& node, const Value& dot) {
  Value value;
  bool first = true;
  for (const Node* part : node.children) {
    value = TRY(command(*part, dot, first ? nullptr : &value));
    first = false;
  }
  for (const std::string& name : node.declares) {
    if (!node.assigns) {
      variables_.push_back({name, value});
      continue;
    }
    for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable)
      if (variable->name == name) {
        variable->value = value;
        break;
      }
  }
  return value;
}

Result<Value> Executor::command(const Node& node, const Value& dot, const Value* last) {
  const Node& first = *node.children.front();
  if (first.kind == NodeKind::function) return function(node, dot, last);
  if (node.children.size() > 1 || last) return arguments_then_fields(node, dot, last);
  return operand(first, dot);
}

Result<Value> Executor::arguments_then_fields(const Node& command, const Value& dot, const Value* last) {
  const Node& first = *command.children.front();
  if (first.fields.empty()) return wrong(first, "can't give argument to non-function");
  std::vector<Value> arguments;
  for (std::size_t i = 1; i < command.children.size(); ++i) arguments.push_back(TRY(operand(*command.children[i], dot)));
  if (last) arguments.push_back(*last);
  Node bare = first;
  bare.fields.clear();
  Value from = first.kind == NodeKind::field ? dot : TRY(operand(bare, dot));
  return fields(first, std::move(from), arguments);
}

Result<Value> Executor::operand(const Node& node, const Value& dot) {
  switch (node.kind) {
    case NodeKind::dot: return dot;
    case NodeKind::nil: return Value();
    case NodeKind::constant: return node.value;
    case NodeKind::field: return fields(node, dot, {});
    case NodeKind::variable:
      for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable)
        if (variable->name == node.text) return node.fields.empty() ? Result<Value>(variable->value) : fields(node, variable->value, {});
      return wrong(node, fmt::format("undefined variable: {}", node.text));
    case NodeKind::pipeline: return pipeline(node, dot);
    case NodeKind::chain: {
      Value from = TRY(pipeline(*node.pipe, dot));
      return from.is_nil() ? Result<Value>(Value()) : fields(node, std::move(from), {});  // (nil).x is nil, nil.x is not
    }
    case NodeKind::function: {
      Call call{*this, node.text, {}};
      return at(node.call(call), fmt::format("{}:{}", file_, node.line));
    }
    default: return wrong(node, "unexpected operand");
  }
}

Result<Value> Executor::function(const Node& command, const Value& dot, const Value* last) {
  const Node& word = *command.children.front();
  bool is_and = word.text == "and", is_or = word.text == "or";
  std::vector<Value> arguments;
  arguments.reserve(command.children.size());
  for (std::size_t i = 1; i < command.children.size(); ++i) {
    arguments.push_back(TRY(operand(*command.children[i], dot)));
    if ((is_and && !truth(arguments.back())) || (is_or && truth(arguments.back()))) return arguments.back();
  }
  if (last) arguments.push_back(*last);
  Call call{*this, word.text, arguments};
  Result<Value> value = word.call(call);
  if (!value) return at(std::move(value), fmt::format("{}:{}", file_, word.line));
  return value;
}

Result<Value> Executor::fields(const Node& node, Value from, std::span<const Value> arguments) {
  for (std::size_t i = 0; i < node.fields.size(); ++i) {
    const std::string& name = node.fields[i];
    bool last = i + 1 == node.fields.size();
    if (auto* object = from.object()) {
      Result<Value> next = object->field(name, last ? arguments : std::span<const Value>());
      if (!next) return wrong(node, next.error().message);
      Value held = std::move(*next);
      from = std::move(held);
      continue;
    }
    if (auto* map = from.map()) {
      if (last && !arguments.empty()) return wrong(node, fmt::format("{} is not a method but has arguments", name));
      auto found = map->find(name);
      Value held = found == map->end() ? Value() : found->second;
      from = std::move(held);
      continue;
    }
    if (from.is_nil()) return wrong(node, fmt::format("nil pointer evaluating interface {{}}.{}", name));
    return wrong(node, fmt::format("can't evaluate field {} in type {}", name, type_of(from)));
  }
  return from;
}

}  // namespace slipway::text::gotmpl
