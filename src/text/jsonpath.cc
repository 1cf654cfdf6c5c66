// SPDX-License-Identifier: Apache-2.0
#include "text/jsonpath.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace slipway::text {
namespace {

constexpr std::size_t max_depth = 32;  // of ranges and filters in each other

struct Path;

// One side of a comparison in a filter: a path from @ or $, or a literal.
struct Operand {
  std::shared_ptr<const Path> path;
  Json literal;
};

struct Selector {
  enum class Kind { field, any, index, slice, deep, filter } kind = Kind::field;
  std::vector<std::string> names;                // field, or several in a union
  std::optional<std::int64_t> from, to, step;    // slice; index in `from`
  Operand left, right;
  std::string comparison;                        // empty: the left side exists
};

struct Path {
  bool from_root = false;  // "$", else the present value
  std::vector<Selector> selectors;
};

}  // namespace

struct JsonPath::Part {
  enum class Kind { text, path, range } kind = Kind::text;
  std::string text;
  Path path;
  std::vector<Part> body;  // of a range
};

namespace {

using Part = JsonPath::Part;

class Parser final {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<Part>> parts(bool inside_range, std::size_t depth) {
    if (depth > max_depth) return error("ranges are nested too deeply");
    std::vector<Part> out;
    while (at_ < text_.size()) {
      if (text_[at_] != '{') {
        const auto next = std::min(text_.find('{', at_), text_.size());
        out.push_back({.kind = Part::Kind::text, .text = std::string(text_.substr(at_, next - at_)), .path = {}, .body = {}});
        at_ = next;
        continue;
      }
      ++at_;
      skip_blanks();
      if (word("end")) {
        if (!inside_range) return error("end without range");
        TRY(expect('}'));
        return out;
      }
      if (word("range")) {
        skip_blanks();
        Part range{.kind = Part::Kind::range, .text = {}, .path = {}, .body = {}};
        range.path = TRY(path(depth));
        skip_blanks();
        TRY(expect('}'));
        range.body = TRY(parts(true, depth + 1));
        out.push_back(std::move(range));
        continue;
      }
      TRY(expressions(out, depth));
    }
    if (inside_range) return error("range without end");
    return out;
  }

  Result<Path> whole_path() {
    auto out = TRY(path(0));
    if (at_ != text_.size()) return error("the path goes on with something unknown");
    return out;
  }

 private:
  // What stands in one pair of braces: literals and paths, with blanks between.
  Result<> expressions(std::vector<Part>& out, std::size_t depth) {
    for (;;) {
      skip_blanks();
      if (at_ >= text_.size()) return error("unclosed action: } is missing");
      if (text_[at_] == '}') return ++at_, Result<>{};
      Part part;
      if (text_[at_] == '"' || text_[at_] == '\'') part.text = TRY(quoted());
      else part.kind = Part::Kind::path, part.path = TRY(path(depth));
      out.push_back(std::move(part));
    }
  }

  Result<Path> path(std::size_t depth) {
    if (depth > max_depth) return error("filters are nested too deeply");
    Path out;
    if (peek('$')) out.from_root = true, ++at_;
    else if (peek('@')) ++at_;
    else if (at_ < text_.size() && is_name(text_[at_])) out.selectors.push_back(field(name()));
    while (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == '[')) {
      if (text_[at_] == '[') {
        out.selectors.push_back(TRY(bracket(depth)));
        continue;
      }
      ++at_;
      if (peek('.')) {
        ++at_;
        out.selectors.push_back({.kind = Selector::Kind::deep, .left = {}, .right = {}});
        if (peek('[')) continue;
      }
      if (peek('*')) ++at_, out.selectors.push_back({.kind = Selector::Kind::any, .left = {}, .right = {}});
      else if (at_ < text_.size() && (is_name(text_[at_]) || text_[at_] == '\\')) out.selectors.push_back(field(name()));
      else if (!peek('[') && !ends()) return error("a field's name is expected behind the dot");
    }
    if (!ends()) return error("unrecognized character in action");
    return out;
  }

  Result<Selector> bracket(std::size_t depth) {
    ++at_;
    skip_blanks();
    Selector out;
    if (peek('*')) {
      ++at_;
      out.kind = Selector::Kind::any;
    } else if (peek('?')) {
      ++at_;
      out = TRY(filter(depth));
    } else if (peek('\'') || peek('"')) {
      do {
        if (peek(',')) ++at_, skip_blanks();
        out.names.push_back(TRY(quoted()));
        skip_blanks();
      } while (peek(','));
    } else {
      out = TRY(numbers());
    }
    skip_blanks();
    TRY(expect(']'));
    return out;
  }

  Result<Selector> numbers() {
    Selector out{.kind = Selector::Kind::index, .left = {}, .right = {}};
    out.from = number();
    if (!peek(':')) return out.from ? Result<Selector>(out) : error("an index, a slice, a name in quotes, * or ?() is expected");
    out.kind = Selector::Kind::slice;
    ++at_;
    out.to = number();
    if (peek(':')) ++at_, out.step = number();
    return out;
  }

  Result<Selector> filter(std::size_t depth) {
    TRY(expect('('));
    Selector out{.kind = Selector::Kind::filter, .left = {}, .right = {}};
    out.left = TRY(operand(depth));
    skip_blanks();
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "<", ">"})
      if (text_.substr(at_).starts_with(sign)) {
        at_ += sign.size();
        out.comparison = sign;
        out.right = TRY(operand(depth));
        break;
      }
    skip_blanks();
    TRY(expect(')'));
    return out;
  }

  Result<Operand> operand(std::size_t depth) {
    skip_blanks();
    if (peek('"') || peek('\'')) return Operand{nullptr, Json(TRY(quoted()))};
    if (peek('@') || peek('$') || peek('.')) return Operand{std::make_shared<const Path>(TRY(path(depth + 1))), {}};
    const auto end = text_.find_first_of(" )=!<>", at_);
    const std::string_view bare = text_.substr(at_, end - at_);
    auto value = parse_json(bare);
    if (!value) return error("a path, a number, true, false or a text in quotes is expected");
    at_ = std::min(end, text_.size());
    return Operand{nullptr, *value};
  }

  Result<std::string> quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        c = text_[at_++];
        c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
      }
      out += c;
    }
    if (at_ >= text_.size()) return error("unterminated quoted string");
    ++at_;
    return out;
  }

  // "a\.b" is one name.
  static Selector field(std::string name) {
    Selector out;
    out.names.push_back(std::move(name));
    return out;
  }

  std::string name() {
    std::string out;
    while (at_ < text_.size() && (is_name(text_[at_]) || (text_[at_] == '\\' && at_ + 1 < text_.size()))) {
      if (text_[at_] == '\\') ++at_;
      out += text_[at_++];
    }
    return out;
  }

  std::optional<std::int64_t> number() {
    skip_blanks();
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (problem != std::errc()) return std::nullopt;
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  static bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '/' || static_cast<unsigned char>(c) >= 128; }
  bool ends() const { return at_ >= text_.size() || std::string_view("} )=!<>,\t").find(text_[at_]) != std::string_view::npos; }
  bool peek(char c) const { return at_ < text_.size() && text_[at_] == c; }
  void skip_blanks() {
    while (peek(' ') || peek('\t')) ++at_;
  }
  bool word(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    const std::size_t behind = at_ + what.size();
    if (behind < text_.size() && is_name(text_[behind])) return false;
    at_ = behind;
    return true;
  }
  Result<> expect(char c) {
    skip_blanks();
    if (!peek(c)) return error(fmt::format("{} is missing", c));
    return ++at_, Result<>{};
  }
  std::unexpected<Error> error(std::string_view what) const { return fail(ErrorCode::invalid, fmt::format("jsonpath: column {}: {}", at_ + 1, what)); }

  const std::string_view text_;
  std::size_t at_ = 0;
};

void descend(const Json& value, std::vector<Json>& out) {
  out.push_back(value);
  for (const Json& item : value.items()) descend(item, out);
  for (const JsonMember& member : value.members()) descend(member.value, out);
}

std::vector<Json> walk(const Path& path, const Json& root, const Json& here);

std::optional<Json> first(const Operand& operand, const Json& root, const Json& here) {
  if (!operand.path) return operand.literal;
  auto found = walk(*operand.path, root, here);
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

bool compares(const std::string& how, const Json& left, const Json& right) {
  if (how == "==") return left == right || (left.is_number() && right.is_number() && to_json(left) == to_json(right));
  if (how == "!=") return !compares("==", left, right);
  if (left.is_string() && right.is_string())
    return how == "<" ? left.as_string() < right.as_string() : how == ">" ? left.as_string() > right.as_string() : how == "<=" ? left.as_string() <= right.as_string() : left.as_string() >= right.as_string();
  if (!left.is_int() || !right.is_int()) return false;
  const auto a = left.as_int(), b = right.as_int();
  return how == "<" ? a < b : how == ">" ? a > b : how == "<=" ? a <= b : a >= b;
}

bool passes(const Selector& filter, const Json& root, const Json& item) {
  const auto left = first(filter.left, root, item);
  if (filter.comparison.empty()) return left.has_value();
  const auto right = first(filter.right, root, item);
  return left && right && compares(filter.comparison, *left, *right);
}

void take_slice(const Selector& slice, const Json& value, std::vector<Json>& out) {
  const auto size = static_cast<std::int64_t>(value.items().size());
  const auto clamp = [&](std::int64_t index) { return std::min(std::max<std::int64_t>(index < 0 ? index + size : index, 0), size); };
  const std::int64_t to = clamp(slice.to.value_or(size)), step = std::max<std::int64_t>(slice.step.value_or(1), 1);
  for (std::int64_t i = clamp(slice.from.value_or(0)); i < to; i += step) out.push_back(value[static_cast<std::size_t>(i)]);
}

void select(const Selector& selector, const Json& root, const Json& value, std::vector<Json>& out) {
  switch (selector.kind) {
    case Selector::Kind::field:
      for (const std::string& name : selector.names)
        if (const Json* found = value.find(name)) out.push_back(*found);
      return;
    case Selector::Kind::any:
      for (const Json& item : value.items()) out.push_back(item);
      for (const JsonMember& member : value.members()) out.push_back(member.value);
      return;
    case Selector::Kind::index: {
      const auto size = static_cast<std::int64_t>(value.items().size());
      const std::int64_t index = *selector.from < 0 ? *selector.from + size : *selector.from;
      if (index >= 0 && index < size) out.push_back(value[static_cast<std::size_t>(index)]);
      return;
    }
    case Selector::Kind::slice: return take_slice(selector, value, out);
    case Selector::Kind::deep: return descend(value, out);
    case Selector::Kind::filter:
      for (const Json& item : value.items())
        if (passes(selector, root, item)) out.push_back(item);
      return;
  }
}

std::vector<Json> walk(const Path& path, const Json& root, const Json& here) {
  std::vector<Json> now{path.from_root ? root : here};
  for (const Selector& selector : path.selectors) {
    std::vector<Json> next;
    for (const Json& value : now) select(selector, root, value, next);
    now = std::move(next);
  }
  return now;
}

std::string shown(const Json& value) { return value.is_string() ? value.str() : value.is_null() ? std::string() : to_json(value); }

Result<> print_parts(const std::vector<Part>& parts, const Json& root, const Json& here, std::string& out) {
  for (const Part& part : parts) {
    if (out.size() > max_json_path_output) return fail(ErrorCode::too_large, "jsonpath: the output is too large");
    if (part.kind == Part::Kind::text) {
      out += part.text;
      continue;
    }
    const auto found = walk(part.path, root, here);
    if (part.kind == Part::Kind::range) {
      for (const Json& value : found) TRY(print_parts(part.body, root, value, out));
      continue;
    }
    for (std::size_t i = 0; i < found.size(); ++i) out += (i > 0 ? " " : "") + shown(found[i]);
  }
  return {};
}

}  // namespace

Result<JsonPath> JsonPath::parse(std::string_view text) {
  if (text.size() > max_json_path) return fail(ErrorCode::too_large, fmt::format("jsonpath: a template of more than {} bytes", max_json_path));
  JsonPath out;
  out.parts_ = std::make_shared<const std::vector<Part>>(TRY(Parser(text).parts(false, 0)));
  return out;
}

Result<std::string> JsonPath::print(const Json& root) const {
  std::string out;
  TRY(print_parts(*parts_, root, root, out));
  return out;
}

Result<std::vector<Json>> find_by_path(const Json& root, std::string_view path) { return walk(TRY(Parser(path).whole_path()), root, root); }

}  // namespace slipway::text
