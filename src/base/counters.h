// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms, written out in the Prometheus text format (conventions E7, E8).
//
// A Metrics object is handed around like a clock. Families are made once, at construction of who counts; adding is
// lock-free after the first use of a label set. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Counter final {
 public:
  void add(double amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  void set(double value) { value_.store(value, std::memory_order_relaxed); }  // for gauges
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram final {
 public:
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);
  void write(std::string_view name, std::string_view labels, std::string& out) const;

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

class Metrics final {
 public:
  static constexpr std::size_t max_series = 10'000;  // beyond it a series is counted under the label overflow="true"

  // Names follow E8: slipway_…_total for counters; help is one sentence without a full stop.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Counter& gauge(std::string_view name, std::string_view help, Labels labels = {});
  // Bounds in seconds from 1 ms to 1 min unless given.
  Histogram& histogram(std::string_view name, std::string_view help, Labels labels = {}, std::vector<double> bounds = {});
  // A gauge whose value is asked for when it is written.
  void gauge_from(std::string_view name, std::string_view help, std::function<double()> value);

  std::string text() const;  // text/plain; version=0.0.4

 private:
  struct Family {
    std::string help, type;
    std::map<std::string, std::unique_ptr<Counter>> counters;
    std::map<std::string, std::unique_ptr<Histogram>> histograms;
    std::function<double()> from;
  };
  Counter& scalar(std::string_view name, std::string_view help, std::string_view type, Labels labels);
  std::string admit(Labels labels);

  mutable std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
  std::size_t series_ = 0;
};

}  // namespace slipway
