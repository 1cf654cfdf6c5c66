// SPDX-License-Identifier: Apache-2.0
// Sprig's functions over strings.
#include <fmt/format.h>
#include <openssl/sha.h>
#include <re2/re2.h>

#include <algorithm>
#include <cctype>

#include "text/template/execute.h"

namespace slipway::text::gotmpl {
namespace {

constexpr std::size_t kLongest = 16 * 1024 * 1024;

std::string str(const Value& value) { return value.is_nil() ? "" : print(value); }
std::int64_t whole(const Value& value) {
  if (auto* integer = value.integer()) return *integer;
  if (auto* floating = value.floating()) return static_cast<std::int64_t>(*floating);
  return value.string() ? std::atoll(value.string()->c_str()) : 0;
}

template <class F>
std::string mapped(std::string text, F f) {
  for (char& c : text) c = static_cast<char>(f(static_cast<unsigned char>(c)));
  return text;
}
std::string strip(std::string_view text, std::string_view cut, bool front, bool back) {
  while (front && !text.empty() && cut.find(text.front()) != cut.npos) text.remove_prefix(1);
  while (back && !text.empty() && cut.find(text.back()) != cut.npos) text.remove_suffix(1);
  return std::string(text);
}
constexpr std::string_view kBlank = " \t\r\n\v\f";

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  if (from.empty()) return std::string(text);
  for (std::size_t at = 0;;) {
    std::size_t found = text.find(from, at);
    out += text.substr(at, found == text.npos ? found : found - at);
    if (found == text.npos) return out;
    out += to;
    at = found + from.size();
  }
}

std::vector<std::string> split(std::string_view text, std::string_view by) {
  std::vector<std::string> parts;
  if (by.empty()) {
    for (char c : text) parts.emplace_back(1, c);
    return parts;
  }
  for (;;) {
    std::size_t at = text.find(by);
    parts.emplace_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + by.size());
  }
}

Value as_list(const std::vector<std::string>& parts) {
  List list;
  for (const std::string& part : parts) list.emplace_back(part);
  return list;
}
Value as_dict(const std::vector<std::string>& parts) {
  Map map;
  for (std::size_t i = 0; i < parts.size(); ++i) map["_" + std::to_string(i)] = parts[i];
  return map;
}

Result<Value> indent(Call& call) {
  TRY(call.want(2, 2));
  std::int64_t width = whole(call[0]);
  if (width < 0 || width > 1000) return call.wrong("indentation is out of range");
  std::string pad(static_cast<std::size_t>(width), ' ');
  return (call.name == "nindent" ? "\n" : "") + pad + replace_all(str(call[1]), "\n", "\n" + pad);
}

std::string base64(std::string_view in, bool) {
  constexpr std::string_view table = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < in.size(); i += 3) {
    unsigned bits = 0;
    std::size_t have = std::min<std::size_t>(3, in.size() - i);
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < have ? static_cast<unsigned char>(in[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= have ? table[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}
std::string unbase64(std::string_view in) {
  constexpr std::string_view table = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int have = 0;
  for (char c : in) {
    if (c == '=' || c == '\n' || c == '\r') continue;
    std::size_t digit = table.find(c);
    if (digit == table.npos) return "illegal base64 data at input byte " + std::to_string(&c - in.data());
    bits = bits << 6 | static_cast<unsigned>(digit);
    if ((have += 6) >= 8) out += static_cast<char>(bits >> (have -= 8) & 255);
  }
  return out;
}

template <std::size_t N, class F>
std::string digest(F hash, const std::string& text) {
  unsigned char bytes[N];
  hash(reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes);
  std::string out;
  for (unsigned char byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

std::string adler32(std::string_view text) {
  std::uint32_t low = 1, high = 0;
  for (unsigned char c : text) {
    low = (low + c) % 65521;
    high = (high + low) % 65521;
  }
  return std::to_string(high << 16 | low);
}

// Go writes $1 and ${name}; RE2 writes \1.
std::string replacement(std::string_view go) {
  std::string out;
  for (std::size_t i = 0; i < go.size(); ++i) {
    if (go[i] == '\\') out += "\\\\";
    else if (go[i] == '$' && i + 1 < go.size() && go[i + 1] == '{') {
      std::size_t end = go.find('}', i);
      if (end == go.npos) return out;
      (out += '\\') += go.substr(i + 2, end - i - 2);
      i = end;
    } else if (go[i] == '$' && i + 1 < go.size() && std::isdigit(static_cast<unsigned char>(go[i + 1]))) {
      (out += '\\') += go[++i];
    } else out += go[i];
  }
  return out;
}

Result<Value> regex(Call& call) {
  TRY(call.want(2, 3));
  RE2 pattern(str(call[0]), RE2::Quiet);
  if (!pattern.ok()) return call.wrong("error parsing regexp: " + pattern.error());
  std::string text = str(call[1]);
  std::string_view name = call.name.starts_with("mustR") ? call.name.substr(5) : call.name.substr(1);
  if (name == "egexMatch") return RE2::PartialMatch(text, pattern);
  re2::StringPiece found;
  if (name == "egexFind") return pattern.Match(text, 0, text.size(), RE2::UNANCHORED, &found, 1) ? Value(std::string(found)) : Value("");
  TRY(call.want(3, 3));
  if (name == "egexReplaceAll" || name == "egexReplaceAllLiteral") {
    std::string to = name == "egexReplaceAll" ? replacement(str(call[2])) : replace_all(str(call[2]), "\\", "\\\\");
    RE2::GlobalReplace(&text, pattern, to);
    return text;
  }
  std::int64_t most = whole(call[2]);
  List out;
  std::size_t at = 0, start = 0;
  bool splits = name == "egexSplit";
  while (at <= text.size() && pattern.Match(text, at, text.size(), RE2::UNANCHORED, &found, 1)) {
    auto begin = static_cast<std::size_t>(found.data() - text.data());
    if (most >= 0 && static_cast<std::int64_t>(out.size()) >= most - (splits ? 1 : 0)) break;
    if (!splits) out.emplace_back(std::string(found));
    else if (!(found.empty() && begin == 0)) {
      if (begin >= text.size() && found.empty()) break;
      out.emplace_back(text.substr(start, begin - start));
      start = begin + found.size();
    }
    at = found.empty() ? begin + 1 : begin + found.size();
  }
  if (splits && most != 0) out.emplace_back(text.substr(start));
  return out;
}

std::string words(std::string_view text, char by) {  // snakecase, kebabcase
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == ' ' || c == '_' || c == '-') { out += by; continue; }
    bool breaks = std::isupper(c) && i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                  (!std::isupper(static_cast<unsigned char>(text[i - 1])) || (i + 1 < text.size() && std::islower(static_cast<unsigned char>(text[i + 1]))));
    if (breaks) out += by;
    out += static_cast<char>(std::tolower(c));
  }
  return out;
}
std::string camel(std::string_view text) {
  std::string out;
  bool up = true;
  for (char c : text) {
    if (c == '_' || c == '-' || c == ' ') { up = true; continue; }
    out += up ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    up = false;
  }
  return out;
}
std::string title(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i == 0 || std::isspace(static_cast<unsigned char>(text[i - 1]))) text[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[i])));
  return text;
}

Result<Value> trunc(Call& call) {
  TRY(call.want(2, 2));
  std::int64_t n = whole(call[0]);
  std::string text = str(call[1]);
  auto size = static_cast<std::int64_t>(text.size());
  if (n < 0 && size + n > 0) return text.substr(static_cast<std::size_t>(size + n));
  return n >= 0 && size > n ? text.substr(0, static_cast<std::size_t>(n)) : text;
}
Result<Value> substr(Call& call) {
  TRY(call.want(3, 3));
  std::int64_t from = whole(call[0]), to = whole(call[1]);
  std::string text = str(call[2]);
  auto size = static_cast<std::int64_t>(text.size());
  if (from < 0) from = 0;
  if (to < 0 || to > size) to = size;
  return from > to ? Value("") : Value(text.substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from)));
}
Result<Value> quoted(Call& call) {
  std::string out;
  for (const Value& value : call.arguments) {
    if (value.is_nil()) continue;
    if (!out.empty()) out += ' ';
    out += call.name == "quote" ? quote(str(value)) : "'" + str(value) + "'";
  }
  return out;
}
Result<Value> join(Call& call) {
  TRY(call.want(2, 2));
  if (!call[1].list()) return str(call[1]);
  std::string out;
  bool first = true;
  for (const Value& item : *call[1].list()) {
    if (item.is_nil()) continue;
    if (!std::exchange(first, false)) out += str(call[0]);
    out += str(item);
  }
  return out;
}
Result<Value> repeat(Call& call) {
  TRY(call.want(2, 2));
  std::int64_t n = whole(call[0]);
  std::string text = str(call[1]), out;
  if (n < 0 || static_cast<std::size_t>(n) * text.size() > kLongest) return call.wrong("the count is out of range");
  while (n-- > 0) out += text;
  return out;
}
}  // namespace

void add_text_functions(Functions& f) {
#define ONE(EXPRESSION) [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); std::string s = str(c[0]); return Value(EXPRESSION); }
#define TWO(EXPRESSION) [](Call& c) -> Result<Value> { TRY(c.want(2, 2)); std::string a = str(c[0]), s = str(c[1]); return Value(EXPRESSION); }
  f["upper"] = ONE(mapped(s, [](int c) { return std::toupper(c); }));
  f["lower"] = ONE(mapped(s, [](int c) { return std::tolower(c); }));
  f["title"] = ONE(title(s));
  f["untitle"] = ONE(mapped(s.substr(0, 1), [](int c) { return std::tolower(c); }) + (s.empty() ? "" : s.substr(1)));
  f["snakecase"] = ONE(words(s, '_'));
  f["kebabcase"] = ONE(words(s, '-'));
  f["camelcase"] = ONE(camel(s));
  f["trim"] = ONE(strip(s, kBlank, true, true));
  f["nospace"] = ONE([&] { std::erase_if(s, [](unsigned char ch) { return std::isspace(ch); }); return s; }());
  f["trimAll"] = TWO(strip(s, a, true, true));
  f["trimall"] = f["trimAll"];
  f["trimPrefix"] = TWO(s.starts_with(a) ? s.substr(a.size()) : s);
  f["trimSuffix"] = TWO(s.ends_with(a) ? s.substr(0, s.size() - a.size()) : s);
  f["contains"] = TWO(s.find(a) != s.npos);
  f["hasPrefix"] = TWO(s.starts_with(a));
  f["hasSuffix"] = TWO(s.ends_with(a));
  f["splitList"] = TWO(as_list(split(s, a)));
  f["split"] = TWO(as_dict(split(s, a)));
  f["replace"] = [](Call& c) -> Result<Value> { TRY(c.want(3, 3)); return replace_all(str(c[2]), str(c[0]), str(c[1])); };
  f["indent"] = f["nindent"] = indent;
  f["trunc"] = trunc;
  f["substr"] = substr;
  f["quote"] = f["squote"] = quoted;
  f["join"] = join;
  f["repeat"] = repeat;
  f["cat"] = [](Call& c) -> Result<Value> {
    std::string out;
    for (const Value& v : c.arguments) if (!v.is_nil()) out += (out.empty() ? "" : " ") + str(v);
    return out;
  };
  f["toString"] = [](Call& c) -> Result<Value> { TRY(c.want(1, 1)); return print(c[0]); };
  f["b64enc"] = ONE(base64(s, true));
  f["b64dec"] = ONE(unbase64(s));
  f["sha256sum"] = ONE(digest<32>(SHA256, s));
  f["sha1sum"] = ONE(digest<20>(SHA1, s));
  f["sha512sum"] = ONE(digest<64>(SHA512, s));
  f["adler32sum"] = ONE(adler32(s));
  f["base"] = ONE([&] { std::string t = strip(s, "/", false, true); return t.empty() ? s.empty() ? std::string(".") : std::string("/") : t.substr(t.rfind('/') + 1); }());
  f["regexQuoteMeta"] = ONE([&] { std::string o; for (char ch : s) { if (std::string_view("\\.+*?()|[]{}^$").find(ch) != std::string_view::npos) o += '\\'; o += ch; } return o; }());
  for (const char* name : {"regexMatch", "regexFind", "regexReplaceAll", "regexReplaceAllLiteral", "regexFindAll", "regexSplit"}) {
    f[name] = regex;
    f[std::string("mustR") + (name + 1)] = regex;
  }
  f["regexSplit"] = f["mustRegexSplit"] = regex;
  f["plural"] = [](Call& c) -> Result<Value> { TRY(c.want(3, 3)); return whole(c[2]) == 1 ? c[0] : c[1]; };
#undef ONE
#undef TWO
}

}  // namespace slipway::text::gotmpl
