// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "base/clock.h"

namespace slipway::log {
namespace {

// Set once at start and read by every thread; the only state of the process that is not handed around, because a log
// record must be possible where nothing else is at hand.
std::atomic<Level> threshold{Level::info};
std::string component_name;  // NOLINT: written before the first thread starts

constexpr std::string_view level_name(Level level) {
  constexpr std::string_view names[] = {"debug", "info", "warn", "error"};
  return names[static_cast<std::size_t>(level)];
}

void append_quoted(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (c == '\n') out += "\\n";
    else if (static_cast<unsigned char>(c) < 32 || c == 127) out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else out += c;
  }
  out += '"';
}

struct AppendValue {
  std::string& out;
  void operator()(const std::string& text) const { append_quoted(text, out); }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(std::int64_t value) const { out += fmt::format("{}", value); }
  void operator()(double value) const { out += fmt::format("{}", value); }
};

}  // namespace

void set_component(std::string_view name) { component_name = name; }
void set_level(Level level) { threshold = level; }

std::string format(std::string_view timestamp, Level level, std::string_view component, std::string_view message, Fields fields) {
  std::string line = fmt::format(R"({{"@timestamp":"{}","log.level":"{}")", timestamp, level_name(level));
  if (!component.empty()) {
    line += R"(,"service.name":)";
    append_quoted(component, line);
  }
  line += R"(,"message":)";
  append_quoted(message, line);
  for (const Field& field : fields) {
    line += ',';
    append_quoted(field.name, line);
    line += ':';
    std::visit(AppendValue{line}, field.value);
  }
  return line + "}";
}

void write(Level level, std::string_view message, Fields fields) {
  if (level < threshold.load(std::memory_order_relaxed)) return;
  const std::string line = format(format_rfc3339_micro(SystemClock().now()), level, component_name, message, fields) + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // no one reads: there is nowhere to say so
}

}  // namespace slipway::log
