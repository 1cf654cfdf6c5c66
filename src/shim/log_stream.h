// SPDX-License-Identifier: Apache-2.0
// A step's output on its way out: masked, to the container's own output (so that `kubectl logs` shows it) and to a file
// in the pod, from which it is sent to the hub as fast as the hub takes it. The file is the buffer: an absent hub costs
// disk, never memory, and nothing is lost or sent twice, because every piece is sent with its offset.
//
// write() on one thread; the sender is a task of its own.
#pragma once

#include <memory>

#include "base/files.h"
#include "shim/hub_client.h"
#include "shim/mask.h"

namespace slipway::shim {

class LogStream final {
 public:
  static constexpr std::uint64_t max_log = 100ULL << 20;  // a step; what comes after is only in the container's output

  static Result<std::unique_ptr<LogStream>> open(const std::string& path, std::string step, const std::vector<std::string>& secrets, HubClient* hub, Executor& executor);
  ~LogStream();

  void write(std::string_view bytes);
  void pause() { emit(masker_.flush()); }  // nothing came for a while: show what was held back
  // Sends what is left; an error where the hub did not take all of it in time. The step's outcome does not depend on it.
  Result<> finish(std::chrono::milliseconds patience);

 private:
  LogStream(UniqueFd file, std::string step, const std::vector<std::string>& secrets, HubClient* hub, Executor& executor)
      : file_(std::move(file)), step_(std::move(step)), masker_(secrets), hub_(hub), executor_(executor), monitor_(executor.make_monitor()) {}
  void emit(std::string_view bytes);
  void send(const std::stop_token& stop);

  const UniqueFd file_;
  const std::string step_;
  Masker masker_;
  HubClient* const hub_;
  Executor& executor_;
  std::unique_ptr<Monitor> monitor_;
  std::uint64_t written_ = 0, sent_ = 0;  // under monitor_
  bool given_up_ = false;                 // the hub refuses this log for good
  std::unique_ptr<Task> sender_;
};

}  // namespace slipway::shim
