// SPDX-License-Identifier: Apache-2.0
#include "hub/junit.h"

#include <fmt/format.h>

#include <map>

#include "base/strings.h"

namespace slipway::hub {
namespace {

constexpr std::size_t max_depth = 100, max_failing = 100;

using Attributes = std::map<std::string, std::string>;

class Reader final {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<TestSummary> read() {
    if (text_.size() > max_report) return fail(ErrorCode::too_large, fmt::format("a report of more than {} bytes", max_report));
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    while (at_ < text_.size()) TRY(next());
    if (!open_.empty()) return fail(ErrorCode::invalid, fmt::format("<{}> is not closed", printable(open_.back())));
    if (!seen_suite_) return fail(ErrorCode::invalid, "not a JUnit report: its root is neither testsuites nor testsuite");
    return std::move(summary_);
  }

 private:
  Result<> next() {
    const auto bracket = text_.find('<', at_);
    if (bracket == text_.npos) return at_ = text_.size(), Result<>{};
    at_ = bracket;
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("<?")) return skip_to("?>");
    if (rest.starts_with("<!--")) return skip_to("-->");
    if (rest.starts_with("<![CDATA[")) return skip_to("]]>");
    if (rest.starts_with("<!")) return fail(ErrorCode::invalid, "a document type declaration is not read");
    return rest.starts_with("</") ? close_tag() : open_tag();
  }

  Result<> skip_to(std::string_view end) {
    const auto found = text_.find(end, at_);
    if (found == text_.npos) return fail(ErrorCode::invalid, "the report ends too early");
    at_ = found + end.size();
    return {};
  }

  Result<> close_tag() {
    const auto end = text_.find('>', at_);
    const auto name = end == text_.npos ? std::string_view() : trim(text_.substr(at_ + 2, end - at_ - 2));
    if (open_.empty() || name != open_.back()) return fail(ErrorCode::invalid, fmt::format("</{}> closes nothing", printable(name)));
    at_ = end + 1;
    ended(open_.back());
    open_.pop_back();
    return {};
  }

  Result<> open_tag() {
    ++at_;
    const std::string name = word();
    Attributes attributes;
    for (;;) {
      skip_blanks();
      if (at_ >= text_.size() || name.empty()) return fail(ErrorCode::invalid, "the report ends too early");
      const bool empty = text_.substr(at_).starts_with("/>");
      if (empty || text_[at_] == '>') {
        at_ += empty ? 2 : 1;
        if (open_.size() >= max_depth) return fail(ErrorCode::too_large, fmt::format("elements nested more than {} deep", max_depth));
        began(name, attributes);
        if (empty) ended(name);
        else open_.push_back(name);
        return {};
      }
      TRY(attribute(attributes));
    }
  }

  Result<> attribute(Attributes& out) {
    const std::string name = word();
    skip_blanks();
    if (name.empty() || at_ >= text_.size() || text_[at_] != '=') return fail(ErrorCode::invalid, "an attribute is malformed");
    ++at_;
    skip_blanks();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const auto end = quote == '"' || quote == '\'' ? text_.find(quote, at_ + 1) : text_.npos;
    if (end == text_.npos) return fail(ErrorCode::invalid, "an attribute's value is not closed");
    out[name] = unescape(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return {};
  }

  std::string word() {
    const auto end = std::min(text_.find_first_of(" \t\r\n=/><", at_), text_.size());
    std::string out(text_.substr(at_, end - at_));
    at_ = end;
    return out;
  }
  void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

  static std::string unescape(std::string_view text) {
    std::string out(text);
    for (const auto& [name, character] : {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&#10;", "\n"}, {"&amp;", "&"}}) out = replace_all(std::move(out), name, character);
    return out;
  }

  void began(const std::string& name, Attributes& attributes) {
    if (name == "testsuite" || name == "testsuites") seen_suite_ = true;
    if (name == "testcase") {
      ++summary_.tests;
      const std::string& group = attributes["classname"];
      case_ = (group.empty() ? "" : group + ".") + attributes["name"];
      failure_ = error_ = skipped_ = false;
      message_.clear();
    }
    if (open_.empty() || open_.back() != "testcase") return;
    failure_ |= name == "failure";
    error_ |= name == "error";
    skipped_ |= name == "skipped";
    if ((name == "failure" || name == "error") && message_.empty()) message_ = attributes["message"];
  }

  void ended(const std::string& name) {
    if (name != "testcase") return;
    summary_.failures += failure_;
    summary_.errors += error_ && !failure_;  // one case is counted once
    summary_.skipped += skipped_;
    if ((failure_ || error_) && summary_.failing.size() < max_failing) summary_.failing.push_back({case_, message_});
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::vector<std::string> open_;
  bool seen_suite_ = false, failure_ = false, error_ = false, skipped_ = false;
  std::string case_, message_;
  TestSummary summary_;
};

}  // namespace

void TestSummary::add(const TestSummary& other) {
  tests += other.tests;
  failures += other.failures;
  errors += other.errors;
  skipped += other.skipped;
  for (const auto& one : other.failing)
    if (failing.size() < max_failing) failing.push_back(one);
}

Result<TestSummary> parse_junit(std::string_view xml) { return Reader(xml).read(); }

}  // namespace slipway::hub
