// SPDX-License-Identifier: Apache-2.0
#include "shim/step.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file_watch.h"
#include "base/files.h"
#include "base/process.h"
#include "base/strings.h"
#include "shim/log_stream.h"
#include "shim/workspaces.h"

namespace slipway::shim {
namespace {

constexpr std::chrono::minutes log_patience{10};
constexpr std::chrono::seconds kill_after{10};  // from SIGTERM at a time-out
constexpr std::size_t max_result = 512 * 1024;
constexpr std::size_t max_reports = 200;
constexpr std::size_t max_secret = 64 * 1024;

enum class Mark { passed, failed };

struct Ended {
  int exit_code = 0;
  std::string reason, message;
};

class StepRun final {
 public:
  StepRun(std::size_t index, const StepFolders& folders) : index_(index), folders_(folders), executor_(make_system_executor()) {}

  int run() {
    auto opened = open();
    Ended ended = opened ? run_turn() : Ended{1, "Error", opened.error().to_string()};
    if (!ended.message.empty()) say(ended.message + "\n");
    return finish(std::move(ended));
  }

 private:
  bool is_last() const { return index_ + 1 == plan_.steps.size(); }
  const wire::Step& step() const { return plan_.steps[index_]; }
  std::string mark_of(std::size_t index) const { return fmt::format("{}/{}", folders_.run, index); }
  std::string record_of(const wire::Workspace& workspace) const { return fmt::format("{}/workspace-{}", folders_.run, workspace.name); }

  void say(std::string_view text) {
    if (log_) log_->write(text);
    else (void)write_all(STDERR_FILENO, text);
  }

  Result<> open() {
    sigset_t handled;
    sigemptyset(&handled);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&handled, signal);
    ::sigprocmask(SIG_BLOCK, &handled, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = UniqueFd(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
    plan_ = TRY(wire::Plan::from_json(TRY(text::parse_json(TRY(read_file(folders_.capability + "/plan.json", wire::max_plan))))));
    if (index_ >= plan_.steps.size()) return fail(ErrorCode::invalid, "the plan has no such step");
    if (!plan_.hub.empty()) hub_ = TRY(HubClient::open(plan_, TRY(read_file(folders_.capability + "/token", 1000)), *executor_));
    log_ = TRY(LogStream::open(fmt::format("{}/log-{}", folders_.run, index_), step().name, secrets(), hub_.get(), *executor_));
    return {};
  }

  std::vector<std::string> secrets() const {
    std::vector<std::string> out;
    for (const std::string& name : plan_.secret_variables)
      if (const char* value = ::getenv(name.c_str())) out.emplace_back(value);
    for (const std::string& folder : plan_.secret_folders) {
      const auto names = list_folder(folder);
      for (const std::string& name : names ? *names : std::vector<std::string>{})
        if (auto content = read_file(folder + "/" + name, max_secret)) out.push_back(*content);
    }
    return out;
  }

  Ended run_turn() {
    if (index_ > 0) {
      const auto turn = wait_for_turn();
      if (!turn) return {1, "Error", turn.error().to_string()};
      if (*turn == Mark::failed) return {1, "Skipped", ""};
    } else if (auto filled = fill(); !filled) {
      return {1, "Error", "the workspaces could not be filled: " + filled.error().to_string()};
    }
    auto command = prepare();
    if (!command) return {1, "Error", command.error().to_string()};
    return run_command(*command);
  }

  // A signal while waiting ends the wait: the pod is being deleted.
  Result<Mark> wait_for_turn() {
    if (!TRY(wait_for_file(mark_of(index_ - 1), signals_.get()))) return fail(ErrorCode::unavailable, "the pod was stopped before the step's turn");
    return TRY(read_file(mark_of(index_ - 1), 100)) == "passed" ? Mark::passed : Mark::failed;
  }

  Result<> fill() {
    if (!hub_) return {};
    for (const wire::Workspace& workspace : plan_.workspaces) TRY(fill_workspace(workspace, record_of(workspace), *hub_, {}));
    return {};
  }

  Result<Command> prepare() {
    Command command;
    command.arguments = step().command;
    if (!step().script.empty()) {
      const std::string path = fmt::format("{}/script-{}", folders_.scripts, index_);
      const std::string text = step().script.starts_with("#!") ? step().script : "#!/bin/sh\nset -e\n" + step().script;
      const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755));
      if (!file) return fail_errno("cannot make", path);
      TRY(write_all(file.get(), text));
      if (::fchmod(file.get(), 0755) != 0) return fail_errno("cannot make executable", path);
      command.arguments.insert(command.arguments.begin(), path);
    }
    if (command.arguments.empty()) return fail(ErrorCode::invalid, "the step has neither a script nor a command");
    return command;
  }

  Ended run_command(const Command& command) {
    auto child = Child::start(command, Stdio::null, Stdio::pipe, Stdio::pipe);
    if (!child) return {127, "Error", "cannot start the step: " + child.error().to_string()};
    const bool timed_out = follow(*child);
    const int code = child->wait();
    if (timed_out) return {code == 0 ? 1 : code, "TimeoutExceeded", fmt::format("step {} exceeded its timeout of {} s", step().name, step().timeout_seconds)};
    return {code, code == 0 ? "Completed" : step().continue_on_error ? "Continued" : "Error", ""};
  }

  // Copies output and passes signals on until the command has ended and its output is drained. True: it ran out of time.
  bool follow(Child& child) {
    const Clock& clock = executor_->clock();
    const Steady limit = step().timeout_seconds > 0 ? clock.steady() + std::chrono::seconds(step().timeout_seconds) : Steady::max();
    bool timed_out = false, ended = false;
    Steady last_signal{};
    while (true) {
      pollfd waits[] = {{child.output().get(), POLLIN, 0}, {child.errors().get(), POLLIN, 0}, {ended ? -1 : child.pidfd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
      const int ready = ::poll(waits, 4, ended ? 100 : 500);
      bool moved = copy(child.output(), waits[0].revents);
      moved |= copy(child.errors(), waits[1].revents);
      if (ready == 0) log_->pause();
      // What the command left behind may keep the pipe open; it is not waited for.
      if (ended && !moved) return timed_out;
      if (waits[2].revents != 0) ended = true;
      if (waits[3].revents != 0) pass_signal(child);
      if (!ended && clock.steady() > limit) {
        if (!timed_out) child.kill(SIGTERM), last_signal = clock.steady();
        else if (clock.steady() > last_signal + kill_after) child.kill(SIGKILL);
        timed_out = true;
      }
    }
  }

  bool copy(UniqueFd& pipe, short events) {
    if (events == 0 || !pipe) return false;
    char buffer[64 * 1024];
    const ssize_t got = ::read(pipe.get(), buffer, sizeof buffer);
    if (got > 0) log_->write({buffer, static_cast<std::size_t>(got)});
    else pipe.reset();
    return got > 0;
  }

  void pass_signal(Child& child) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) child.kill(static_cast<int>(info.ssi_signo));
  }

  int finish(Ended ended) {
    const bool passed = ended.exit_code == 0 || ended.reason == "Continued";
    int exit_code = passed ? 0 : ended.exit_code;
    wire::Termination termination{ended.exit_code, ended.reason, {}, ended.message};
    if (plan_.steps.empty()) return write_end(termination), exit_code;
    collect_results(termination);
    // The next step may start while this one's log is still on its way.
    if (!is_last()) (void)write_file_atomically(mark_of(index_), passed ? "passed" : "failed", 0644);
    if (is_last() && hub_) {
      if (auto sent = send_outcome(); !sent) {
        termination.message = "what the task made could not be kept: " + sent.error().to_string();
        say(termination.message + "\n");
        if (passed) exit_code = termination.exit_code = 1, termination.reason = "Error";
      }
    }
    if (log_)
      if (auto all = log_->finish(log_patience); !all) termination.message += all.error().message;
    write_end(termination);
    return exit_code;
  }

  void collect_results(wire::Termination& termination) {
    for (const std::string& name : plan_.results) {
      const std::string path = folders_.results + "/" + name;
      if (!exists(path)) continue;
      if (auto value = read_file(path, max_result)) termination.results[name] = *value;
      else say(fmt::format("result {} could not be read: {}\n", name, value.error().message));
    }
  }

  Result<> send_outcome() {
    std::size_t reports = 0;
    for (const wire::Workspace& workspace : plan_.workspaces) {
      if (!exists(record_of(workspace))) continue;  // it was never filled
      const Changes changes = TRY(find_changes(workspace, record_of(workspace)));
      if (!changes.archive.empty()) TRY(hub_->upload(wire::workspace_path(plan_.attempt, workspace.name), changes.archive, {}));
      for (const std::string& path : changes.changed) {
        if (!is_report(workspace.path, path, plan_.reports) || ++reports > max_reports) continue;
        const std::string name = fmt::format("{}-{}.xml", reports, workspace.name);
        (void)hub_->upload(wire::report_path(plan_.attempt, name), workspace.path + "/" + path, {});
      }
    }
    return {};
  }

  void write_end(const wire::Termination& termination) {
    const UniqueFd file(::open(folders_.termination_message.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (file) (void)write_all(file.get(), termination.to_text());
  }

  const std::size_t index_;
  const StepFolders folders_;
  const std::unique_ptr<Executor> executor_;
  UniqueFd signals_;
  wire::Plan plan_;
  std::unique_ptr<HubClient> hub_;
  std::unique_ptr<LogStream> log_;
};

}  // namespace

int run_step(std::size_t index, const StepFolders& folders) { return StepRun(index, folders).run(); }

}  // namespace slipway::shim
