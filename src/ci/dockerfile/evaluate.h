// SPDX-License-Identifier: Apache-2.0
// One stage, instruction by instruction: variables replaced, the configuration carried along. Internal to ci/dockerfile.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ci/dockerfile/arguments.h"

namespace slipway::dockerfile {

// What a stage hands to a stage that begins with it.
struct StageState {
  oci::ContainerDefaults defaults;
  std::map<std::string, std::string> arguments;  // declared, with a value
  std::string author;
};

class StageEvaluator final {
 public:
  StageEvaluator(const File& file, const Outline& outline, const Options& options, std::size_t number, StageState state)
      : file_(file), outline_(outline), options_(options), number_(number), state_(std::move(state)) {}

  Result<std::vector<Step>> run();
  const StageState& state() const { return state_; }
  const std::set<std::string>& used_arguments() const { return used_; }

 private:
  Result<Step> evaluate(const Instruction& one);
  Result<Step> add_or_copy(const Instruction& one);
  Result<Step> run_step(const Instruction& one);
  Result<> set_environment(const Instruction& one);
  Result<> set_labels(const Instruction& one);
  Result<> declare(const Instruction& one);
  Result<> expose(const Instruction& one);
  Result<> health_check(const Instruction& one);
  Result<Step> working_folder(const Instruction& one);
  Result<> volumes(const Instruction& one);
  Result<Mount> mount(std::string_view text);
  Result<> mount_field(Mount& out, std::string_view field);
  Result<std::vector<std::string>> command_of(const Instruction& one) const;
  Result<std::vector<std::pair<std::string, std::string>>> pairs(const Instruction& one);

  Lookup lookup() const;
  Result<std::string> word(std::string_view text) const { return expand(text, file_.escape, lookup()); }
  std::string absolute(std::string_view path) const;
  std::vector<std::string> shell() const;
  std::vector<std::string> environment() const;

  const File& file_;
  const Outline& outline_;
  const Options& options_;
  const std::size_t number_;
  StageState state_;
  std::set<std::string> used_;
  bool command_set_ = false;
};

// ["a", "b"] as a list of words; nothing where it is no JSON array; an error where it is one of other things than strings.
Result<std::optional<std::vector<std::string>>> json_form(std::string_view text);
// "80", "80-82/udp" -> "80/tcp", …
Result<std::vector<std::string>> parse_ports(std::string_view text);
// Go's durations as a health check takes them: "1m30s", "500ms". In nanoseconds.
Result<std::int64_t> parse_duration(std::string_view text);

}  // namespace slipway::dockerfile
