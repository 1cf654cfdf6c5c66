// SPDX-License-Identifier: Apache-2.0
// The command line: a table of commands from which parsing, --help, completion and the pages in docs/ are made.
//
// stdout holds results, stderr progress and errors; an error names the next step (conventions C1, C2, C5).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::cli {

// What a process answers to its caller (C5).
enum class Exit : int { ok = 0, failed = 1, usage = 2, other = 3, unauthenticated = 4, cancelled = 5, timeout = 124, interrupted = 130 };
Exit exit_of(ErrorCode code);

struct Flag {
  std::string name;         // "namespace"
  char letter = 0;          // 'n'; 0: none
  std::string value;        // what its value is called; empty: a switch
  std::string help;
  std::string fallback = {};
  bool repeated = false;
};

class Invocation {
 public:
  std::vector<std::string> arguments;  // without flags
  bool has(std::string_view flag) const { return values_.contains(std::string(flag)); }
  std::string get(std::string_view flag) const;                 // the last one given, else the fallback
  std::vector<std::string> all(std::string_view flag) const;
  Result<std::int64_t> number(std::string_view flag) const;
  void set(const std::string& flag, std::string value) { values_[flag].push_back(std::move(value)); }
  void set_fallback(const std::string& flag, std::string value) { fallbacks_[flag] = std::move(value); }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::map<std::string, std::string> fallbacks_;
};

struct Command {
  std::string path;        // "repo create"
  std::string arguments;   // "NAME", "NAME [PATH]", "[NAME...]"
  std::string summary;     // one line
  std::string details;     // may be empty
  std::vector<Flag> flags;
  std::function<Result<Exit>(const Invocation&)> run;
  bool hidden = false;     // a process of our own, not for people
  bool raw = false;        // everything behind the name is passed on as arguments
};

// Flags that every command that speaks to a plane takes; they are appended by with_common().
std::vector<Flag> with_common(std::vector<Flag> flags);
Flag output_flag();

// Runs what argv asks for. Errors are printed as "error: …" with exit codes as above.
int run_command_line(const std::vector<Command>& commands, int argc, char** argv);

// Pure pieces, for tests and for the documentation.
Result<Invocation> parse(const Command& command, const std::vector<std::string>& words);
const Command* find_command(const std::vector<Command>& commands, const std::vector<std::string>& words, std::size_t& used);
std::string help_of(const Command& command);
std::string overview(const std::vector<Command>& commands, std::string_view group = {});
std::string completion_script(std::string_view shell);
std::vector<std::string> complete(const std::vector<Command>& commands, const std::vector<std::string>& words);

}  // namespace slipway::cli
