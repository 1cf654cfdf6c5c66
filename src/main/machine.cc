// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strings.h"
#include "main/backup.h"
#include "main/fsck.h"
#include "main/image_build.h"
#include "main/node.h"
#include "main/processes.h"
#include "main/serve.h"
#include "main/supervisor.h"
#include "oci/import.h"
#include "sandbox/monitor.h"

namespace slipway::app {
namespace {

using cli::Exit;
using cli::Flag;
using cli::Invocation;

void print(std::string_view text) { (void)write_all(STDOUT_FILENO, text); }
void tell(std::string_view text) { (void)write_all(STDERR_FILENO, text); }

const Flag data_flag{"data", 0, "FOLDER", "where everything of this installation lies", default_data_folder, false};

Result<std::uint16_t> port_of(const Invocation& invocation, std::string_view flag) {
  const std::int64_t port = TRY(invocation.number(flag));
  if (port < 1 || port > 65535) return fail(ErrorCode::invalid, fmt::format("--{} must be between 1 and 65535", flag));
  return static_cast<std::uint16_t>(port);
}

Result<Ports> ports_of(const Invocation& invocation) {
  return Ports{invocation.get("address"), TRY(port_of(invocation, "api-port")), TRY(port_of(invocation, "registry-port")), TRY(port_of(invocation, "https-port"))};
}

std::vector<Flag> listening_flags() {
  return {{"address", 0, "IP", "the address to listen on", "127.0.0.1"}, {"api-port", 0, "PORT", "of the Kubernetes API", "6443"},
          {"registry-port", 0, "PORT", "of the image registry", "5000"}, {"https-port", 0, "PORT", "of git, hub, hooks and metrics", "8443"}};
}

std::vector<Flag> with_listening(std::vector<Flag> flags) {
  for (Flag& flag : listening_flags()) flags.push_back(std::move(flag));
  return flags;
}

Result<Exit> run_serve(const Invocation& invocation) {
  log::set_component("serve");
  const StopSignals signals;
  const ServeOptions options{{invocation.get("data")}, TRY(ports_of(invocation)), invocation.get("kubeconfig"), invocation.has("beside-node")};
  TRY(serve(options, [&] { signals.wait(); }));
  return Exit::ok;
}

Result<Exit> run_node_command(const Invocation& invocation) {
  log::set_component("node");
  const StopSignals signals;
  NodeOptions options{.data = {invocation.get("data")}, .name = invocation.get("name"), .kubeconfig = invocation.get("kubeconfig"), .foreign = invocation.has("foreign")};
  options.registry = fmt::format("127.0.0.1:{}", TRY(port_of(invocation, "registry-port")));
  TRY(run_node(options, [&] { signals.wait(); }));
  return Exit::ok;
}

Result<UpOptions> up_options(const Invocation& invocation) {
  UpOptions options{.data = {invocation.get("data")}, .ports = TRY(ports_of(invocation)), .kubeconfig = invocation.get("kubeconfig"), .node_kubeconfig = invocation.get("node-kubeconfig")};
  const bool foreign = !options.kubeconfig.empty();
  options.with_node = !foreign || invocation.has("node");
  if (invocation.has("node")) options.node_name = invocation.get("node");
  if (!foreign && (invocation.has("node") || invocation.has("node-kubeconfig"))) return fail(ErrorCode::invalid, "--node and --node-kubeconfig go with --kubeconfig; the embedded plane has its own node");
  if (!options.node_kubeconfig.empty() && !options.with_node) return fail(ErrorCode::invalid, "--node-kubeconfig goes with --node NAME");
  if (options.with_node && ::geteuid() != 0) return fail(ErrorCode::forbidden, "`slipway up` runs pods on this machine and needs root; `sudo slipway up`");
  return options;
}

// What a process said last before it ended, for whoever only sees that it is not ready.
std::string last_error(const DataFolder& data) {
  const std::string text = read_file(data.logs() + "/slipway.log", 256 << 20).value_or("");
  const auto at = text.rfind("\nerror: ");
  return at == text.npos ? "" : fmt::format(" (last: {})", printable(std::string_view(text).substr(at + 8, text.find('\n', at + 1) - at - 8)));
}

// Starts `up` again in a session of its own; it writes into the log file and tells the outcome of the start through a pipe.
Result<Exit> up_detached(const UpOptions& options) {
  TRY(prepare(options.data));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("cannot make", "pipe");
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  Command command{.arguments = {"/proc/self/exe", "up", "--data", options.data.path, "--address", options.ports.address, "--api-port", std::to_string(options.ports.api),
                                "--registry-port", std::to_string(options.ports.registry), "--https-port", std::to_string(options.ports.https), "--background",
                                std::to_string(write_end.get())},
                  .keep_descriptors = {write_end.get()},
                  .own_session = true};
  if (!options.kubeconfig.empty()) command.arguments.insert(command.arguments.end(), {"--kubeconfig", options.kubeconfig});
  if (!options.kubeconfig.empty() && options.with_node) command.arguments.insert(command.arguments.end(), {"--node", options.node_name});
  if (!options.node_kubeconfig.empty()) command.arguments.insert(command.arguments.end(), {"--node-kubeconfig", options.node_kubeconfig});
  Child child = TRY(Child::start(command, Stdio::null, Stdio::null, Stdio::null));
  child.detach();
  write_end.reset();
  std::string line;
  for (char c = 0; line.size() < 4096 && ::read(read_end.get(), &c, 1) == 1 && c != '\n';) line += c;
  if (!line.starts_with("ready"))
    return fail(ErrorCode::internal, (line.starts_with("error: ") ? line.substr(7) : fmt::format("the supervisor ended at once; see {}/slipway.log", options.data.logs())) + last_error(options.data));
  print(fmt::format("slipway is up ({}); data {}\nexport KUBECONFIG={}\n", line, options.data.path, options.data.kubeconfig()));
  return Exit::ok;
}

// The other side of it: output to the log file from the first line on.
Result<Exit> up_in_background(const UpOptions& options, int ready_fd) {
  TRY(prepare(options.data));
  const std::string path = options.data.logs() + "/slipway.log";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file || ::dup2(file.get(), STDOUT_FILENO) < 0 || ::dup2(file.get(), STDERR_FILENO) < 0) return fail_errno("cannot open", path);
  ::fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  const auto done = supervise(options, ready_fd);
  if (!done) (void)write_all(ready_fd, "error: " + done.error().to_string() + "\n");
  return done ? Result<Exit>(Exit::ok) : std::unexpected(done.error());
}

Result<Exit> up(const Invocation& invocation) {
  const UpOptions options = TRY(up_options(invocation));
  if (invocation.has("detach")) return up_detached(options);
  if (invocation.has("background")) return up_in_background(options, static_cast<int>(TRY(invocation.number("background"))));
  TRY(supervise(options, STDERR_FILENO));
  return Exit::ok;
}

Result<Exit> down(const Invocation& invocation) {
  const DataFolder data{invocation.get("data")};
  if (!exists(data.path)) return tell(fmt::format("nothing runs on {}\n", data.path)), Exit::ok;
  TRY(stop_supervisor(data, std::chrono::seconds(60)));
  if (::geteuid() == 0) TRY(purge_node(data));
  if (invocation.has("purge")) TRY(remove_tree(data.path));
  print(invocation.has("purge") ? "stopped; the data is removed\n" : "stopped; the data is kept\n");
  return Exit::ok;
}

Result<Exit> import_image(const Invocation& invocation) {
  const DataFolder data{invocation.get("data")};
  TRY(prepare(data));
  const auto blobs = TRY(store::BlobStore::open_folder(data.blobs()));
  oci::ImageStore images(data.names(), *blobs);
  const auto name = TRY(oci::Reference::parse(invocation.arguments[1]));
  const auto digest = TRY(oci::import_image(images, invocation.arguments[0], name));
  print(fmt::format("{}@{}\n", name.to_string(), digest.value));
  return Exit::ok;
}

Result<Exit> print_kubeconfig(const Invocation& invocation) {
  print(TRY(read_file(DataFolder{invocation.get("data")}.kubeconfig())));
  return Exit::ok;
}

Result<Exit> backup(const Invocation& invocation) {
  const auto summary = TRY(create_backup({invocation.get("data")}, invocation.arguments[0]));
  print(fmt::format("{}: {} files, {} MB\n", invocation.arguments[0], summary.files, summary.bytes / 1'000'000));
  return Exit::ok;
}

Result<Exit> restore(const Invocation& invocation) {
  const auto summary = TRY(restore_backup(invocation.arguments[0], {invocation.get("data")}));
  print(fmt::format("{} files, {} MB restored to {}; `slipway up --data {}` starts it\n", summary.files, summary.bytes / 1'000'000, invocation.get("data"), invocation.get("data")));
  return Exit::ok;
}

Result<Exit> fsck(const Invocation& invocation) {
  bool bad = false;
  for (const Finding& finding : TRY(check_data({invocation.get("data")}))) {
    print(fmt::format("{:8} {}: {}\n", finding.bad ? "DAMAGED" : "ok", finding.what, printable(finding.outcome)));
    bad |= finding.bad;
  }
  return bad ? Exit::failed : Exit::ok;
}

struct Check {
  std::string what, command;
  bool ok = false;
};

std::vector<Check> checks() {
  std::vector<Check> out;
  const auto program = [&](const char* name, const char* package) {
    const auto found = run({.arguments = {"sh", "-c", "command -v \"$1\"", "sh", name}, .environment = {"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}});
    out.push_back({fmt::format("program {}", name), fmt::format("apt-get install {}", package), found && found->ok()});
  };
  program("git", "git");
  program("runc", "runc");
  program("nft", "nftables");
  out.push_back({"root", "run as root: sudo slipway up", ::geteuid() == 0});
  const std::string systems = read_file("/proc/filesystems", 1 << 20).value_or("");
  out.push_back({"kernel: overlay file system", "modprobe overlay", systems.find("\toverlay") != systems.npos});
  out.push_back({"kernel: control groups", "mount cgroup2 on /sys/fs/cgroup", is_folder("/sys/fs/cgroup")});
  return out;
}

Result<Exit> doctor(const Invocation&) {
  bool good = true;
  for (const Check& check : checks()) {
    print(fmt::format("{:8} {}{}\n", check.ok ? "ok" : "MISSING", check.what, check.ok ? "" : "   -> " + check.command));
    good &= check.ok;
  }
  return good ? Exit::ok : Exit::failed;
}

Result<Exit> print_version(const Invocation& invocation) {
  if (invocation.get("output") == "json") print(fmt::format("{{\"version\":\"{}\",\"kubernetes\":\"v1.36.3\"}}\n", version));
  else print(fmt::format("slipway {} (Kubernetes API v1.36.3)\n", version));
  return Exit::ok;
}

}  // namespace

StopSignals::StopSignals() {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
}

void StopSignals::wait() const {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGINT);
  int signal = 0;
  ::sigwait(&mask, &signal);
}

std::vector<cli::Command> process_commands() {
  std::vector<Flag> serve_flags = with_listening({data_flag, {"kubeconfig", 0, "FILE", "of a foreign plane"}, {"beside-node", 0, "", "pods run on this machine"}});
  return {
      {.path = "serve", .arguments = "", .summary = "The control plane's process", .flags = serve_flags, .run = run_serve, .hidden = true},
      {.path = "node", .arguments = "", .summary = "The node agent's process",
       .flags = {data_flag, {"name", 0, "NAME", "of the Node", "local"}, {"registry-port", 0, "PORT", "of the image registry", "5000"}, {"kubeconfig", 0, "FILE", "of the plane"},
                 {"foreign", 0, "", "the plane is not the embedded one"}},
       .run = run_node_command, .hidden = true},
      {.path = "monitor", .arguments = "", .summary = "The monitor of one pod", .run = [](const Invocation& i) -> Result<Exit> { return static_cast<Exit>(sandbox::monitor_main(i.arguments)); },
       .hidden = true, .raw = true},
  };
}

std::vector<cli::Command> machine_commands() {
  return {
      {.path = "up", .arguments = "", .summary = "Start the control plane and the node on this machine",
       .details = "Stays in the foreground; --detach returns when everything answers. Processes that end are started again.",
       .flags = with_listening({data_flag, {"detach", 'd', "", "return when ready"}, {"kubeconfig", 0, "FILE", "work on this plane instead of an embedded one"},
                                {"node", 0, "NAME", "with --kubeconfig: this machine is a node of that plane too"},
                                {"node-kubeconfig", 0, "FILE", "with --node: the node's own credentials"},
                                {"background", 0, "FD", "(what --detach starts) tell this descriptor when ready"}}),
       .run = up},
      {.path = "down", .arguments = "", .summary = "Stop everything on this machine; the data stays",
       .flags = {data_flag, {"purge", 0, "", "remove the data too"}}, .run = down},
      {.path = "doctor", .arguments = "", .summary = "Tell what this machine lacks, and the command that mends it", .run = doctor},
      {.path = "kubeconfig", .arguments = "", .summary = "Print the kubeconfig of the plane", .flags = {data_flag}, .run = print_kubeconfig},
      {.path = "image import", .arguments = "PATH NAME", .summary = "Store an image from a root folder, a tar, an OCI layout or `docker save`",
       .flags = {data_flag}, .run = import_image},
      image_build_command(),
      {.path = "backup create", .arguments = "FILE", .summary = "Write everything that cannot be made again into one tar, while the system runs", .flags = {data_flag}, .run = backup},
      {.path = "backup restore", .arguments = "FILE", .summary = "Lay a backup out as a new data folder", .flags = {data_flag}, .run = restore},
      {.path = "fsck", .arguments = "", .summary = "Check blobs, images, repositories and, while nothing runs, the API's objects; exit code 1 where something is damaged", .flags = {data_flag}, .run = fsck},
      {.path = "version", .arguments = "", .summary = "Print the version", .flags = {cli::output_flag()}, .run = print_version},
      {.path = "completion", .arguments = "SHELL", .summary = "Print the completion script for bash, zsh, fish or powershell",
       .run = [](const Invocation& i) -> Result<Exit> {
         const std::string script = cli::completion_script(i.arguments[0]);
         if (script.empty()) return fail(ErrorCode::invalid, "completion knows bash, zsh, fish and powershell");
         return print(script), Exit::ok;
       }},
  };
}

}  // namespace slipway::app
