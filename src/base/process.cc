// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/strings.h"

extern char** environ;

namespace slipway {
namespace {

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* path = ::getenv("PATH");
  for (const auto folder : split(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':')) {
    std::string candidate = std::string(folder) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  for (const std::string_view folder : {"/usr/sbin", "/sbin"}) {
    std::string candidate = std::string(folder) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return fail(ErrorCode::not_found, fmt::format("program {} is not installed", name));
}

struct Pipe {
  UniqueFd read, write;
  static Result<Pipe> make() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("cannot make", "pipe");
    return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
  }
};

// All that the child needs after fork(), prepared before: between fork and exec nothing may allocate.
struct Prepared {
  std::string program;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  int stdio[3] = {-1, -1, -1};
  const Command& command;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<char*> environment_of(const Command& command) {
  std::vector<char*> out = pointers(command.environment);
  if (!command.inherit_environment) return out;
  out.pop_back();
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view name = std::string_view(*entry).substr(0, std::string_view(*entry).find('=') + 1);
    const bool replaced = std::ranges::any_of(command.environment, [&](const auto& own) { return own.starts_with(name); });
    if (!replaced) out.push_back(*entry);
  }
  out.push_back(nullptr);
  return out;
}

// In the child. Marks every descriptor from 3 up close-on-exec, then clears the mark on those that are kept.
void close_others(const std::vector<int>& keep) {
  ::syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
  for (const int fd : keep) ::fcntl(fd, F_SETFD, 0);
}

[[noreturn]] void become(const Prepared& prepared, int report) {
  const Command& command = prepared.command;
  const auto give_up = [&] {
    const int number = errno;
    (void)!::write(report, &number, sizeof number);
    ::_exit(127);
  };
  for (int i = 0; i < 3; ++i)
    if (prepared.stdio[i] >= 0 && ::dup2(prepared.stdio[i], i) < 0) give_up();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (command.own_session) ::setsid();
  if (command.user) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(*command.user, *command.user, *command.user) != 0 ||
        ::setresuid(*command.user, *command.user, *command.user) != 0)
      give_up();
  }
  if (command.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == 1) ::_exit(127);
  }
  if (!command.folder.empty() && ::chdir(command.folder.c_str()) != 0) give_up();
  close_others(command.keep_descriptors);
  ::fcntl(report, F_SETFD, FD_CLOEXEC);
  ::execve(prepared.program.c_str(), prepared.arguments.data(), prepared.environment.data());
  give_up();
  ::_exit(127);
}

Result<pid_t> spawn(const Prepared& prepared) {
  Pipe report = TRY(Pipe::make());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("cannot start", prepared.program);
  if (pid == 0) become(prepared, report.write.get());
  report.write.reset();
  int number = 0;
  ssize_t got = 0;
  while ((got = ::read(report.read.get(), &number, sizeof number)) < 0 && errno == EINTR) {
  }
  if (got == sizeof number) {
    ::waitpid(pid, nullptr, 0);
    errno = number;
    return fail_errno("cannot run", prepared.program);
  }
  return pid;
}

}  // namespace

Result<Child> Child::start(const Command& command, Stdio in, Stdio out, Stdio err) {
  if (command.arguments.empty()) return fail(ErrorCode::internal, "a command without a program");
  Prepared prepared{TRY(find_program(command.arguments[0])), pointers(command.arguments), environment_of(command), {}, command};
  Child child;
  UniqueFd theirs[3];
  const Stdio modes[3] = {in, out, err};
  UniqueFd* ours[3] = {&child.input_, &child.output_, &child.errors_};
  for (int i = 0; i < 3; ++i) {
    if (modes[i] == Stdio::null) {
      theirs[i] = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    } else if (modes[i] == Stdio::pipe) {
      Pipe pipe = TRY(Pipe::make());
      theirs[i] = std::move(i == 0 ? pipe.read : pipe.write);
      *ours[i] = std::move(i == 0 ? pipe.write : pipe.read);
    }
    prepared.stdio[i] = modes[i] == Stdio::inherit ? -1 : theirs[i].get();
  }
  child.pid_ = TRY(spawn(prepared));
  child.pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid_, 0u)));
  return child;
}

Child::Child(Child&& other) noexcept { *this = std::move(other); }

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(errors_, other.errors_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

void Child::kill(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

int Child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return exit_code_of(status);
}

std::optional<int> Child::try_wait() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = -1;
  return exit_code_of(status);
}

std::optional<int> Child::wait_for(std::chrono::milliseconds limit) {
  pollfd ended{pidfd_.get(), POLLIN, 0};
  while (::poll(&ended, 1, static_cast<int>(limit.count())) < 0 && errno == EINTR) {
  }
  return try_wait();
}

namespace {

// Feeds stdin and collects stdout and stderr of one child until it ends, the time is over or a stop is asked for.
class Conversation {
 public:
  Conversation(Child& child, const Command& command, std::stop_token stop)
      : child_(child), command_(command), stop_(std::move(stop)),
        deadline_(std::chrono::steady_clock::now() + command.timeout), rest_(command.input) {
    if (rest_.empty()) child_.input().reset();
    else ::fcntl(child_.input().get(), F_SETFL, O_NONBLOCK);
  }

  Result<Finished> talk() {
    while (child_.output() || child_.errors()) TRY(step());
    while (!(code_ = child_.wait_for(remaining()))) {
      if (auto late = check_time(); !late) return std::unexpected(late.error());
    }
    done_.exit_code = *code_;
    return std::move(done_);
  }

 private:
  std::chrono::milliseconds remaining() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
    return std::clamp(left, std::chrono::milliseconds(0), std::chrono::milliseconds(200));
  }

  Result<> check_time() const {
    if (stop_.stop_requested()) return fail(ErrorCode::unavailable, command_.arguments[0] + " was stopped");
    if (std::chrono::steady_clock::now() >= deadline_)
      return fail(ErrorCode::timeout, fmt::format("{} took longer than {} s", command_.arguments[0], command_.timeout.count() / 1000));
    return {};
  }

  Result<> step() {
    TRY(check_time());
    std::array<pollfd, 3> waits{pollfd{child_.output().get(), POLLIN, 0}, pollfd{child_.errors().get(), POLLIN, 0},
                                pollfd{child_.input().get(), POLLOUT, 0}};
    if (::poll(waits.data(), waits.size(), static_cast<int>(remaining().count())) < 0 && errno != EINTR)
      return fail_errno("cannot wait for", command_.arguments[0]);
    if (waits[0].revents) TRY(collect(child_.output(), done_.output));
    if (waits[1].revents) TRY(collect(child_.errors(), done_.errors));
    if (waits[2].revents) feed();
    return {};
  }

  Result<> collect(UniqueFd& from, std::string& into) {
    char buffer[65536];
    const auto got = ::read(from.get(), buffer, sizeof buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    if (got <= 0) return from.reset(), Result<>{};
    if (into.size() + static_cast<std::size_t>(got) > command_.output_limit)
      return fail(ErrorCode::too_large, fmt::format("{} wrote more than {} bytes", command_.arguments[0], command_.output_limit));
    into.append(buffer, static_cast<std::size_t>(got));
    return {};
  }

  void feed() {
    const auto done = ::write(child_.input().get(), rest_.data(), rest_.size());
    if (done < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (done > 0) rest_.remove_prefix(static_cast<std::size_t>(done));
    if (done < 0 || rest_.empty()) child_.input().reset();  // it may not want all of it
  }

  Child& child_;
  const Command& command_;
  std::stop_token stop_;
  std::chrono::steady_clock::time_point deadline_;
  std::string_view rest_;
  Finished done_;
  std::optional<int> code_;
};

}  // namespace

Result<Finished> run(const Command& command, std::stop_token stop) {
  Child child = TRY(Child::start(command, command.input.empty() ? Stdio::null : Stdio::pipe, Stdio::pipe, Stdio::pipe));
  return Conversation(child, command, std::move(stop)).talk();
}

Result<std::string> run_ok(const Command& command, std::stop_token stop) {
  Finished finished = TRY(run(command, std::move(stop)));
  if (finished.ok()) return std::move(finished.output);
  const auto lines = split_lines(trim(finished.errors.empty() ? finished.output : finished.errors));
  return fail(ErrorCode::internal, fmt::format("{} ended with {}: {}", command.arguments[0], finished.exit_code,
                                               lines.empty() ? "no message" : printable(lines.back())));
}

}  // namespace slipway
