// SPDX-License-Identifier: Apache-2.0
// What a step pod is told (plan.json in its capability) and what a step says at its end (the termination message).
// Values with their JSON form; pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/json.h"

namespace slipway::wire {

using text::Json;

inline constexpr std::size_t max_plan = 512 * 1024;
inline constexpr std::size_t max_termination_message = 4096;  // the kubelet's limit

// Where things stand inside a step's container.
inline constexpr const char* capability_folder = "/slipway/capability";
inline constexpr const char* run_folder = "/tekton/run";
inline constexpr const char* results_folder = "/tekton/results";
inline constexpr const char* scripts_folder = "/tekton/scripts";
inline constexpr const char* workspaces_folder = "/slipway/workspaces";  // each by its name

struct Step {
  std::string name;
  std::string script;                // or:
  std::vector<std::string> command;  // with its arguments
  std::int64_t timeout_seconds = 0;  // 0: none
  bool continue_on_error = false;
};

struct Workspace {
  std::string name, path;
  std::vector<std::string> blobs;  // tars, later ones over earlier ones
};

struct Plan {
  std::string attempt;          // its id at the hub
  std::string hub, pin;         // "https://10.244.0.1:8443", SHA-256 of its key
  std::vector<Step> steps;
  std::vector<std::string> results;
  std::vector<Workspace> workspaces;
  std::vector<std::string> secret_variables;  // of the environment: their values are masked in the logs
  std::vector<std::string> secret_folders;    // whose files' contents are masked, too
  std::vector<std::string> reports;           // globs of test reports below the workspaces; empty: every JUnit file
  Json to_json() const;
  static Result<Plan> from_json(const Json& value);
};

struct Termination {
  int exit_code = 0;
  std::string reason;  // "", "Skipped", "Timeout", "Error"
  std::map<std::string, std::string> results;
  std::string message;
  std::string to_text() const;  // cut to the limit: results that do not fit are named in the message
  static Result<Termination> parse(std::string_view text);
};

// Paths below the hub's address.
std::string blob_path(const std::string& attempt, const std::string& digest);
std::string workspace_path(const std::string& attempt, const std::string& workspace);
std::string report_path(const std::string& attempt, const std::string& name);
std::string log_path(const std::string& attempt, const std::string& step, std::uint64_t offset);

}  // namespace slipway::wire
