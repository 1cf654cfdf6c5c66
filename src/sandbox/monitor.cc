// SPDX-License-Identifier: Apache-2.0
#include "sandbox/monitor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <map>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/monitor_loop.h"

namespace slipway::sandbox {
namespace {

constexpr std::chrono::seconds spawn_timeout{30};
constexpr std::chrono::seconds quit_limit{5};
constexpr int listen_backlog = 16;

// A path of any length as a socket address: through the descriptor of its folder.
Result<sockaddr_un> address_in(const UniqueFd& folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/socket", folder.get());
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Result<UniqueFd> open_folder(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open", folder);
  return fd;
}

Result<UniqueFd> listen_in(const std::string& folder) {
  const UniqueFd at = TRY(open_folder(folder));
  const sockaddr_un address = TRY(address_in(at));
  ::unlinkat(at.get(), "socket", 0);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("cannot open", "unix socket");
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("cannot bind socket in", folder);
  if (::listen(socket.get(), listen_backlog) != 0) return fail_errno("cannot listen in", folder);
  return socket;
}

Result<MonitorConfig> parse_arguments(const std::vector<std::string>& arguments) {
  std::map<std::string, std::string> values;
  if (arguments.size() % 2 != 0) return fail(ErrorCode::invalid, "monitor: options come in pairs");
  for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) values[arguments[i]] = arguments[i + 1];
  MonitorConfig config{values["--folder"], {values["--runtime"], values["--runtime-root"]}, {}};
  if (config.folder.empty() || config.runtime.program.empty() || config.runtime.root_folder.empty())
    return fail(ErrorCode::invalid, "monitor: --folder, --runtime and --runtime-root are needed");
  if (const auto bytes = parse_int(values["--log-bytes"]); bytes && *bytes > 0) config.logs.file_bytes = static_cast<std::uint64_t>(*bytes);
  if (const auto files = parse_int(values["--log-files"]); files && *files > 0) config.logs.files = static_cast<int>(*files);
  return config;
}

// Only one monitor works on a folder; the lock ends with its process.
Result<UniqueFd> lock_folder(const std::string& folder) {
  UniqueFd lock(::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail_errno("cannot open lock in", folder);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  if (::fcntl(lock.get(), F_SETLK, &whole) != 0) return fail(ErrorCode::already_exists, "a monitor works in " + folder);
  return lock;
}

void leave_terminal() {
  ::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd < 3; ++fd) ::dup2(null.get(), fd);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::prctl(PR_SET_NAME, "slipway-monitor");
}

Result<> work(const MonitorConfig& config, int ready) {
  const UniqueFd lock = TRY(lock_folder(config.folder));
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("cannot become", "subreaper");
  CgroupTree cgroups = TRY(read_cgroup_tree());
  UniqueFd listener = TRY(listen_in(config.folder));
  MonitorLoop loop(config, std::move(cgroups), std::move(listener));
  TRY(loop.recover());
  TRY(write_all(ready, "ok"));
  ::close(ready);
  leave_terminal();
  loop.run();
  return {};
}

[[noreturn]] void work_and_exit(const MonitorConfig& config, int ready) {
  log::set_component("monitor");
  if (auto done = work(config, ready); !done) {
    (void)write_all(ready, done.error().to_string());
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

int monitor_main(const std::vector<std::string>& arguments) {
  const auto config = parse_arguments(arguments);
  int ready[2];
  if (!config || ::pipe2(ready, O_CLOEXEC) != 0) {
    std::fprintf(stderr, "%s\n", config ? "cannot make a pipe" : config.error().to_string().c_str());
    return 2;
  }
  const pid_t child = ::fork();
  if (child < 0) return 3;
  if (child == 0) {
    ::close(ready[0]);
    work_and_exit(*config, ready[1]);
  }
  ::close(ready[1]);
  const std::string answer = read_all(ready[0], 4096).value_or("");
  if (answer == "ok") return 0;
  std::fprintf(stderr, "%s\n", answer.empty() ? "the monitor ended at its start" : answer.c_str());
  return 3;
}

Result<> spawn_monitor(const std::vector<std::string>& program, const MonitorConfig& config) {
  TRY(make_folders(config.folder, 0700));
  Command command{.arguments = program, .timeout = spawn_timeout, .own_session = true};
  for (const std::string& option :
       {std::string("--folder"), config.folder, std::string("--runtime"), config.runtime.program, std::string("--runtime-root"),
        config.runtime.root_folder, std::string("--log-bytes"), std::to_string(config.logs.file_bytes),
        std::string("--log-files"), std::to_string(config.logs.files)})
    command.arguments.push_back(option);
  TRY(run_ok(command));
  return {};
}

Result<UniqueFd> connect_monitor(const std::string& folder) {
  const UniqueFd at = TRY(open_folder(folder));
  const sockaddr_un address = TRY(address_in(at));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("cannot open", "unix socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(ErrorCode::unavailable, "no monitor listens in " + folder);
  return socket;
}

Result<> send_command(int socket, const MonitorCommand& command) {
  const std::string line = to_line(command);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t size = ::send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno("cannot write to", "monitor");
    rest.remove_prefix(static_cast<std::size_t>(size));
  }
  return {};
}

void quit_monitor(const std::string& folder) {
  const auto monitor = connect_monitor(folder);
  if (!monitor || !send_command(monitor->get(), {.quit = QuitMonitor{}})) return;
  const SystemClock clock;
  char rest[4096];
  for (const Steady deadline = clock.steady() + quit_limit; clock.steady() < deadline;) {
    pollfd wait{monitor->get(), POLLIN, 0};
    if (::poll(&wait, 1, 100) > 0 && ::recv(monitor->get(), rest, sizeof rest, 0) <= 0) return;
  }
}

Result<MonitorState> read_monitor_state(const std::string& folder) {
  const std::string file = folder + "/state.json";
  if (!exists(file)) return MonitorState{};
  return at(parse_monitor_state(TRY(read_file(file, max_state_bytes))), file);
}

}  // namespace slipway::sandbox
