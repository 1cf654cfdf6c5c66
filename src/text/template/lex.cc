// SPDX-License-Identifier: Apache-2.0
#include "text/template/lex.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>

#include "text/utf8.h"

namespace slipway::text::gotmpl {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_name(char c) { return c == '_' || std::isalnum(static_cast<unsigned char>(c)) || (c & 0x80); }

class Lexer {
 public:
  Lexer(std::string_view name, std::string_view source) : name_(name), source_(source) {}

  Result<std::vector<Token>> run() {
    bool trim = false;
    while (at_ < source_.size()) {
      std::size_t open = source_.find("{{", at_);
      std::string_view text = source_.substr(at_, open == source_.npos ? open : open - at_);
      unsigned start = line_;
      count(text);
      std::string_view kept = text;
      if (trim) while (!kept.empty() && is_space(kept.front())) kept.remove_prefix(1);
      bool trims_before = open != source_.npos && open + 3 < source_.size() && source_[open + 2] == '-' && is_space(source_[open + 3]);
      if (trims_before) while (!kept.empty() && is_space(kept.back())) kept.remove_suffix(1);
      if (!kept.empty()) tokens_.push_back({Word::text, kept, start});
      if (open == source_.npos) break;
      at_ = open + (trims_before ? 4 : 2);
      if (trims_before && source_[open + 3] == '\n') ++line_;
      trim = false;
      TRY(action(trim));
    }
    tokens_.push_back({Word::end, {}, line_});
    return std::move(tokens_);
  }

 private:
  std::string_view name_, source_;
  std::size_t at_ = 0;
  unsigned line_ = 1;
  std::vector<Token> tokens_;

  void count(std::string_view text) { for (char c : text) line_ += c == '\n'; }
  std::unexpected<Error> wrong(std::string_view what) {
    return fail(ErrorCode::invalid, fmt::format("template: {}:{}: {}", name_, line_, what));
  }
  bool closes(std::size_t at, std::size_t& length, bool& trim) const {
    if (source_.substr(at).starts_with("}}")) return length = 2, trim = false, true;
    if (at + 3 < source_.size() && is_space(source_[at]) && source_.substr(at + 1).starts_with("-}}")) return length = 4, trim = true, true;
    return false;
  }
  void push(Word word, std::size_t length) {
    tokens_.push_back({word, source_.substr(at_, length), line_});
    at_ += length;
  }

  Result<> action(bool& trim) {
    std::size_t length = 0;
    if (source_.substr(at_).starts_with("/*")) {
      std::size_t end = source_.find("*/", at_);
      if (end == source_.npos) return wrong("unclosed comment");
      count(source_.substr(at_, end - at_));
      at_ = end + 2;
      if (!closes(at_, length, trim)) return wrong("comment ends before closing delimiter");
      count(source_.substr(at_, length));
      at_ += length;
      return {};
    }
    tokens_.push_back({Word::open, {}, line_});
    while (at_ < source_.size()) {
      if (closes(at_, length, trim)) {
        push(Word::close, 0);
        count(source_.substr(at_, length));
        at_ += length;
        return {};
      }
      TRY(word());
    }
    return wrong("unclosed action");
  }

  Result<> word() {
    char c = source_[at_];
    std::size_t bad = 0;
    bool trim = false;
    if (is_space(c)) {
      std::size_t n = 0;
      while (at_ + n < source_.size() && is_space(source_[at_ + n]) && !(n > 0 && closes(at_ + n, bad, trim))) ++n;
      std::string_view spaces = source_.substr(at_, n);
      push(Word::space, n);
      count(spaces);
      return {};
    }
    if (c == '"' || c == '\'' || c == '`') return literal(c);
    if (c == '|') return push(Word::pipe, 1), Result<>{};
    if (c == ',') return push(Word::comma, 1), Result<>{};
    if (c == '(') return push(Word::left, 1), Result<>{};
    if (c == ')') return push(Word::right, 1), Result<>{};
    if (c == '=') return push(Word::assign, 1), Result<>{};
    if (source_.substr(at_).starts_with(":=")) return push(Word::declare, 2), Result<>{};
    char next = at_ + 1 < source_.size() ? source_[at_ + 1] : ' ';
    if (std::isdigit(static_cast<unsigned char>(c)) || ((c == '+' || c == '-' || c == '.') && std::isdigit(static_cast<unsigned char>(next)))) return number();
    if (c == '$' || c == '.' || is_name(c)) {
      std::size_t n = 1;
      while (at_ + n < source_.size() && is_name(source_[at_ + n])) ++n;
      push(c == '$' ? Word::variable : c != '.' ? Word::identifier : n == 1 ? Word::dot : Word::field, n);
      return {};
    }
    return wrong(fmt::format("unexpected {:?} in operand", c));
  }

  Result<> number() {
    std::size_t n = 1;
    while (at_ + n < source_.size() && (is_name(source_[at_ + n]) || source_[at_ + n] == '.' ||
           ((source_[at_ + n] == '+' || source_[at_ + n] == '-') && (source_[at_ + n - 1] == 'e' || source_[at_ + n - 1] == 'E')))) ++n;
    push(Word::number, n);
    return {};
  }

  Result<> literal(char mark) {
    std::size_t n = 1;
    for (; at_ + n < source_.size() && source_[at_ + n] != mark; ++n) {
      if (mark != '`' && source_[at_ + n] == '\\') ++n;
      if (mark != '`' && at_ + n < source_.size() && source_[at_ + n] == '\n') return wrong("unterminated quoted string");
    }
    if (at_ + n >= source_.size()) return wrong(mark == '`' ? "unterminated raw quoted string" : "unterminated quoted string");
    std::string_view text = source_.substr(at_, n + 1);
    push(mark == '\'' ? Word::character : Word::string, n + 1);
    count(text);
    return {};
  }
};

}  // namespace

Result<std::vector<Token>> lex(std::string_view name, std::string_view source) { return Lexer(name, source).run(); }

Result<std::string> unquote(std::string_view literal) {
  std::string_view body = literal.substr(1, literal.size() - 2);
  std::string out;
  if (literal[0] == '`') {
    for (char c : body) if (c != '\r') out += c;
    return out;
  }
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out += body[i];
      continue;
    }
    if (++i >= body.size()) return fail(ErrorCode::invalid, fmt::format("invalid syntax in {}", literal));
    constexpr std::string_view from = "abfnrtv\\'\"", to = "\a\b\f\n\r\t\v\\'\"";
    if (auto k = from.find(body[i]); k != from.npos) {
      out += to[k];
      continue;
    }
    std::size_t digits = body[i] == 'x' ? 2 : body[i] == 'u' ? 4 : body[i] == 'U' ? 8 : 0;
    int base = 16;
    if (digits == 0 && body[i] >= '0' && body[i] <= '7') digits = 3, base = 8, --i;
    if (digits == 0 || i + digits >= body.size()) return fail(ErrorCode::invalid, fmt::format("invalid syntax in {}", literal));
    std::uint32_t code = 0;
    const char* first = body.data() + i + 1;
    const auto [end, error] = std::from_chars(first, first + digits, code, base);
    const bool valid = error == std::errc() && end == first + digits &&
                       (digits <= 3 ? code <= 0xFF : code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF));
    if (!valid) return fail(ErrorCode::invalid, fmt::format("invalid syntax in {}", literal));
    if (digits <= 3) out += static_cast<char>(static_cast<unsigned char>(code));
    else append_utf8(code, out);
    i += digits;
  }
  return out;
}

}  // namespace slipway::text::gotmpl
