// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/ignore.h"

#include <doctest/doctest.h>

#include <array>

namespace slipway::dockerfile {
namespace {

bool ignored(std::string_view rules, std::string_view path) { return IgnoreRules::parse(rules).value().ignores(path); }

}  // namespace

TEST_CASE("rules of a .dockerignore decide as they do for docker build") {
  struct Case {
    std::string_view rules, path;
    bool out;
  };
  constexpr std::array cases{
      Case{"*.md", "README.md", true},
      Case{"*.md", "docs/a.md", false},
      Case{"**/*.md", "docs/a.md", true},
      Case{"**/*.md", "a.md", true},
      Case{"docs", "docs/deep/a.md", true},
      Case{"docs/", "docs/a", true},
      Case{"/docs", "docs/a", true},
      Case{"docs", "olddocs", false},
      Case{"**", "any/thing", true},
      Case{"*", "any/thing", true},
      Case{"*\n!src", "src/main.c", false},
      Case{"*\n!src/**\nsrc/*.o", "src/main.o", true},
      Case{"*\n!src/**\nsrc/*.o", "src/main.c", false},
      Case{"*.md\n!README.md", "README.md", false},
      Case{"!README.md\n*.md", "README.md", true},
      Case{"# a comment\n  temp?  ", "temp1", true},
      Case{"temp?", "temp12", false},
      Case{"a/**/z", "a/z", true},
      Case{"a/**/z", "a/b/c/z", true},
      Case{"a/**/z", "a/bz", false},
      Case{"**/node_modules", "web/node_modules/x/y", true},
      Case{"[ab].c", "a.c", true},
      Case{"[^ab].c", "a.c", false},
      Case{"[^ab].c", "c.c", true},
      Case{"\\*.c", "*.c", true},
      Case{"\\*.c", "x.c", false},
      Case{"./a/../b", "b", true},
      Case{"", "a", false},
  };
  for (const Case& one : cases) {
    CAPTURE(one.rules);
    CAPTURE(one.path);
    CHECK(ignored(one.rules, one.path) == one.out);
  }
}

TEST_CASE("rules that mean nothing are refused with their line") {
  CHECK(IgnoreRules::parse("a\n!\n").error().message.find(".dockerignore:2") != std::string::npos);
  CHECK(IgnoreRules::parse("a\n[x\n").error().to_string().find(".dockerignore:2") != std::string::npos);
  CHECK(IgnoreRules::parse(std::string(max_ignore_file + 1, 'a')).error().code == ErrorCode::too_large);
}

TEST_CASE("a glob fits within one component") {
  CHECK(glob_matches("*.c", "main.c").value());
  CHECK(glob_matches("ma?n.[ch]", "main.h").value());
  CHECK_FALSE(glob_matches("*", "a/b").value());
  CHECK(glob_matches("**", "ab").value());
  CHECK_FALSE(glob_matches("[", "a").has_value());
  CHECK_FALSE(glob_matches("a\\", "a").has_value());
}

TEST_CASE("many stars take no long time") { CHECK_FALSE(glob_matches(std::string(2000, '*') + "b", std::string(2000, 'a')).value()); }

}  // namespace slipway::dockerfile
