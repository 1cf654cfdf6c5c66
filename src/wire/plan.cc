// SPDX-License-Identifier: Apache-2.0
#include "wire/plan.h"

namespace slipway::wire {
namespace {

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.items()) out.push_back(item.str());
  return out;
}

}  // namespace

Json Plan::to_json() const {
  std::vector<Json> step_list, workspace_list;
  for (const Step& step : steps)
    step_list.push_back(Json::object({{"name", step.name}, {"script", step.script}, {"command", Json::strings(step.command)}, {"timeoutSeconds", step.timeout_seconds},
                                      {"continueOnError", step.continue_on_error}}));
  for (const Workspace& workspace : workspaces)
    workspace_list.push_back(Json::object({{"name", workspace.name}, {"path", workspace.path}, {"blobs", Json::strings(workspace.blobs)}}));
  return Json::object({{"attempt", attempt}, {"hub", hub}, {"pin", pin}, {"steps", Json::array(std::move(step_list))}, {"results", Json::strings(results)},
                       {"workspaces", Json::array(std::move(workspace_list))}, {"secretVariables", Json::strings(secret_variables)}, {"secretFolders", Json::strings(secret_folders)},
                       {"reports", Json::strings(reports)}});
}

Result<Plan> Plan::from_json(const Json& value) {
  Plan plan{value["attempt"].str(), value["hub"].str(), value["pin"].str(), {}, strings_of(value["results"]), {},
            strings_of(value["secretVariables"]), strings_of(value["secretFolders"]), strings_of(value["reports"])};
  for (const Json& step : value["steps"].items())
    plan.steps.push_back({step["name"].str(), step["script"].str(), strings_of(step["command"]), step["timeoutSeconds"].as_int(), step["continueOnError"].as_bool()});
  for (const Json& workspace : value["workspaces"].items()) plan.workspaces.push_back({workspace["name"].str(), workspace["path"].str(), strings_of(workspace["blobs"])});
  if (plan.attempt.empty() || plan.steps.empty()) return fail(ErrorCode::invalid, "the plan of the pod names no attempt or no step");
  return plan;
}

std::string Termination::to_text() const {
  Json list = Json::object();
  std::string left_out;
  const auto text = [&] {
    return text::to_json(Json::object({{"exitCode", exit_code}, {"reason", reason}, {"message", left_out.empty() ? message : message + left_out}, {"results", list}}));
  };
  for (const auto& [name, value] : results) {
    const Json before = list;
    list = list.with(name, value);
    if (text().size() <= max_termination_message) continue;
    list = before;
    left_out = "results are larger than 4096 bytes; left out: " + name;
  }
  return text();
}

Result<Termination> Termination::parse(std::string_view text) {
  const Json value = TRY(text::parse_json(text));
  Termination out{static_cast<int>(value["exitCode"].as_int(-1)), value["reason"].str(), {}, value["message"].str()};
  for (const auto& member : value["results"].members()) out.results[std::string(member.key())] = member.value.str();
  return out;
}

std::string blob_path(const std::string& attempt, const std::string& digest) { return "/hub/v1/attempts/" + attempt + "/blobs/" + digest; }
std::string workspace_path(const std::string& attempt, const std::string& workspace) { return "/hub/v1/attempts/" + attempt + "/workspaces/" + workspace; }
std::string report_path(const std::string& attempt, const std::string& name) { return "/hub/v1/attempts/" + attempt + "/reports/" + name; }
std::string log_path(const std::string& attempt, const std::string& step, std::uint64_t offset) {
  return "/hub/v1/attempts/" + attempt + "/logs/" + step + "?offset=" + std::to_string(offset);
}

}  // namespace slipway::wire
