// SPDX-License-Identifier: Apache-2.0
// Child processes, from argument arrays only: no shell, no inherited descriptor but those named (T3, T12).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace slipway {

// The program ignores SIGPIPE (main does so first): a child that does not read its input is not our end.
struct Command {
  std::vector<std::string> arguments;       // arguments[0] is the program: a path, or a name looked up in PATH
  std::vector<std::string> environment;     // "NAME=value"; the whole of it unless inherit_environment
  bool inherit_environment = true;          // then `environment` is added
  std::string folder;                       // working directory; empty: this process's
  std::string input;                        // stdin of run(); else /dev/null
  std::chrono::milliseconds timeout{60'000};
  std::size_t output_limit = 16 * 1024 * 1024;  // of stdout, and of stderr
  std::optional<uid_t> user;                // with the same number as group and no supplementary groups
  std::vector<int> keep_descriptors;        // stay open under the same number
  bool own_session = false;                 // setsid: survives a signal to our group
  bool die_with_parent = false;             // PR_SET_PDEATHSIG SIGKILL
};

struct Finished {
  int exit_code = 0;  // 128 + signal where one ended it
  std::string output;
  std::string errors;
  bool ok() const { return exit_code == 0; }
};

// Runs to the end. An error means that it could not be started, took too long (it is killed) or wrote too much; a
// non-zero exit code is not an error.
Result<Finished> run(const Command& command, std::stop_token stop = {});
// As run(), but a non-zero exit is an error too, with the first line of stderr.
Result<std::string> run_ok(const Command& command, std::stop_token stop = {});

enum class Stdio { null, inherit, pipe };

// A child that goes on beside us. The destructor kills (SIGKILL) and reaps it unless it was waited for or detached.
class Child final {
 public:
  static Result<Child> start(const Command& command, Stdio in, Stdio out, Stdio err);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return pid_; }
  UniqueFd& input() { return input_; }    // ours to write, where piped
  UniqueFd& output() { return output_; }  // ours to read
  UniqueFd& errors() { return errors_; }
  int pidfd() const { return pidfd_.get(); }  // readable once it has ended
  void kill(int signal) const;
  int wait();                      // blocks; exit code as in Finished
  std::optional<int> try_wait();   // nothing while it runs
  std::optional<int> wait_for(std::chrono::milliseconds limit);
  void detach() { pid_ = -1; }

 private:
  Child() = default;
  pid_t pid_ = -1;
  UniqueFd pidfd_, input_, output_, errors_;
};

}  // namespace slipway
