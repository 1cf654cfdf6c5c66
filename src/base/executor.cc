// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace slipway {
namespace {

class SystemMonitor final : public Monitor {
 public:
  void lock() override { mutex_.lock(); }
  void unlock() override { mutex_.unlock(); }
  void notify_all() override { condition_.notify_all(); }

  void wait(std::stop_token stop, std::optional<Steady> deadline) override {
    std::unique_lock lock(mutex_, std::adopt_lock);
    // One wake-up for whatever reason; the caller checks. The predicate makes the first wake-up count.
    bool woken = false;
    const auto once = [&] { return std::exchange(woken, true); };
    if (deadline) condition_.wait_until(lock, std::move(stop), *deadline, once);
    else condition_.wait(lock, std::move(stop), once);
    lock.release();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any condition_;
};

class SystemTask final : public Task {
 public:
  SystemTask(const std::string& name, std::function<void(std::stop_token)> body) : thread_(std::move(body)) {
    pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  }
  void request_stop() override { thread_.request_stop(); }
  void join() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::jthread thread_;
};

class SystemExecutor final : public Executor {
 public:
  std::unique_ptr<Task> spawn(std::string name, std::function<void(std::stop_token)> body) override {
    return std::make_unique<SystemTask>(name, std::move(body));
  }
  std::unique_ptr<Monitor> make_monitor() override { return std::make_unique<SystemMonitor>(); }
  const Clock& clock() const override { return clock_; }

  bool sleep(std::chrono::nanoseconds span, std::stop_token stop) override {
    SystemMonitor monitor;
    Guard guard(monitor);
    guard.wait_until([] { return false; }, stop, clock_.steady() + span, clock_);
    return !stop.stop_requested();
  }

 private:
  SystemClock clock_;
};

}  // namespace

std::unique_ptr<Executor> make_system_executor() { return std::make_unique<SystemExecutor>(); }

}  // namespace slipway
