// SPDX-License-Identifier: Apache-2.0
// Executor: the only place where threads begin and where code waits. Real in production, simulated in tests.
//
// A Task is a thread with a name and a stop token. All waiting goes through a Monitor (a lock with one condition), so
// that a simulated executor can hold every task but one and move virtual time on when all of them wait.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"

namespace slipway {

// A lock and a condition. Lock through Guard only. wait() may wake without cause; both wake when `stop` is requested.
class Monitor {
 public:
  virtual ~Monitor() = default;
  virtual void lock() = 0;
  virtual void unlock() = 0;
  virtual void wait(std::stop_token stop, std::optional<Steady> deadline) = 0;  // locked before and after
  virtual void notify_all() = 0;
};

class Guard final {
 public:
  explicit Guard(Monitor& monitor) : monitor_(monitor) { monitor_.lock(); }
  ~Guard() { monitor_.unlock(); }
  Guard(const Guard&) = delete;
  // Waits until ready() holds; false when the deadline passed or the stop came first.
  template <class Ready>
  bool wait_until(Ready ready, std::stop_token stop, std::optional<Steady> deadline, const Clock& clock) {
    while (!ready()) {
      if (stop.stop_requested() || (deadline && clock.steady() >= *deadline)) return false;
      monitor_.wait(stop, deadline);
    }
    return true;
  }

 private:
  Monitor& monitor_;
};

// A running task. The destructor asks it to stop and joins.
class Task {
 public:
  virtual ~Task() = default;
  virtual void request_stop() = 0;
  virtual void join() = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;
  virtual std::unique_ptr<Task> spawn(std::string name, std::function<void(std::stop_token)> body) = 0;
  virtual std::unique_ptr<Monitor> make_monitor() = 0;
  virtual const Clock& clock() const = 0;
  // Waits for a time or the stop; false when stopped.
  virtual bool sleep(std::chrono::nanoseconds span, std::stop_token stop) = 0;
};

// Threads of the operating system and its clocks.
std::unique_ptr<Executor> make_system_executor();

}  // namespace slipway
