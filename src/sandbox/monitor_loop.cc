// SPDX-License-Identifier: Apache-2.0
#include "sandbox/monitor_loop.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "base/strings.h"

namespace slipway::sandbox {
namespace {

constexpr int idle_milliseconds = 5'000;       // orphans of a container are reaped this often
constexpr std::size_t max_unsent_bytes = 1024 * 1024;  // a peer that does not read is dropped
constexpr int drain_rounds = 4;                // pieces of a pipe in one turn, so that no container starves another
constexpr int start_error_code = 128;
constexpr int lost_code = 137;

int exit_code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

Result<> MonitorLoop::recover() {
  state_ = TRY(read_monitor_state(config_.folder));
  for (ContainerRecord& record : state_.containers) {
    if (record.phase == Phase::exited) continue;
    (void)kill_cgroup(cgroups_, record.cgroup);
    (void)slipway::run(config_.runtime.remove_command(record.id));
    record_exit(record.id, lost_code, "MonitorLost", "the pod's monitor ended; its containers were ended with it");
  }
  save_and_tell();
  return {};
}

void MonitorLoop::run() {
  while (!(quitting_ && live_.empty() && removals_.empty())) {
    std::vector<pollfd> ready = waits();
    if (::poll(ready.data(), ready.size(), idle_milliseconds) < 0 && errno != EINTR) return;
    serve(ready);
    reap();
  }
}

std::vector<pollfd> MonitorLoop::waits() {
  std::vector<pollfd> result{{listener_.get(), POLLIN, 0}};
  const auto add = [&](int fd, short events) {
    if (fd >= 0) result.push_back({fd, events, 0});
  };
  for (const Peer& peer : peers_) add(peer.socket.get(), static_cast<short>(POLLIN | (peer.unsent.empty() ? 0 : POLLOUT)));
  for (const Live& live : live_) {
    add(live.runtime ? live.runtime->pidfd() : live.process.get(), POLLIN);
    if (live.runtime) continue;  // what the runtime itself says is not the container's output
    add(live.out.get(), POLLIN);
    add(live.err.get(), POLLIN);
  }
  for (const Child& child : removals_) add(child.pidfd(), POLLIN);
  return result;
}

void MonitorLoop::serve(const std::vector<pollfd>& ready) {
  const auto is_ready = [&](int fd) {
    return fd >= 0 && std::ranges::any_of(ready, [&](const pollfd& p) { return p.fd == fd && p.revents != 0; });
  };
  for (auto live = live_.begin(); live != live_.end();) {
    if (live->runtime) {
      if (is_ready(live->runtime->pidfd())) finish_start(*live);
    } else {
      if (is_ready(live->out.get()) || is_ready(live->err.get())) read_output(*live);
      if (is_ready(live->process.get())) finish(*live);
    }
    live = !live->runtime && !live->process ? live_.erase(live) : std::next(live);
  }
  std::erase_if(peers_, [&](Peer& peer) { return is_ready(peer.socket.get()) && (!read_peer(peer) || !flush_peer(peer)); });
  std::erase_if(removals_, [](Child& child) { return child.try_wait().has_value(); });
  if (is_ready(listener_.get())) accept_peer();
}

void MonitorLoop::accept_peer() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || peers_.size() >= max_monitor_peers) return;
  peers_.push_back({std::move(socket), {}, text::to_json(to_json(state_)) + "\n"});
  if (flush_peer(peers_.back())) return;
  (void)read_peer(peers_.back());  // one that only leaves a command is gone already; the command counts
  peers_.pop_back();
}

bool MonitorLoop::read_peer(Peer& peer) {
  char buffer[4096];
  const ssize_t size = ::recv(peer.socket.get(), buffer, sizeof buffer, 0);
  if (size == 0) return false;
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  peer.received.append(buffer, static_cast<std::size_t>(size));
  if (peer.received.size() > max_command_bytes) return false;
  std::vector<MonitorCommand> commands;  // obeying may tell every peer: not while their text is being cut
  for (std::size_t end; (end = peer.received.find('\n')) != std::string::npos; peer.received.erase(0, end + 1))
    if (auto command = parse_command(std::string_view(peer.received).substr(0, end))) commands.push_back(*std::move(command));
  for (const MonitorCommand& command : commands) obey(command);
  return true;
}

bool MonitorLoop::flush_peer(Peer& peer) {
  while (!peer.unsent.empty()) {
    const ssize_t size = ::send(peer.socket.get(), peer.unsent.data(), peer.unsent.size(), MSG_NOSIGNAL);
    if (size < 0) return (errno == EAGAIN || errno == EINTR) && peer.unsent.size() < max_unsent_bytes;
    peer.unsent.erase(0, static_cast<std::size_t>(size));
  }
  return true;
}

void MonitorLoop::obey(const MonitorCommand& command) {
  if (command.start) start(*command.start);
  if (command.signal) signal(*command.signal);
  if (command.quit) quitting_ = true;
}

void MonitorLoop::start(const StartContainer& command) {
  if (state_.find(command.id) || quitting_) return;  // sent twice
  forget_old_attempts(state_);
  if (live_.size() >= max_containers_a_pod) return;
  state_.containers.push_back({.id = command.id, .name = command.name, .attempt = command.attempt, .cgroup = command.cgroup});
  save_and_tell();  // before the effect: a later monitor must find it
  auto log = LogFile::open(command.log_file, config_.logs);
  if (!log) return record_exit(command.id, start_error_code, "StartError", log.error().to_string());
  auto child = Child::start(config_.runtime.start_command(command.id, command.bundle, command.bundle + "/pid",
                                                          command.bundle + "/runtime.log"),
                            Stdio::null, Stdio::pipe, Stdio::pipe);
  if (!child) return record_exit(command.id, start_error_code, "StartError", child.error().to_string());
  Live& live = live_.emplace_back();
  live.id = command.id;
  live.bundle = command.bundle;
  live.log = std::move(*log);
  live.out = std::move(child->output());
  live.err = std::move(child->errors());
  for (const int fd : {live.out.get(), live.err.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  live.runtime = std::move(*child);
}

void MonitorLoop::signal(const SignalContainer& command) {
  const auto live = std::ranges::find(live_, command.id, &Live::id);
  if (live == live_.end()) return;
  if (live->runtime) {
    live->killed_early = true;
    return;
  }
  ::syscall(SYS_pidfd_send_signal, live->process.get(), command.signal, nullptr, 0u);
  // A container in the host's pid namespace has no init whose end takes the others with it.
  const ContainerRecord* record = state_.find(command.id);
  if (command.signal == SIGKILL && record) (void)kill_cgroup(cgroups_, record->cgroup);
}

void MonitorLoop::finish_start(Live& live) {
  const int code = live.runtime->wait();
  live.runtime.reset();
  const auto pid = parse_int(trim(read_file(live.bundle + "/pid", 64).value_or("")));
  if (code != 0 || !pid) {
    const std::string log = read_file(live.bundle + "/runtime.log", 1024 * 1024).value_or("");
    remove_later(live.id);
    return record_exit(live.id, start_error_code, "StartError",
                       runtime_error(log, fmt::format("the runtime ended with {}", code)));
  }
  live.pid = static_cast<pid_t>(*pid);
  live.process = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, live.pid, 0u)));
  ContainerRecord* record = state_.find(live.id);
  record->phase = Phase::running;
  record->pid = *pid;
  record->started = SystemClock().now();
  save_and_tell();
  if (live.killed_early) signal({live.id, SIGKILL});
}

void MonitorLoop::read_output(Live& live) {
  if (!drain(live.out, live.out_lines, live, drain_rounds)) live.out.reset();
  if (!drain(live.err, live.err_lines, live, drain_rounds)) live.err.reset();
}

// False at the end of the pipe. A log that cannot be written (a full disk) drops output rather than stop the pod.
bool MonitorLoop::drain(UniqueFd& pipe, LineCutter& lines, Live& live, int rounds) {
  char buffer[64 * 1024];
  while (pipe && rounds-- > 0) {
    const ssize_t size = ::read(pipe.get(), buffer, sizeof buffer);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    std::string records;
    if (size > 0)
      lines.add(std::string_view(buffer, static_cast<std::size_t>(size)), SystemClock().now(), records);
    else
      lines.end(SystemClock().now(), records);
    if (auto written = live.log->append(records); !written) log::warn("cannot write container log", {{"error", written.error().to_string()}});
    if (size == 0) return false;
  }
  return true;
}

void MonitorLoop::finish(Live& live) {
  int status = 0;
  if (::waitpid(live.pid, &status, WNOHANG) != live.pid) return;
  constexpr int all = 1 << 20;
  (void)drain(live.out, live.out_lines, live, all);
  (void)drain(live.err, live.err_lines, live, all);
  std::string rest;
  live.out_lines.end(SystemClock().now(), rest);
  live.err_lines.end(SystemClock().now(), rest);
  (void)live.log->append(rest);
  const ContainerRecord* record = state_.find(live.id);
  const int code = exit_code_of(status);
  const bool oom = code != 0 && was_oom_killed(*record);
  live.process.reset();
  record_exit(live.id, code, oom ? "OOMKilled" : "", "");
  remove_later(live.id);
}

bool MonitorLoop::was_oom_killed(const ContainerRecord& record) const {
  const auto file = oom_file(cgroups_, record.cgroup);
  return file && oom_kills(read_file(*file, 64 * 1024).value_or("")) > 0;
}

void MonitorLoop::record_exit(const std::string& id, int exit_code, std::string reason, std::string message) {
  ContainerRecord* record = state_.find(id);
  record->phase = Phase::exited;
  record->finished = SystemClock().now();
  if (record->started == Wall{}) record->started = record->finished;
  record->exit_code = exit_code;
  record->reason = std::move(reason);
  record->message = std::move(message);
  save_and_tell();
}

void MonitorLoop::remove_later(const std::string& id) {
  if (auto child = Child::start(config_.runtime.remove_command(id), Stdio::null, Stdio::null, Stdio::null))
    removals_.push_back(std::move(*child));
}

// As the parent of last resort it gets the orphans of its containers (probes, hooks); those it knows wait for their
// own place.
void MonitorLoop::reap() {
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    const auto ours = [&](const Live& live) { return live.pid == info.si_pid || (live.runtime && live.runtime->pid() == info.si_pid); };
    if (std::ranges::any_of(live_, ours)) return;
    if (std::ranges::any_of(removals_, [&](const Child& child) { return child.pid() == info.si_pid; })) return;
    // A container whose runtime has not returned yet: its exit is told when the pid is known.
    if (std::ranges::any_of(live_, [](const Live& live) { return live.runtime.has_value(); })) return;
    ::waitpid(info.si_pid, nullptr, WNOHANG);
    info = {};
  }
}

void MonitorLoop::save_and_tell() {
  const std::string text = text::to_json(to_json(state_)) + "\n";
  if (auto saved = write_file_atomically(config_.folder + "/state.json", text); !saved)
    log::error("cannot save monitor state", {{"error", saved.error().to_string()}});
  for (Peer& peer : peers_) {
    peer.unsent += text;
    (void)flush_peer(peer);
  }
}

}  // namespace slipway::sandbox
