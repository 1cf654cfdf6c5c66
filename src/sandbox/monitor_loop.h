// SPDX-License-Identifier: Apache-2.0
// The loop of a pod's monitor (see monitor.h). One thread.
#pragma once

#include <poll.h>

#include <list>
#include <map>
#include <memory>
#include <optional>

#include "base/process.h"
#include "sandbox/monitor.h"

namespace slipway::sandbox {

class MonitorLoop final {
 public:
  MonitorLoop(MonitorConfig config, CgroupTree cgroups, UniqueFd listener)
      : config_(std::move(config)), cgroups_(std::move(cgroups)), listener_(std::move(listener)) {}

  Result<> recover();  // ends what an earlier monitor left
  void run();          // until told to quit

 private:
  // The live part of a container; its record is in state_.
  struct Live {
    std::string id;
    std::string bundle;
    std::optional<Child> runtime;  // while it starts
    UniqueFd process;              // pidfd, while it runs
    pid_t pid = -1;
    UniqueFd out, err;
    LineCutter out_lines{LogStream::out}, err_lines{LogStream::err};
    std::optional<LogFile> log;
    bool killed_early = false;  // a signal came before it ran
  };
  struct Peer {
    UniqueFd socket;
    std::string received;
    std::string unsent;
  };

  std::vector<pollfd> waits();
  void serve(const std::vector<pollfd>& ready);
  void accept_peer();
  bool read_peer(Peer& peer);   // false: gone
  bool flush_peer(Peer& peer);  // false: gone
  void obey(const MonitorCommand& command);
  void start(const StartContainer& command);
  void signal(const SignalContainer& command);
  void finish_start(Live& live);
  void read_output(Live& live);
  bool drain(UniqueFd& pipe, LineCutter& lines, Live& live, int rounds);
  void finish(Live& live);
  void record_exit(const std::string& id, int exit_code, std::string reason, std::string message);
  bool was_oom_killed(const ContainerRecord& record) const;
  void remove_later(const std::string& id);
  void reap();
  void save_and_tell();

  MonitorConfig config_;
  CgroupTree cgroups_;
  UniqueFd listener_;
  MonitorState state_;
  std::list<Live> live_;
  std::list<Peer> peers_;
  std::list<Child> removals_;
  bool quitting_ = false;
};

}  // namespace slipway::sandbox
