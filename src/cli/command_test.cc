// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <doctest/doctest.h>

namespace slipway::cli {
namespace {

const std::vector<Command> commands{
    {.path = "app create", .arguments = "NAME", .summary = "Make an app", .flags = with_common({{"path", 'p', "PATH", "the folder", "deploy"}, {"wait", 'w', "", "wait"}}), .run = {}},
    {.path = "app list", .arguments = "", .summary = "List apps", .flags = with_common({output_flag()}), .run = {}},
    {.path = "why", .arguments = "TARGET", .summary = "Tell why", .run = {}},
};

TEST_CASE("flags may stand anywhere, long, short, joined or apart; the fallback holds otherwise") {
  const auto a = parse(commands[0], {"-n", "shop", "web", "--path=k8s", "-w"}).value();
  CHECK(a.arguments == std::vector<std::string>{"web"});
  CHECK(a.get("namespace") == "shop");
  CHECK(a.get("path") == "k8s");
  CHECK(a.has("wait"));
  const auto b = parse(commands[0], {"-nshop", "web"}).value();
  CHECK(b.get("namespace") == "shop");
  CHECK(b.get("path") == "deploy");
  CHECK(parse(commands[0], {"--", "-web"}).value().arguments[0] == "-web");
}

TEST_CASE("wrong use is named: an unknown flag, a missing value, too few and too many arguments") {
  CHECK(parse(commands[0], {"web", "--nope"}).error().message == "unknown flag --nope");
  CHECK(parse(commands[0], {"web", "--path"}).error().message == "--path needs a value (PATH)");
  CHECK(parse(commands[0], {}).error().message == "app create needs NAME");
  CHECK(parse(commands[0], {"a", "b"}).error().message == "app create does not take \"b\"");
  CHECK(parse(commands[0], {"a", "--wait=maybe"}).error().message == "--wait is a switch: it takes no value");
}

TEST_CASE("completion knows the words of commands and their flags") {
  CHECK(complete(commands, {"a"}) == std::vector<std::string>{"app"});
  CHECK(complete(commands, {"app", ""}) == std::vector<std::string>{"create", "list"});
  CHECK(complete(commands, {"app", "list", "--o"}) == std::vector<std::string>{"--output"});
}

TEST_CASE("help names every flag with its value and default") {
  const std::string help = help_of(commands[0]);
  CHECK(help.find("Usage: slipway app create NAME [flags]") != std::string::npos);
  CHECK(help.find("-p, --path PATH") != std::string::npos);
  CHECK(help.find("(default deploy)") != std::string::npos);
}

}  // namespace
}  // namespace slipway::cli
