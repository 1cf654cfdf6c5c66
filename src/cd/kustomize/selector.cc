// SPDX-License-Identifier: Apache-2.0
#include "cd/kustomize/selector.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "base/strings.h"

namespace slipway::cd::kustomize {

struct Pattern::Compiled {
  Compiled(const std::string& text, const RE2::Options& options, Anchor anchor) : expression(text, options), anchor(anchor) {}
  RE2 expression;
  Anchor anchor;
};

Result<Pattern> Pattern::compile(std::string_view text, Anchor anchor) {
  Pattern out;
  if (anchor == Anchor::whole && text.find_first_of(".*+?()[]{}|^$\\") == text.npos) {
    out.literal_ = text;
    return out;
  }
  RE2::Options options;
  options.set_log_errors(false);
  out.compiled_ = std::make_shared<const Compiled>(std::string(text), options, anchor);
  if (out.compiled_->expression.ok()) return out;
  return fail(ErrorCode::invalid, fmt::format("error parsing regexp: {}: `{}`", out.compiled_->expression.error(), text));
}

bool Pattern::matches(std::string_view text) const {
  if (!compiled_) return text == literal_;
  const re2::StringPiece piece(text.data(), text.size());
  return compiled_->anchor == Anchor::whole ? RE2::FullMatch(piece, compiled_->expression) : RE2::PartialMatch(piece, compiled_->expression);
}

namespace {

bool is_word(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/'; });
}

// At commas outside of parentheses.
std::vector<std::string_view> split_requirements(std::string_view text) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  int open = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    open += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (text[i] != ',' || open > 0) continue;
    out.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  out.push_back(text.substr(begin));
  return out;
}

std::unexpected<Error> bad_selector(std::string_view text) { return fail(ErrorCode::invalid, fmt::format("unable to parse requirement: {}", text)); }

}  // namespace

Result<LabelSelector::Requirement> LabelSelector::parse_one(std::string_view given) {
  const std::string_view text = trim(given);
  if (text.starts_with('!')) return Requirement{std::string(trim(text.substr(1))), Operator::absent, {}};
  const auto end = text.find_first_of(" =!<>(");
  std::string key(text.substr(0, end));
  if (key.empty() || !is_word(key)) return bad_selector(text);
  if (end == text.npos) return Requirement{key, Operator::exists, {}};
  std::string_view rest = trim(text.substr(end));
  for (const auto& [mark, op] : {std::pair{std::string_view("=="), Operator::in}, {"!=", Operator::not_in}, {"=", Operator::in}, {">", Operator::greater}, {"<", Operator::less}}) {
    if (!rest.starts_with(mark)) continue;
    const std::string_view value = trim(rest.substr(mark.size()));
    if (!is_word(value)) return bad_selector(text);
    return Requirement{key, op, {std::string(value)}};
  }
  const bool negated = rest.starts_with("notin");
  if (!negated && !rest.starts_with("in")) return bad_selector(text);
  rest = trim(rest.substr(negated ? 5 : 2));
  if (!rest.starts_with('(') || !rest.ends_with(')')) return bad_selector(text);
  Requirement out{key, negated ? Operator::not_in : Operator::in, {}};
  for (const auto value : split(rest.substr(1, rest.size() - 2), ',')) {
    if (!is_word(trim(value))) return bad_selector(text);
    out.values.emplace_back(trim(value));
  }
  return out;
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector out;
  if (trim(text).empty()) return out;
  for (const auto part : split_requirements(text)) out.requirements_.push_back(TRY(parse_one(part)));
  return out;
}

bool LabelSelector::matches(const StringMap& labels) const {
  return std::ranges::all_of(requirements_, [&](const Requirement& one) {
    const auto found = labels.find(one.key);
    const bool has = found != labels.end();
    const bool listed = has && std::ranges::find(one.values, found->second) != one.values.end();
    switch (one.op) {
      case Operator::in: return listed;
      case Operator::not_in: return !listed;
      case Operator::exists: return has;
      case Operator::absent: return !has;
      default: break;
    }
    if (!has) return false;
    const auto left = parse_int(found->second);
    const auto right = parse_int(one.values[0]);
    return left && right && (one.op == Operator::greater ? *left > *right : *left < *right);
  });
}

Result<Selector> Selector::parse(const Json& value) {
  Selector out;
  for (const auto& [name, into] : {std::pair{"group", &out.group_}, {"version", &out.version_}, {"kind", &out.kind_}, {"name", &out.name_}, {"namespace", &out.ns_}})
    if (const std::string text = value[name].str(); !text.empty()) *into = std::make_shared<const Pattern>(TRY(Pattern::compile(text, Pattern::Anchor::whole)));
  out.labels_ = TRY(LabelSelector::parse(value["labelSelector"].as_string()));
  out.annotations_ = TRY(LabelSelector::parse(value["annotationSelector"].as_string()));
  return out;
}

bool Selector::matches_gvk(const Gvk& gvk) const {
  return (!group_ || group_->matches(gvk.group)) && (!version_ || version_->matches(gvk.version)) && (!kind_ || kind_->matches(gvk.kind));
}

bool Selector::matches_marks(const Resource& resource) const {
  return (labels_.is_empty() || labels_.matches(resource.labels())) && (annotations_.is_empty() || annotations_.matches(resource.annotations()));
}

std::vector<ResourcePtr> Selector::select(const ResourceMap& map) const {
  std::vector<ResourcePtr> out;
  for (const ResourcePtr& one : map.all()) {
    const bool moved = !one->former.empty();
    if (name_ && !matches_name(one->name()) && !(moved && matches_name(one->former[0].name))) continue;
    if (!matches_gvk(one->gvk())) continue;
    if (ns_ && !matches_namespace(one->id().effective_namespace()) && !(moved && matches_namespace(one->original_id().effective_namespace()))) continue;
    if (matches_marks(*one)) out.push_back(one);
  }
  return out;
}

}  // namespace slipway::cd::kustomize
