// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/plan.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ci/dockerfile/graph.h"
#include "ci/dockerfile/words.h"

namespace slipway::dockerfile {
namespace {

Result<Build> planned(std::string_view text, const Options& options = {}, std::map<std::string, BaseImage> images = {}) {
  const File file = TRY(read_lines(text, "Dockerfile"));
  const Outline lines = TRY(outline(file, options));
  for (const std::string& image : lines.images) images.try_emplace(image);
  return plan(file, lines, options, images);
}

Stage last(std::string_view text, const Options& options = {}, std::map<std::string, BaseImage> images = {}) {
  auto build = planned(text, options, std::move(images));
  REQUIRE_MESSAGE(build.has_value(), build.error().to_string());
  return build->stages.back();
}

Run run_of(const Stage& stage, std::size_t index) { return std::get<Run>(stage.steps.at(index).action); }
Copy copy_of(const Stage& stage, std::size_t index) { return std::get<Copy>(stage.steps.at(index).action); }
std::string error_of(std::string_view text, const Options& options = {}) {
  const auto build = planned(text, options);
  return build ? "" : build.error().to_string();
}
bool has(const std::vector<std::string>& list, std::string_view item) { return std::ranges::find(list, item) != list.end(); }

}  // namespace

TEST_CASE("lines are continued, comments between them left out, instructions read in any case") {
  const Stage stage = last("from scratch\n  run echo a \\\n# not this\n\n    && echo b\\\n\n  && echo c\n");
  CHECK(run_of(stage, 0).arguments == std::vector<std::string>{"/bin/sh", "-c", "echo a     && echo b  && echo c"});
  CHECK(stage.steps[0].place == "Dockerfile:2:3");
}

TEST_CASE("the escape directive changes the character of continuation") {
  CHECK(run_of(last("# escape=`\nFROM scratch\nRUN dir c:\\ `\n  /b\n"), 0).arguments[2] == "dir c:\\   /b");
  CHECK(error_of("# escape=x\nFROM scratch\n").find("Dockerfile:1:1") != std::string::npos);
  CHECK(error_of("# syntax=docker/dockerfile:1.7\nFROM scratch\nCMD a\n").empty());
  CHECK(error_of("# syntax=example.com/other\nFROM scratch\n").find("is not supported; docker/dockerfile is (Dockerfile:1:1)") != std::string::npos);
}

TEST_CASE("shell and JSON form of commands") {
  const Stage stage = last("FROM scratch\nRUN [\"a\", \"b c\"]\nRUN [ -f x ] && y\nSHELL [\"/bin/bash\", \"-ec\"]\nRUN z\nENTRYPOINT [\"/x\"]\nCMD a $B\n");
  CHECK(run_of(stage, 0).arguments == std::vector<std::string>{"a", "b c"});
  CHECK(run_of(stage, 1).arguments[2] == "[ -f x ] && y");
  CHECK(run_of(stage, 3).arguments == std::vector<std::string>{"/bin/bash", "-ec", "z"});
  CHECK(stage.defaults.entrypoint == std::vector<std::string>{"/x"});
  CHECK(stage.defaults.command == std::vector<std::string>{"/bin/bash", "-ec", "a $B"});
}

TEST_CASE("ENTRYPOINT drops the command of the base image, not that of its own stage") {
  BaseImage base;
  base.configuration.defaults.command = {"base"};
  CHECK(last("FROM b\nENTRYPOINT [\"e\"]\n", {}, {{"b", base}}).defaults.command.empty());
  CHECK(last("FROM b\nCMD [\"mine\"]\nENTRYPOINT [\"e\"]\n", {}, {{"b", base}}).defaults.command == std::vector<std::string>{"mine"});
}

TEST_CASE("variables are replaced as a shell does") {
  const std::map<std::string, std::string> known{{"a", "1"}, {"empty", ""}, {"path", "lib/x.tar.gz"}};
  const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = known.find(std::string(name));
    return found == known.end() ? std::nullopt : std::optional(found->second);
  };
  constexpr std::array<std::array<std::string_view, 2>, 26> cases{{
      {"$a", "1"}, {"${a}b", "1b"}, {"$ab", ""}, {"\\$a", "$a"}, {"'$a'", "$a"}, {"\"$a\"", "1"}, {"\"\\$a\"", "$a"}, {"\"\\n\"", "\\n"},
      {"${x:-d}", "d"}, {"${empty:-d}", "d"}, {"${empty-d}", ""}, {"${a:-d}", "1"}, {"${a:+s}", "s"}, {"${x:+s}", ""}, {"${empty+s}", "s"},
      {"${x:-${a}}", "1"}, {"${x:-\"a b\"}", "a b"}, {"$", "$"}, {"a$", "a$"}, {"${path#*/}", "x.tar.gz"}, {"${path%.*}", "lib/x.tar"}, {"${path%%.*}", "lib/x"},
      {"${path/x/y}", "lib/y.tar.gz"}, {"${path//[}", ""}, {"${a:?no}", "1"}, {"a\\ b", "a b"},
  }};
  for (const auto& [text, wanted] : cases) {
    CAPTURE(text);
    const auto got = expand(text, '\\', lookup);
    if (text == "${path//[}") CHECK_FALSE(got.has_value());
    else CHECK(got.value() == wanted);
  }
  CHECK_FALSE(expand("${x:?gone}", '\\', lookup).has_value());
  CHECK_FALSE(expand("${a", '\\', lookup).has_value());
  CHECK_FALSE(expand("'a", '\\', lookup).has_value());
  CHECK_FALSE(expand("${a~b}", '\\', lookup).has_value());
  CHECK(expand_words("$path 'a b' $empty c", '\\', lookup).value() == std::vector<std::string>{"lib/x.tar.gz", "a b", "c"});
}

TEST_CASE("one ENV sees the values before it") {
  const Stage stage = last("FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nENV old way of $abc\n");
  CHECK(has(stage.defaults.environment, "abc=bye"));
  CHECK(has(stage.defaults.environment, "def=hello"));
  CHECK(has(stage.defaults.environment, "ghi=bye"));
  CHECK(has(stage.defaults.environment, "old=way of bye"));
}

TEST_CASE("an argument counts from its line on, in its stage and those that begin with it") {
  const Options options{.arguments = {{"V", "2"}, {"HTTP_PROXY", "http://p"}, {"NEVER", "1"}}};
  constexpr std::string_view text = "ARG V=1\nARG B=base\nFROM $B:$V AS one\nRUN before\nARG V\nARG W=${V}x\nRUN after\nFROM one AS two\nRUN child\nFROM scratch\nCOPY --from=two / /\nRUN other\n";
  const auto build = planned(text, options).value();
  REQUIRE(build.stages.size() == 3);
  CHECK(build.stages[0].base.image == "base:2");
  CHECK_FALSE(has(run_of(build.stages[0], 0).environment, "V=2"));
  CHECK(has(run_of(build.stages[0], 3).environment, "V=2"));
  CHECK(has(run_of(build.stages[0], 3).environment, "W=2x"));
  CHECK(has(run_of(build.stages[1], 0).environment, "W=2x"));
  CHECK_FALSE(has(run_of(build.stages[2], 1).environment, "V=2"));
  CHECK(run_of(build.stages[2], 1).proxies == std::vector<std::string>{"HTTP_PROXY=http://p"});
  CHECK(build.warnings == std::vector<std::string>{"build argument NEVER is not used"});
}

TEST_CASE("ENV wins over ARG, and the platform's arguments need a declaration in a stage") {
  const Stage stage = last("FROM scratch\nARG a=arg\nENV a=env\nARG TARGETARCH\nRUN x\n");
  CHECK(has(run_of(stage, 3).environment, "a=env"));
  CHECK_FALSE(has(run_of(stage, 3).environment, "a=arg"));
  CHECK(has(run_of(stage, 3).environment, "TARGETARCH=amd64"));
}

TEST_CASE("only the stages that the target needs are planned") {
  constexpr std::string_view text = "FROM a AS one\nRUN 1\nFROM b AS unused\nRUN 2\nFROM one AS three\nRUN 3\nFROM scratch\nCOPY --from=0 /x /\n";
  const auto build = planned(text).value();
  REQUIRE(build.stages.size() == 2);
  CHECK(build.stages[0].name == "one");
  CHECK(build.stages[1].needs == std::vector<std::size_t>{0});
  CHECK(planned(text, {.target = "Three"}).value().stages.back().name == "three");
  CHECK(planned(text, {.target = "1"}).value().stages.size() == 1);
  CHECK(error_of(text, {.target = "nine"}).find("could not be found") != std::string::npos);
  CHECK(outline(read_lines(text, "f").value(), {}).value().images == std::vector<std::string>{"a"});
  const auto graph = graph_of(build).value();
  CHECK(graph.nodes()[1].needs[0].from.index == 0);
}

TEST_CASE("sources and destinations of COPY") {
  const Stage stage = last("FROM scratch\nWORKDIR /a\nWORKDIR b\nCOPY x y ./\nCOPY --chown=1:2 --chmod=640 --link x z\nCOPY [\"a b\", \"/c d/\"]\nADD t.tar /\n");
  CHECK(stage.defaults.working_folder == "/a/b");
  CHECK(copy_of(stage, 2).destination == "/a/b/");
  CHECK(copy_of(stage, 2).sources == std::vector<std::string>{"x", "y"});
  CHECK(copy_of(stage, 3).destination == "/a/b/z");
  CHECK(copy_of(stage, 3).owner == "1:2");
  CHECK(copy_of(stage, 3).mode == 0640u);
  CHECK(copy_of(stage, 4).sources == std::vector<std::string>{"a b"});
  CHECK(copy_of(stage, 4).destination == "/c d/");
  CHECK(copy_of(stage, 5).archives == Copy::Archives::unpack);
}

TEST_CASE("here-documents are scripts, files and input of commands") {
  const Stage stage = last("FROM scratch\nENV v=1\nRUN <<EOF\necho $v\nEOF\nRUN <<X\n#!/bin/python\nprint()\nX\nRUN cat <<A > f\na\nA\nCOPY <<-\"Q\" <<P /d/\n\tkeep $v\n\tQ\nreplace $v \"x\"\nP\n");
  CHECK(run_of(stage, 1).arguments[2] == "echo $v\n");
  CHECK(run_of(stage, 2).arguments == std::vector<std::string>{"/dev/pipes/X"});
  CHECK(run_of(stage, 2).scripts[0].second == "#!/bin/python\nprint()\n");
  CHECK(run_of(stage, 3).arguments[2] == "cat <<A > f\na\nA\n");
  const Copy copy = copy_of(stage, 4);
  CHECK(copy.inline_files[0] == std::pair<std::string, std::string>{"Q", "keep $v\n"});
  CHECK(copy.inline_files[1] == std::pair<std::string, std::string>{"P", "replace 1 \"x\"\n"});
  CHECK(error_of("FROM scratch\nRUN <<E\nx\n").find("is not ended (Dockerfile:2:1)") != std::string::npos);
}

TEST_CASE("the rest of the configuration") {
  const Stage stage = last("FROM scratch\nEXPOSE 80 90-91/udp\nVOLUME /a /b\nLABEL a=\"x y\" b=z\nUSER app:staff\nSTOPSIGNAL SIGINT\nMAINTAINER me\n"
                           "HEALTHCHECK --interval=1m30s --retries=3 CMD curl x\n", {.labels = {{"b", "cli"}}});
  CHECK(stage.defaults.exposed_ports == std::vector<std::string>{"80/tcp", "90/udp", "91/udp"});
  CHECK(stage.defaults.volumes == std::vector<std::string>{"/a", "/b"});
  CHECK(stage.defaults.labels == std::map<std::string, std::string>{{"a", "x y"}, {"b", "cli"}});
  CHECK(stage.defaults.user == "app:staff");
  CHECK(stage.author == "me");
  CHECK(stage.defaults.health_check["Interval"].as_int() == 90'000'000'000);
  CHECK(stage.defaults.health_check["Test"][1].as_string() == "curl x");
}

TEST_CASE("mounts of RUN") {
  const Stage stage = last("FROM scratch AS s\nFROM scratch\nWORKDIR /w\nRUN --mount=type=cache,target=/c,id=k --mount=type=tmpfs,target=t --mount=from=s,source=/x,target=/y --network=none go\n");
  const Run run = run_of(stage, 1);
  REQUIRE(run.mounts.size() == 3);
  CHECK(run.mounts[0].id == "k");
  CHECK(run.mounts[1].target == "/w/t");
  CHECK(run.mounts[2].from == Origin{Origin::Kind::stage, {}, 0});
  CHECK(run.network == Network::none);
}

TEST_CASE("what is not supported is refused with its line") {
  constexpr std::array<std::array<std::string_view, 2>, 27> cases{{
      {"FROM scratch\nFOO bar\n", "unknown instruction: FOO (Dockerfile:2:1)"},
      {"RUN x\n", "stands before the first FROM (Dockerfile:1:1)"},
      {"FROM\n", "needs an argument"},
      {"FROM a b\n", "FROM takes one name"},
      {"FROM ${NONE}\n", "should not be blank"},
      {"FROM --platform=linux/arm64 a\n", "linux/arm64 is not supported"},
      {"FROM a AS 1x\n", "invalid name for build stage"},
      {"FROM scratch\nADD https://x/y /\n", "ADD of https://x/y is not supported"},
      {"FROM scratch\nADD --checksum=sha256:0 a /\n", "ADD --checksum is not supported (Dockerfile:2:1)"},
      {"FROM scratch\nCOPY --parents a /\n", "COPY --parents is not supported"},
      {"FROM scratch\nCOPY --chmod=u+x a /\n", "an octal number is"},
      {"FROM scratch\nCOPY a b /c\n", "must be a directory and end with a /"},
      {"FROM scratch\nCOPY a\n", "at least two arguments"},
      {"FROM scratch\nCOPY --from=$x a b\n", "variables are not expanded"},
      {"FROM scratch\nCOPY --from=3 a b\n", "invalid stage index 3"},
      {"FROM scratch AS me\nCOPY --from=me a b\n", "takes from itself"},
      {"FROM scratch\nONBUILD RUN x\n", "ONBUILD is not supported"},
      {"FROM scratch\nRUN --network=host x\n", "RUN --network=host is not supported"},
      {"FROM scratch\nRUN --security=insecure x\n", "is not supported"},
      {"FROM scratch\nRUN --mount=type=secret,id=x y\n", "type=secret is not supported"},
      {"FROM scratch\nRUN --mount=type=ssh y\n", "type=ssh is not supported"},
      {"FROM scratch\nENV a\n", "needs a name and a value"},
      {"FROM scratch\nENV a=1 b\n", "can't find ="},
      {"FROM scratch\nSHELL bash\n", "JSON form"},
      {"FROM scratch\nEXPOSE 99999\n", "invalid port"},
      {"FROM scratch\nHEALTHCHECK CMD\n", "missing command"},
      {"FROM scratch\nUSER --x=1 a\n", "unknown flag of USER: --x"},
  }};
  for (const auto& [text, wanted] : cases) {
    CAPTURE(text);
    CHECK_MESSAGE(error_of(text).find(wanted) != std::string::npos, error_of(text));
  }
}

TEST_CASE("an image with ONBUILD is refused where it is named") {
  CHECK(planned("FROM scratch\nFROM a\n", {}, {{"a", {{}, true}}}).error().to_string() == "a has ONBUILD instructions, which are not supported (Dockerfile:2:1)");
}

TEST_CASE("files and values that grow without bound are refused") {
  std::string text = "FROM scratch\nENV a=0123456789abcdef\n";
  for (int i = 0; i < 40; ++i) text += "ENV a=$a$a\n";
  CHECK(planned(text).error().code == ErrorCode::too_large);
  std::string wide = "FROM scratch\n";
  for (int i = 0; i < 40; ++i) wide += "ENV v" + std::to_string(i) + "=" + std::string(10'000, 'x') + "\n";
  CHECK(planned(wide).error().code == ErrorCode::too_large);
  CHECK(read_lines(std::string(max_file + 1, '#'), "f").error().code == ErrorCode::too_large);
  std::string many = "FROM scratch\n";
  for (std::size_t i = 0; i < max_instructions; ++i) many += "CMD x\n";
  CHECK(read_lines(many, "f").error().code == ErrorCode::too_large);
  std::string deep = "FROM scratch\nENV a=";
  for (int i = 0; i < 100; ++i) deep += "${a:-";
  CHECK(planned(deep + "\n").error().code == ErrorCode::too_large);
  std::string stages;
  for (std::size_t i = 0; i <= max_stages; ++i) stages += "FROM scratch\n";
  CHECK(planned(stages).error().code == ErrorCode::too_large);
}

TEST_CASE("the same inputs give the same plan") {
  constexpr std::string_view text = "FROM a AS b\nARG x=1\nRUN echo $x\nFROM scratch\nCOPY --from=b /q /\n";
  CHECK(text::to_json(to_json(planned(text).value())) == text::to_json(to_json(planned(text).value())));
}

}  // namespace slipway::dockerfile
