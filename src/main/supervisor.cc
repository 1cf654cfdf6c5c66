// SPDX-License-Identifier: Apache-2.0
#include "main/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "main/node_logs.h"
#include "net/client.h"

namespace slipway::app {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_back_off{100};
constexpr milliseconds last_back_off{30'000};
constexpr milliseconds long_life{60'000};
constexpr std::chrono::seconds stop_limit{20};
constexpr std::chrono::seconds ready_limit{60};

// One process that is kept running.
class Kept final {
 public:
  Kept(std::string name, Command command) : name_(std::move(name)), command_(std::move(command)) {}

  const std::string& name() const { return name_; }
  bool running() const { return child_.has_value(); }
  int pidfd() const { return child_ ? child_->pidfd() : -1; }
  Steady due() const { return due_; }

  void start() {
    started_ = clock_.steady();
    auto child = Child::start(command_, Stdio::null, Stdio::inherit, Stdio::inherit);
    if (child) {
      child_ = std::move(*child);
    } else {
      log::error("Process could not be started", {{"process", name_}, {"reason", child.error().to_string()}});
      due_ = clock_.steady() + back_off_.after(milliseconds(0));
    }
  }

  void check() {
    if (!child_) return;
    const auto code = child_->try_wait();
    if (!code) return;
    const auto lived = std::chrono::duration_cast<milliseconds>(clock_.steady() - started_);
    const auto wait = back_off_.after(lived);
    log::warn("Process ended; it is started again", {{"process", name_}, {"exit_code", *code}, {"wait_ms", std::int64_t{wait.count()}}});
    child_.reset();
    due_ = clock_.steady() + wait;
  }

  void stop() {
    if (!child_) return;
    child_->kill(SIGTERM);
    if (!child_->wait_for(std::chrono::duration_cast<milliseconds>(stop_limit))) log::warn("Process did not stop in time; it is killed", {{"process", name_}});
    child_.reset();
  }

 private:
  const std::string name_;
  const Command command_;
  SystemClock clock_;
  std::optional<Child> child_;
  RestartBackOff back_off_;
  Steady started_{}, due_{};
};

Command serve_command(const UpOptions& options) {
  Command command{.arguments = {"/proc/self/exe", "serve", "--data", options.data.path, "--address", options.ports.address, "--api-port",
                                std::to_string(options.ports.api), "--registry-port", std::to_string(options.ports.registry), "--https-port",
                                std::to_string(options.ports.https)}};
  if (!options.kubeconfig.empty()) command.arguments.insert(command.arguments.end(), {"--kubeconfig", options.data.plane_kubeconfig()});
  if (options.with_node) command.arguments.push_back("--beside-node");
  command.die_with_parent = true;
  if (has_own_serve_user()) command.user = serve_user;
  return command;
}

Command node_command(const UpOptions& options) {
  const bool foreign = !options.kubeconfig.empty();
  const std::string own = options.node_kubeconfig.empty() ? options.kubeconfig : options.node_kubeconfig;
  Command command{.arguments = {"/proc/self/exe", "node", "--data", options.data.path, "--name", options.node_name, "--kubeconfig", foreign ? own : options.data.node_kubeconfig(),
                                "--registry-port", std::to_string(options.ports.registry)}};
  if (foreign) command.arguments.push_back("--foreign");
  command.die_with_parent = true;
  return command;
}

bool answers(const std::string& address, std::uint16_t port) {
  auto client = net::make_client({true, address, port}, {.insecure = true});
  if (!client) return false;
  const auto answer = (*client)->send({.target = "/readyz", .timeout = milliseconds(500)});
  return answer && answer->status < 500;
}

// serve answers that it is ready, and the node answers at all: it listens when everything else of it stands.
bool is_ready(const UpOptions& options) { return answers(options.ports.address, options.ports.https) && (!options.with_node || answers("127.0.0.1", node_port)); }

class Supervisor final {
 public:
  Supervisor(const UpOptions& options, int signals) : options_(options), signals_(signals) {
    kept_.emplace_back("serve", serve_command(options));
    if (options.with_node) kept_.emplace_back("node", node_command(options));
  }

  Result<> run(int ready_fd) {
    const Steady began = clock_.steady();
    for (Kept& kept : kept_) kept.start();
    bool told = false;
    while (!stop_asked()) {
      if (!told && is_ready(options_)) {
        told = true;
        const auto took = std::chrono::duration_cast<milliseconds>(clock_.steady() - began);
        tell(ready_fd, fmt::format("ready in {} ms\n", took.count()));
      } else if (!told && clock_.steady() - began > ready_limit) {
        told = true;
        tell(ready_fd, "error: not ready after 60 s; the log says why\n");
      }
      wait(told ? milliseconds(30'000) : milliseconds(20));
      for (Kept& kept : kept_) kept.check();
      for (Kept& kept : kept_)
        if (!kept.running() && clock_.steady() >= kept.due()) kept.start();
    }
    for (Kept& kept : kept_) kept.stop();
    return {};
  }

 private:
  static void tell(int fd, const std::string& line) {
    if (fd >= 0) (void)write_all(fd, line);
  }

  bool stop_asked() {
    signalfd_siginfo info{};
    return ::read(signals_, &info, sizeof info) == sizeof info;
  }

  void wait(milliseconds limit) {
    std::vector<pollfd> waits{{signals_, POLLIN, 0}};
    for (const Kept& kept : kept_) {
      if (kept.running()) waits.push_back({kept.pidfd(), POLLIN, 0});
      else limit = std::min(limit, std::max(milliseconds(1), std::chrono::ceil<milliseconds>(kept.due() - clock_.steady())));
    }
    ::poll(waits.data(), waits.size(), static_cast<int>(limit.count()));
  }

  const UpOptions& options_;
  const int signals_;
  SystemClock clock_;
  std::vector<Kept> kept_;
};

}  // namespace

milliseconds RestartBackOff::after(milliseconds lived) {
  if (lived >= long_life) next_ = first_back_off;
  const milliseconds now = next_;
  next_ = std::min(next_ * 2, last_back_off);
  return now;
}

Result<> supervise(const UpOptions& options, int ready_fd) {
  log::set_component("supervisor");
  TRY(prepare(options.data));
  const UniqueFd held = TRY(lock(options.data));
  TRY(ensure_credentials(options.data, options.ports, options.kubeconfig));
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&mask, signal);
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  const UniqueFd signals(::signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) return fail_errno("cannot make", "signalfd");
  return Supervisor(options, signals.get()).run(ready_fd);
}

Result<> stop_supervisor(const DataFolder& data, std::chrono::seconds limit) {
  const UniqueFd fd(::open(data.supervisor_pid().c_str(), O_RDWR | O_CLOEXEC));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return {};  // nobody holds it: nobody runs
  const auto pid = parse_int(trim(TRY(read_file(data.supervisor_pid(), 64))));
  if (!pid || *pid < 2) return fail(ErrorCode::invalid, data.supervisor_pid() + " holds no process id");
  if (::kill(static_cast<pid_t>(*pid), SIGTERM) != 0 && errno != ESRCH) return fail_errno("cannot stop process", std::to_string(*pid));
  const SystemClock clock;
  for (const Steady deadline = clock.steady() + limit; clock.steady() < deadline;) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return {};
    ::poll(nullptr, 0, 20);
  }
  return fail(ErrorCode::timeout, fmt::format("process {} did not stop in {} s", *pid, limit.count()));
}

}  // namespace slipway::app
