// SPDX-License-Identifier: Apache-2.0
// Version constraints as Masterminds/semver reads them.
#include <fmt/format.h>
#include <re2/re2.h>

#include <array>
#include <optional>

#include "base/strings.h"
#include "cd/helm/render.h"

namespace slipway::cd::helm {
namespace {

struct Version {
  std::array<long, 3> parts{};
  int given = 3;  // how many are no wildcards
  std::string pre;
};

std::optional<Version> parse_version(const std::string& text) {
  static const RE2 form(R"(v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?)");
  std::string parts[3];
  Version version;
  if (text.size() > 256 || !RE2::FullMatch(text, form, &parts[0], &parts[1], &parts[2], &version.pre)) return {};
  for (int i = 0; i < 3; ++i) {
    if (parts[i].empty() || !std::isdigit(static_cast<unsigned char>(parts[i][0]))) {
      version.given = i;
      break;
    }
    version.parts[static_cast<std::size_t>(i)] = std::atol(parts[i].c_str());
  }
  return version;
}

int compare_identifiers(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    if (a.empty() || b.empty()) return a.empty() ? -1 : 1;
    std::string x(a.substr(0, a.find('.'))), y(b.substr(0, b.find('.')));
    bool nx = x.find_first_not_of("0123456789") == x.npos, ny = y.find_first_not_of("0123456789") == y.npos;
    if (nx && ny && std::atol(x.c_str()) != std::atol(y.c_str())) return std::atol(x.c_str()) < std::atol(y.c_str()) ? -1 : 1;
    if (nx != ny) return nx ? -1 : 1;
    if (!nx && x != y) return x < y ? -1 : 1;
    a.remove_prefix(std::min(a.size(), x.size() + 1));
    b.remove_prefix(std::min(b.size(), y.size() + 1));
  }
  return 0;
}

int compare(const Version& a, const Version& b) {
  if (a.parts != b.parts) return a.parts < b.parts ? -1 : 1;
  if (a.pre.empty() || b.pre.empty()) return a.pre.empty() ? (b.pre.empty() ? 0 : 1) : -1;
  return compare_identifiers(a.pre, b.pre);
}

Version after(Version version, int part) {
  auto at = static_cast<std::size_t>(part);
  ++version.parts[at];
  for (std::size_t i = at + 1; i < 3; ++i) version.parts[i] = 0;
  version.pre.clear();
  return version;
}

bool matches(std::string op, const Version& want, const Version& have) {
  if (!have.pre.empty() && want.pre.empty()) return false;
  if (op == "=<") op = "<=";
  if (op == "=>") op = ">=";
  if (want.given == 0) return op != "!=" && op != ">" && op != "<";
  bool below_next = want.given == 3 || compare(have, after(want, want.given - 1)) < 0;
  if (op.empty() || op == "=") return want.given == 3 ? compare(have, want) == 0 : compare(have, want) >= 0 && below_next;
  if (op == "!=") return want.given == 3 ? compare(have, want) != 0 : !(compare(have, want) >= 0 && below_next);
  if (op == ">") return want.given == 3 ? compare(have, want) > 0 : compare(have, want) > 0 && !below_next;
  if (op == "<") return compare(have, want) < 0;
  if (op == ">=") return compare(have, want) >= 0;
  if (op == "<=") return want.given == 3 ? compare(have, want) <= 0 : below_next;
  if (compare(have, want) < 0) return false;
  if (op == "^") {
    int part = want.parts[0] > 0 || want.given == 1 ? 0 : want.parts[1] > 0 || want.given == 2 ? 1 : 2;
    return compare(have, after(want, part)) < 0;
  }
  return compare(have, after(want, want.given == 1 ? 0 : 1)) < 0;  // ~
}

}  // namespace

Result<bool> version_matches(std::string_view constraint, std::string_view version) {
  auto have = parse_version(std::string(version));
  if (!have || have->given == 0) return fail(ErrorCode::invalid, "invalid semantic version");
  static const RE2 range(R"((\S+)\s+-\s+(\S+))"), term(R"(\s*,?\s*(=<|=>|>=|<=|!=|~>|=|>|<|~|\^)?\s*([^\s,|<>=!~^]+))");
  std::string text(constraint);
  if (text.size() > 1024) return fail(ErrorCode::too_large, "improper constraint");
  RE2::GlobalReplace(&text, range, ">=\\1 <=\\2");
  bool any = false;
  for (std::size_t at = 0; at <= text.size();) {
    std::size_t bar = std::min(text.find("||", at), text.size());
    std::string part = text.substr(at, bar - at);
    re2::StringPiece rest(part);
    bool all = true, some = false;
    std::string op, want;
    while (RE2::Consume(&rest, term, &op, &want)) {
      auto bound = parse_version(want);
      if (!bound) return fail(ErrorCode::invalid, fmt::format("improper constraint: {}", constraint));
      some = true;
      all = all && matches(op, *bound, *have);
    }
    if (!some) return fail(ErrorCode::invalid, fmt::format("improper constraint: {}", constraint));
    any = any || all;
    at = bar + 2;
  }
  return any;
}

}  // namespace slipway::cd::helm
