// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/strings.h"
#include "ci/dockerfile/words.h"

namespace slipway::dockerfile {
namespace {

constexpr std::array<std::string_view, 18> keywords{"ADD",  "ARG",     "CMD",        "COPY", "ENTRYPOINT", "ENV",   "EXPOSE",     "FROM", "HEALTHCHECK",
                                                    "LABEL", "MAINTAINER", "ONBUILD", "RUN",  "SHELL",      "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

std::string_view trim_left(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

bool is_comment(std::string_view line) { return trim_left(line).starts_with('#'); }

// "# escape=`": name in lower case, and value.
std::optional<Flag> directive_of(std::string_view line) {
  line = trim(line);
  if (!line.starts_with('#')) return std::nullopt;
  const auto equal = line.find('=');
  if (equal == line.npos) return std::nullopt;
  const std::string name = to_lower(trim(line.substr(1, equal - 1)));
  const bool is_name = !name.empty() && std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  const auto value = trim(line.substr(equal + 1));
  if (!is_name || value.empty() || (name != "syntax" && name != "escape" && name != "check")) return std::nullopt;
  return Flag{name, std::string(value)};
}

// Whether the line goes on: an escape that is not escaped itself, then blanks only. It is taken away.
bool take_continuation(std::string& line, char escape) {
  const auto last = line.find_last_not_of(" \t\r");
  if (last == line.npos || line[last] != escape || (last > 0 && line[last - 1] == escape)) return false;
  line.resize(last);
  return true;
}

std::string unquoted(std::string_view word) {
  std::string out;
  for (const char c : word)
    if (c != '"' && c != '\'') out += c;
  return out;
}

struct Marker {
  HereDocument document;
  bool strip_tabs = false;
};

// "<<EOF", "<<-'EOF'", "3<<EOF"
std::optional<Marker> marker_of(std::string_view word) {
  while (!word.empty() && word.front() >= '0' && word.front() <= '9') word.remove_prefix(1);
  if (!word.starts_with("<<")) return std::nullopt;
  word.remove_prefix(2);
  Marker out;
  out.strip_tabs = word.starts_with('-');
  if (out.strip_tabs) word.remove_prefix(1);
  if (word.find('<') != word.npos) return std::nullopt;
  out.document.name = unquoted(word);
  if (out.document.name.empty()) return std::nullopt;
  if (out.document.name != word) out.document.variables = Variables::keep;
  return out;
}

class Reader final {
 public:
  Reader(std::string_view text, std::string_view name) : name_(name) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    lines_ = split(text, '\n');
    if (!lines_.empty() && lines_.back().empty()) lines_.pop_back();
  }

  Result<File> read() {
    File file{std::string(name_), '\\', {}};
    TRY(directives(file));
    while (next_ < lines_.size()) {
      const std::string_view line = lines_[next_];
      if (trim(line).empty() || is_comment(line)) {
        ++next_;
        continue;
      }
      if (file.instructions.size() >= max_instructions) return wrong(next_ + 1, 1, fmt::format("more than {} instructions", max_instructions), ErrorCode::too_large);
      file.instructions.push_back(TRY(instruction(file.escape)));
    }
    if (file.instructions.empty()) return fail(ErrorCode::invalid, fmt::format("the file has no instructions ({})", name_));
    return file;
  }

 private:
  std::unexpected<Error> wrong(std::size_t line, std::size_t column, std::string what, ErrorCode code = ErrorCode::invalid) const {
    return std::unexpected(Error{code, std::move(what), {fmt::format("{}:{}:{}", name_, line, column)}});
  }

  Result<> directives(File& file) {
    std::vector<std::string> seen;
    for (; next_ < lines_.size(); ++next_) {
      const auto found = directive_of(lines_[next_]);
      if (!found) return {};
      if (std::ranges::find(seen, found->name) != seen.end()) return wrong(next_ + 1, 1, fmt::format("only one directive \"{}\" can be used", found->name));
      seen.push_back(found->name);
      if (found->name == "escape") {
        if (found->value != "\\" && found->value != "`") return wrong(next_ + 1, 1, fmt::format("escape must be ` or \\, not {}", printable(found->value)));
        file.escape = found->value[0];
      }
      if (found->name == "syntax" && !is_dockerfile_syntax(found->value))
        return wrong(next_ + 1, 1, fmt::format("syntax {} is not supported; docker/dockerfile is", printable(found->value)));
    }
    return {};
  }

  static bool is_dockerfile_syntax(std::string_view value) {
    if (value.starts_with("docker.io/")) value.remove_prefix(10);
    const std::string_view image = value.substr(0, value.find_first_of(":@"));
    return image == "docker/dockerfile" || image == "docker/dockerfile-upstream";
  }

  Result<Instruction> instruction(char escape) {
    Instruction out;
    out.line = next_ + 1;
    const std::string_view first = lines_[next_];
    out.column = first.size() - trim_left(first).size() + 1;
    std::string line(trim_left(first));
    ++next_;
    while (take_continuation(line, escape) && next_ < lines_.size()) {
      // Comments and empty lines between continued lines are left out.
      while (next_ < lines_.size() && (is_comment(lines_[next_]) || trim(lines_[next_]).empty())) ++next_;
      if (next_ < lines_.size()) line += lines_[next_++];
    }
    const std::string_view text = trim(line);
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    out.keyword = upper(text.substr(0, end));
    if (std::ranges::find(keywords, out.keyword) == keywords.end())
      return wrong(out.line, out.column, fmt::format("unknown instruction: {}", printable(text.substr(0, std::min<std::size_t>(end, 80)))));
    std::string_view rest = trim(text.substr(end));
    TRY(flags(rest, escape, out));
    out.rest = std::string(rest);
    if (out.rest.empty() && out.keyword != "CMD" && out.keyword != "ENTRYPOINT")
      return wrong(out.line, out.column, fmt::format("{} needs an argument", out.keyword));
    if (out.keyword == "RUN" || out.keyword == "COPY" || out.keyword == "ADD") TRY(documents(out, escape));
    return out;
  }

  Result<> flags(std::string_view& rest, char escape, Instruction& out) const {
    while (rest.starts_with("--")) {
      const auto words = split_words(rest.substr(0, word_end(rest, escape)), escape);
      const std::string& word = words[0];
      rest = trim(rest.substr(word_end(rest, escape)));
      if (word == "--") return {};
      const auto equal = word.find('=');
      Flag flag{word.substr(2, equal == word.npos ? word.npos : equal - 2), ""};
      if (equal != word.npos) flag.value = unescaped(word.substr(equal + 1), escape);
      if (flag.name != "mount" && flag.name != "exclude" && std::ranges::any_of(out.flags, [&](const Flag& f) { return f.name == flag.name; }))
        return wrong(out.line, out.column, fmt::format("flag --{} is given twice", printable(flag.name)));
      out.flags.push_back(std::move(flag));
    }
    return {};
  }

  static std::size_t word_end(std::string_view text, char escape) {
    char quote = '\0';
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (quote == '\0' && is_blank(text[i])) return i;
      if (text[i] == escape && i + 1 < text.size()) ++i;
      else if (quote == '\0' && (text[i] == '"' || text[i] == '\'')) quote = text[i];
      else if (text[i] == quote) quote = '\0';
    }
    return text.size();
  }

  // Quotes go, variables stay for later.
  static std::string unescaped(std::string_view word, char) { return unquoted(word); }

  Result<> documents(Instruction& out, char escape) {
    std::vector<Marker> markers;
    for (const std::string& word : split_words(out.rest, escape))
      if (auto marker = marker_of(word)) markers.push_back(std::move(*marker));
    if (markers.size() > max_documents) return wrong(out.line, out.column, fmt::format("more than {} here-documents", max_documents), ErrorCode::too_large);
    for (Marker& marker : markers) {
      TRY(document(marker, out));
      out.documents.push_back(std::move(marker.document));
    }
    return {};
  }

  Result<> document(Marker& marker, const Instruction& instruction) {
    for (; next_ < lines_.size(); ++next_) {
      std::string_view line = lines_[next_];
      if (marker.strip_tabs)
        while (line.starts_with('\t')) line.remove_prefix(1);
      std::string_view bare = line;
      if (bare.ends_with('\r')) bare.remove_suffix(1);
      if (bare == marker.document.name) return ++next_, Result<>{};
      marker.document.content += std::string(line) + "\n";
    }
    return wrong(instruction.line, instruction.column, fmt::format("the here-document {} is not ended", printable(marker.document.name)));
  }

  const std::string_view name_;
  std::vector<std::string_view> lines_;
  std::size_t next_ = 0;
};

}  // namespace

std::string Instruction::text() const {
  std::string out = keyword;
  for (const Flag& flag : flags) out += fmt::format(" --{}{}{}", flag.name, flag.value.empty() ? "" : "=", flag.value);
  if (!rest.empty()) out += " " + rest;
  return out;
}

Result<File> read_lines(std::string_view text, std::string_view name) {
  if (text.size() > max_file) return fail(ErrorCode::too_large, fmt::format("{} has more than {} bytes", name, max_file));
  if (text.find('\0') != text.npos) return fail(ErrorCode::invalid, fmt::format("{} has a NUL byte", name));
  return Reader(text, name).read();
}

std::string place_of(std::string_view file, const Instruction& instruction) { return fmt::format("{}:{}:{}", file, instruction.line, instruction.column); }

}  // namespace slipway::dockerfile
