// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/files.h"
#include "base/strings.h"

namespace slipway::cli {
namespace {

void out(std::string_view text) { (void)write_all(STDOUT_FILENO, text); }
void err(std::string_view text) { (void)write_all(STDERR_FILENO, text); }

std::vector<std::string> words_of(std::string_view path) {
  std::vector<std::string> words;
  for (const auto part : split(path, ' ')) words.emplace_back(part);
  return words;
}

std::unexpected<Error> usage(std::string message) { return std::unexpected(Error{ErrorCode::invalid, std::move(message), {"usage"}}); }
bool is_usage(const Error& error) { return std::ranges::find(error.places, "usage") != error.places.end(); }

struct Arity {
  std::size_t least = 0, most = 0;
};

Arity arity_of(const Command& command) {
  Arity arity;
  if (command.arguments.empty()) return arity;
  for (const auto word : split(command.arguments, ' ')) {
    const bool many = word.find("...") != word.npos;
    if (!word.starts_with('[')) ++arity.least;
    arity.most = many ? 1000 : arity.most + 1;
  }
  return arity;
}

}  // namespace

Exit exit_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::unauthenticated:
    case ErrorCode::forbidden: return Exit::unauthenticated;
    case ErrorCode::timeout: return Exit::timeout;
    default: return Exit::other;
  }
}

Flag output_flag() { return {"output", 'o', "FORMAT", "json, yaml, name, wide or jsonpath=TEMPLATE; a table without it", "", false}; }

std::vector<Flag> with_common(std::vector<Flag> flags) {
  flags.push_back({"namespace", 'n', "NAME", "the namespace", "default", false});
  flags.push_back({"kubeconfig", 0, "FILE", "how to reach the plane (else KUBECONFIG, else the data folder's)", "", false});
  flags.push_back({"context", 0, "NAME", "the context of the kubeconfig", "", false});
  return flags;
}

std::string Invocation::get(std::string_view flag) const {
  const auto found = values_.find(std::string(flag));
  if (found != values_.end() && !found->second.empty()) return found->second.back();
  const auto fallback = fallbacks_.find(std::string(flag));
  return fallback == fallbacks_.end() ? std::string() : fallback->second;
}

std::vector<std::string> Invocation::all(std::string_view flag) const {
  const auto found = values_.find(std::string(flag));
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

Result<std::int64_t> Invocation::number(std::string_view flag) const {
  const auto value = parse_int(get(flag));
  if (!value) return usage(fmt::format("--{} takes a whole number, not \"{}\"", flag, printable(get(flag))));
  return *value;
}

const Command* find_command(const std::vector<Command>& commands, const std::vector<std::string>& words, std::size_t& used) {
  const Command* best = nullptr;
  used = 0;
  for (const Command& command : commands) {
    const auto path = words_of(command.path);
    if (path.size() > words.size() || path.size() <= used || !std::equal(path.begin(), path.end(), words.begin())) continue;
    best = &command;
    used = path.size();
  }
  return best;
}

namespace {

const Flag* find_flag(const Command& command, std::string_view word) {
  for (const Flag& flag : command.flags)
    if (flag.name == word || (word.size() == 1 && flag.letter == word[0])) return &flag;
  return nullptr;
}

// One word that begins with "-", and the word behind it where it takes that as its value.
Result<std::size_t> parse_flag(const Command& command, const std::vector<std::string>& words, std::size_t at, Invocation& out) {
  const std::string& word = words[at];
  const bool is_long = word.starts_with("--");
  std::string_view name = std::string_view(word).substr(is_long ? 2 : 1, is_long ? word.find('=') - 2 : 1);
  const Flag* flag = find_flag(command, name);
  if (!flag) return usage(fmt::format("unknown flag {}{}", is_long ? "--" : "-", printable(name)));
  const auto equal = is_long ? word.find('=') : std::string::npos;
  if (flag->value.empty()) {
    if (equal != word.npos && word.substr(equal + 1) == "false") return at + 1;
    if (equal != word.npos && word.substr(equal + 1) != "true") return usage(fmt::format("--{} is a switch: it takes no value", flag->name));
    if (!is_long && word.size() > 2) return usage(fmt::format("unknown flag {}", printable(word)));
    out.set(flag->name, "true");
    return at + 1;
  }
  if (equal != word.npos) return out.set(flag->name, word.substr(equal + 1)), at + 1;
  if (!is_long && word.size() > 2) return out.set(flag->name, word.substr(word[2] == '=' ? 3 : 2)), at + 1;
  if (at + 1 >= words.size()) return usage(fmt::format("--{} needs a value ({})", flag->name, flag->value));
  return out.set(flag->name, words[at + 1]), at + 2;
}

}  // namespace

Result<Invocation> parse(const Command& command, const std::vector<std::string>& words) {
  Invocation invocation;
  for (const Flag& flag : command.flags)
    if (!flag.fallback.empty()) invocation.set_fallback(flag.name, flag.fallback);
  if (command.raw) return invocation.arguments = words, invocation;
  bool flags_over = false;
  for (std::size_t at = 0; at < words.size();) {
    if (!flags_over && words[at] == "--") {
      flags_over = true;
      ++at;
    } else if (!flags_over && words[at].size() > 1 && words[at][0] == '-') {
      at = TRY(parse_flag(command, words, at, invocation));
    } else {
      invocation.arguments.push_back(words[at++]);
    }
  }
  const Arity arity = arity_of(command);
  if (invocation.arguments.size() < arity.least) return usage(fmt::format("{} needs {}", command.path, command.arguments));
  if (invocation.arguments.size() > arity.most) return usage(fmt::format("{} does not take \"{}\"", command.path, printable(invocation.arguments[arity.most])));
  return invocation;
}

std::string help_of(const Command& command) {
  std::string text = fmt::format("{}\n\nUsage: slipway {}{}{}{}\n", command.summary, command.path, command.arguments.empty() ? "" : " ", command.arguments,
                                 command.flags.empty() ? "" : " [flags]");
  if (!command.details.empty()) text += "\n" + command.details + "\n";
  if (command.flags.empty()) return text;
  text += "\nFlags:\n";
  for (const Flag& flag : command.flags) {
    const std::string name = (flag.letter ? fmt::format("-{}, ", flag.letter) : std::string("    ")) + "--" + flag.name + (flag.value.empty() ? "" : " " + flag.value);
    text += fmt::format("  {:<26} {}{}\n", name, flag.help, flag.fallback.empty() ? "" : fmt::format(" (default {})", flag.fallback));
  }
  return text;
}

std::string overview(const std::vector<Command>& commands, std::string_view group) {
  std::string text = group.empty() ? "Slipway takes a git push to a watched, self-correcting rollout on Kubernetes.\n\nUsage: slipway COMMAND [flags]\n\nCommands:\n"
                                   : fmt::format("Usage: slipway {} COMMAND [flags]\n\nCommands:\n", group);
  for (const Command& command : commands) {
    if (command.hidden || (!group.empty() && !command.path.starts_with(std::string(group) + " "))) continue;
    text += fmt::format("  {:<18} {}\n", command.path, command.summary);
  }
  return text + "\n`slipway COMMAND --help` says more of each.\n";
}

std::vector<std::string> complete(const std::vector<Command>& commands, const std::vector<std::string>& words) {
  std::set<std::string> found;
  const std::string last = words.empty() ? "" : words.back();
  std::vector<std::string> before(words.begin(), words.empty() ? words.end() : words.end() - 1);
  std::size_t used = 0;
  if (const Command* command = find_command(commands, before, used); command && last.starts_with("-"))
    for (const Flag& flag : command->flags) found.insert("--" + flag.name);
  for (const Command& command : commands) {
    const auto path = words_of(command.path);
    if (command.hidden || path.size() <= before.size() || !std::equal(before.begin(), before.end(), path.begin())) continue;
    found.insert(path[before.size()]);
  }
  std::erase_if(found, [&](const auto& one) { return !one.starts_with(last); });
  return {found.begin(), found.end()};
}

std::string completion_script(std::string_view shell) {
  if (shell == "bash")
    return "_slipway() { mapfile -t COMPREPLY < <(slipway __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\"); }\ncomplete -o default -F _slipway slipway\n";
  if (shell == "zsh")
    return "#compdef slipway\n_slipway() { local -a found; found=(\"${(@f)$(slipway __complete \"${(@)words[2,CURRENT]}\")}\"); compadd -- $found; }\ncompdef _slipway slipway\n";
  if (shell == "fish") return "complete -c slipway -f -a '(slipway __complete (commandline -opc)[2..] (commandline -ct))'\n";
  if (shell == "powershell")
    return "Register-ArgumentCompleter -Native -CommandName slipway -ScriptBlock { param($word, $ast, $at)\n"
           "  $words = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { \"$_\" }); if ($word -eq '') { $words += '' }\n"
           "  slipway __complete @words }\n";
  return {};
}

namespace {

int report(const Error& error) {
  const bool wrong_usage = is_usage(error);
  Error shown = error;
  std::erase(shown.places, "usage");
  err("error: " + printable(shown.to_string()) + "\n");
  return static_cast<int>(wrong_usage ? Exit::usage : exit_of(error.code));
}

bool asks_for_help(const std::vector<std::string>& words) {
  for (const auto& word : words) {
    if (word == "--") return false;
    if (word == "-h" || word == "--help") return true;
  }
  return false;
}

int unknown(const std::vector<Command>& commands, const std::vector<std::string>& words) {
  const bool is_group = std::ranges::any_of(commands, [&](const Command& c) { return !words.empty() && c.path.starts_with(words[0] + " "); });
  if (words.empty() || words[0] == "help" || words[0] == "-h" || words[0] == "--help") return out(overview(commands)), 0;
  if (is_group && (words.size() == 1 || asks_for_help(words))) return out(overview(commands, words[0])), words.size() == 1 ? 2 : 0;
  err(fmt::format("error: unknown command \"{}\"; `slipway --help` lists them\n", printable(words[0])));
  return static_cast<int>(Exit::usage);
}

}  // namespace

int run_command_line(const std::vector<Command>& commands, int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "__complete") {
    for (const auto& one : complete(commands, {words.begin() + 1, words.end()})) out(one + "\n");
    return 0;
  }
  std::size_t used = 0;
  const std::vector<std::string> asked = !words.empty() && words[0] == "--version" ? std::vector<std::string>{"version"} : words;
  const Command* command = find_command(commands, asked, used);
  if (!command) return unknown(commands, words);
  const std::vector<std::string> rest(asked.begin() + static_cast<std::ptrdiff_t>(used), asked.end());
  if (!command->raw && asks_for_help(rest)) return out(help_of(*command)), 0;
  const auto invocation = parse(*command, rest);
  if (!invocation) {
    const int code = report(invocation.error());
    err(fmt::format("`slipway {} --help` says how it is used\n", command->path));
    return code;
  }
  const auto done = command->run(*invocation);
  return done ? static_cast<int>(*done) : report(done.error());
}

}  // namespace slipway::cli
