// SPDX-License-Identifier: Apache-2.0
#include "cluster/api/failure.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "kube/client.h"

namespace slipway::api {

Failure::Failure(const Error& error)
    : code(kube::http_status_of(error.code)), reason(kube::reason_of(error.code)), message(error.to_string()) {}

Json Failure::to_status() const {
  Json out = Json::object({{"kind", "Status"},
                           {"apiVersion", "v1"},
                           {"metadata", Json::object()},
                           {"status", "Failure"},
                           {"message", message},
                           {"reason", reason}});
  Json details = Json::object();
  if (!name.empty()) details = details.with("name", name);
  if (!group.empty()) details = details.with("group", group);
  if (!kind.empty()) details = details.with("kind", kind);
  Json list = Json::array();
  for (const Cause& cause : causes)
    list = list.with_item(Json::object({{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}}));
  if (!causes.empty()) details = details.with("causes", list);
  if (!details.empty()) out = out.with("details", details);
  return out.with("code", code);
}

std::unexpected<Failure> bad_request(std::string message) {
  return std::unexpected(Failure(400, "BadRequest", std::move(message)));
}

std::unexpected<Failure> invalid(const Json& object, std::vector<Cause> causes) {
  const std::string kind = object["kind"].str(), version = object["apiVersion"].str();
  std::vector<std::string> texts;
  for (const Cause& cause : causes) texts.push_back(cause.field + ": " + cause.message);
  const std::string group = version.find('/') == version.npos ? "" : version.substr(0, version.find('/'));
  const std::string name = object["metadata"]["name"].str(object["metadata"]["generateName"].as_string());
  Failure out(422, "Invalid",
              fmt::format("{}{} \"{}\" is invalid: {}", kind, group.empty() ? "" : "." + group, name,
                          texts.size() == 1 ? texts[0] : "[" + join(texts, ", ") + "]"));
  out.group = group;
  out.kind = kind;
  out.name = name;
  out.causes = std::move(causes);
  return std::unexpected(std::move(out));
}

Cause required(std::string field) { return {"FieldValueRequired", std::move(field), "Required value"}; }

Cause invalid_value(std::string field, const Json& value, std::string_view why) {
  return {"FieldValueInvalid", std::move(field), fmt::format("Invalid value: {}: {}", to_json(value), why)};
}

Cause unsupported_value(std::string field, const Json& value, const std::vector<std::string>& supported) {
  std::vector<std::string> quoted;
  for (const std::string& one : supported) quoted.push_back("\"" + one + "\"");
  return {"FieldValueNotSupported", std::move(field),
          fmt::format("Unsupported value: {}: supported values: {}", to_json(value), join(quoted, ", "))};
}

Cause immutable_field(std::string field, const Json& value) {
  return invalid_value(std::move(field), value, "field is immutable");
}

}  // namespace slipway::api
