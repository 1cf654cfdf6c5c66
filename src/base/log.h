// SPDX-License-Identifier: Apache-2.0
// Structured logs: one JSON line a record on stderr: {"@timestamp":…,"log.level":"info","message":"…","pod":"ns/x"}.
// The message is a constant; what differs is a field. A record is written once, where the error is handled.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace slipway::log {

enum class Level { debug, info, warn, error };

struct Field {
  std::string_view name;
  std::variant<std::string, std::int64_t, double, bool> value;
  Field(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  Field(std::string_view n, std::string_view v) : name(n), value(std::string(v)) {}
  Field(std::string_view n, const char* v) : name(n), value(std::string(v)) {}
  Field(std::string_view n, int v) : name(n), value(static_cast<std::int64_t>(v)) {}
  Field(std::string_view n, std::int64_t v) : name(n), value(v) {}
  Field(std::string_view n, std::uint64_t v) : name(n), value(static_cast<std::int64_t>(v)) {}
  Field(std::string_view n, double v) : name(n), value(v) {}
  Field(std::string_view n, bool v) : name(n), value(v) {}
};
using Fields = std::initializer_list<Field>;

void set_component(std::string_view name);  // "serve", "node"; once, at start
void set_level(Level level);
void write(Level level, std::string_view message, Fields fields = {});
inline void debug(std::string_view message, Fields fields = {}) { write(Level::debug, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::info, message, fields); }
inline void warn(std::string_view message, Fields fields = {}) { write(Level::warn, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(Level::error, message, fields); }

// The line without its newline: pure, for tests.
std::string format(std::string_view timestamp, Level level, std::string_view component, std::string_view message, Fields fields);

}  // namespace slipway::log
