// SPDX-License-Identifier: Apache-2.0
#include "sandbox/runtime.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/strings.h"
#include "text/json.h"

namespace slipway::sandbox {
namespace {

constexpr const char* program_folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

std::string find_program(std::string_view name) {
  for (const char* folder : program_folders) {
    const std::string path = std::string(folder) + "/" + std::string(name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

// The pid that a runtime wrote, so that a command that outlives its time is ended inside the container too.
void kill_process_of(const std::string& pid_file) {
  const auto pid = parse_int(trim(read_file(pid_file, 64).value_or("")));
  if (pid && *pid > 1) ::kill(static_cast<pid_t>(*pid), SIGKILL);
}

}  // namespace

Command Runtime::start_command(const std::string& id, const std::string& bundle, const std::string& pid_file,
                               const std::string& error_log) const {
  return {.arguments = {program, "--root", root_folder, "--log", error_log, "--log-format", "json", "run", "--detach",
                        "--bundle", bundle, "--pid-file", pid_file, id},
          .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
          .inherit_environment = false,
          .timeout = runtime_timeout};
}

Command Runtime::remove_command(const std::string& id) const {
  return {.arguments = {program, "--root", root_folder, "delete", "--force", id},
          .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
          .inherit_environment = false,
          .timeout = runtime_timeout};
}

Result<Runtime> find_runtime(const CgroupTree& tree, const std::string& root_folder) {
  if (std::string runc = find_program("runc"); !runc.empty()) return Runtime{std::move(runc), root_folder};
  std::string crun = find_program("crun");
  if (crun.empty()) return fail(ErrorCode::unavailable, "no container runtime: apt-get install runc");
  if (tree.layout == CgroupLayout::hybrid)
    return fail(ErrorCode::unavailable, "crun refuses this machine's hybrid control groups: apt-get install runc");
  return Runtime{std::move(crun), root_folder};
}

Result<Finished> exec_in_container(const Runtime& runtime, const std::string& id, const std::vector<std::string>& command,
                                   std::chrono::milliseconds timeout, std::stop_token stop) {
  const TempFolder folder;
  const std::string pid_file = folder.path() + "/pid";
  Command exec{.arguments = {runtime.program, "--root", runtime.root_folder, "exec", "--pid-file", pid_file, id},
               .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
               .inherit_environment = false,
               .timeout = timeout,
               .output_limit = max_exec_output};
  exec.arguments.insert(exec.arguments.end(), command.begin(), command.end());
  auto finished = run(exec, stop);
  if (!finished) kill_process_of(pid_file);
  return finished;
}

std::string runtime_error(std::string_view json_log, std::string_view fallback) {
  std::string message(fallback);
  for (const std::string_view line : split_lines(json_log)) {
    const auto record = text::parse_json(line);
    if (record && (*record)["level"].as_string() == "error") message = (*record)["msg"].str();
  }
  return printable(message);
}

}  // namespace slipway::sandbox
