// SPDX-License-Identifier: Apache-2.0
// Brings the logs of image builds from the node's files to the hub, while they grow: owner is the ImageBuild's uid, the
// name is "build". The file is the buffer, pieces carry their offset, so that nothing is lost or doubled while the hub
// is away or the node is started again. Any thread.
#pragma once

#include <map>
#include <memory>

#include "base/executor.h"
#include "kube/client.h"

namespace slipway::app {

class BuildLogs final {
 public:
  // `client` finds the hub (ConfigMap kube-public/slipway-info), `token` (between serve and node) opens it.
  BuildLogs(kube::Client& client, std::string token, Executor& executor);
  ~BuildLogs();
  void begin(const std::string& uid, const std::string& path);
  void end(const std::string& uid);  // what is in the file by now is still brought

 private:
  struct Following {
    std::string path;
    std::uint64_t sent = 0;
    bool known = false;  // how much the hub has already
    bool over = false;
  };
  void run(const std::stop_token& stop);
  Result<bool> bring(const std::string& uid, Following& log);  // true: all of it is there
  Result<std::string> send(std::string_view method, const std::string& target, std::string body);

  kube::Client& plane_;
  const std::string token_;
  Executor& executor_;
  const std::unique_ptr<Monitor> monitor_;
  std::map<std::string, Following> logs_;  // by uid; under monitor_
  std::unique_ptr<net::Client> hub_;       // the task's own
  std::unique_ptr<Task> task_;
};

}  // namespace slipway::app
