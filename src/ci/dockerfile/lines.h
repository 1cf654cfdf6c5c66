// SPDX-License-Identifier: Apache-2.0
// From the text of a Dockerfile to its instructions: directives, comments, continued lines, flags and here-documents.
// Pure. Source: docs.docker.com, Dockerfile reference, "Format", "Parser directives", "Here-documents".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace slipway::dockerfile {

inline constexpr std::size_t max_file = 1024 * 1024;
inline constexpr std::size_t max_instructions = 2'000;
inline constexpr std::size_t max_documents = 100;  // here-documents of one instruction

struct Flag {
  std::string name, value;  // --name=value, quotes removed, variables not yet replaced
};

enum class Variables { replace, keep };  // <<EOF or <<"EOF"

struct HereDocument {
  std::string name, content;
  Variables variables = Variables::replace;
};

struct Instruction {
  std::string keyword;  // upper case
  std::vector<Flag> flags;
  std::string rest;     // behind the flags, continued lines joined
  std::vector<HereDocument> documents;
  std::size_t line = 1, column = 1;
  std::string text() const;  // as one line, for people
};

struct File {
  std::string name;
  char escape = '\\';
  std::vector<Instruction> instructions;
};

// Unknown instructions and flags that no instruction takes are refused with name:line:column.
Result<File> read_lines(std::string_view text, std::string_view name);

// "Dockerfile:3:1"
std::string place_of(std::string_view file, const Instruction& instruction);

}  // namespace slipway::dockerfile
