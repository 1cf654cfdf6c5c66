// SPDX-License-Identifier: Apache-2.0
#include "base/counters.h"

#include <fmt/format.h>

#include <algorithm>

namespace slipway {
namespace {

std::string escape(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

std::string text_of(Labels labels) {
  std::string out;
  for (const auto& [name, value] : labels) out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", name, escape(value));
  return out;
}

std::string series(std::string_view name, std::string_view labels) {
  return labels.empty() ? std::string(name) : fmt::format("{}{{{}}}", name, labels);
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::observe(double value) {
  const auto at = static_cast<std::size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin());
  counts_[at].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

void Histogram::write(std::string_view name, std::string_view labels, std::string& out) const {
  std::uint64_t total = 0;
  const std::string_view comma = labels.empty() ? "" : ",";
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i].load(std::memory_order_relaxed);
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    out += fmt::format("{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma, bound, total);
  }
  out += fmt::format("{} {}\n", series(fmt::format("{}_sum", name), labels), sum_.load(std::memory_order_relaxed));
  out += fmt::format("{} {}\n", series(fmt::format("{}_count", name), labels), total);
}

std::string Metrics::admit(Labels labels) {
  return ++series_ > max_series ? "overflow=\"true\"" : text_of(labels);
}

Counter& Metrics::scalar(std::string_view name, std::string_view help, std::string_view type, Labels labels) {
  const std::lock_guard lock(mutex_);
  Family& family = families_[std::string(name)];
  family.help = help;
  family.type = type;
  if (const auto known = family.counters.find(text_of(labels)); known != family.counters.end()) return *known->second;
  auto& counter = family.counters[admit(labels)];
  if (!counter) counter = std::make_unique<Counter>();
  return *counter;
}

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) { return scalar(name, help, "counter", labels); }
Counter& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) { return scalar(name, help, "gauge", labels); }

Histogram& Metrics::histogram(std::string_view name, std::string_view help, Labels labels, std::vector<double> bounds) {
  const std::lock_guard lock(mutex_);
  Family& family = families_[std::string(name)];
  family.help = help;
  family.type = "histogram";
  if (const auto known = family.histograms.find(text_of(labels)); known != family.histograms.end()) return *known->second;
  if (bounds.empty()) bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
  auto& histogram = family.histograms[admit(labels)];
  if (!histogram) histogram = std::make_unique<Histogram>(std::move(bounds));
  return *histogram;
}

void Metrics::gauge_from(std::string_view name, std::string_view help, std::function<double()> value) {
  const std::lock_guard lock(mutex_);
  Family& family = families_[std::string(name)];
  family.help = help;
  family.type = "gauge";
  family.from = std::move(value);
}

std::string Metrics::text() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, family.type);
    for (const auto& [labels, counter] : family.counters) out += fmt::format("{} {}\n", series(name, labels), counter->value());
    for (const auto& [labels, histogram] : family.histograms) histogram->write(name, labels, out);
    if (family.from) out += fmt::format("{} {}\n", name, family.from());
  }
  return out;
}

}  // namespace slipway
