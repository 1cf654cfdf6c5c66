// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "text/jsonpath.h"
#include "text/yaml.h"

namespace slipway::cli {

void print(std::string_view text) { (void)write_all(STDOUT_FILENO, text); }
void progress(std::string_view text) { (void)write_all(STDERR_FILENO, text); }

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += i + 1 < row.size() ? fmt::format("{:<{}}   ", printable(row[i]), widths[i]) : printable(row[i]);
    out += line + "\n";
  }
  return out;
}

Result<> show(const Invocation& invocation, const std::vector<Json>& objects, bool as_list, const std::function<Table()>& table) {
  const std::string format = invocation.get("output");
  if (format.empty() || format == "wide") return print(table().text()), Result<>{};
  if (format == "name") {
    for (const Json& one : objects) print(fmt::format("{}/{}\n", to_lower(one["kind"].as_string()), one["metadata"]["name"].as_string()));
    return {};
  }
  const Json whole = as_list ? Json::object({{"apiVersion", "v1"}, {"kind", "List"}, {"items", Json::array(objects)}}) : objects.empty() ? Json() : objects[0];
  if (format == "json") return print(text::to_json_indented(whole) + "\n"), Result<>{};
  if (format == "yaml") return print(text::to_yaml(whole)), Result<>{};
  if (format.starts_with("jsonpath=")) return print(TRY(TRY(text::JsonPath::parse(std::string_view(format).substr(9))).print(whole))), Result<>{};
  return std::unexpected(Error{ErrorCode::invalid, fmt::format("unknown output format \"{}\": json, yaml, name, wide or jsonpath=TEMPLATE", printable(format)), {"usage"}});
}

std::string age_of(const Json& object) {
  std::tm parts{};
  const std::string stamp = object["metadata"]["creationTimestamp"].str();
  if (!::strptime(stamp.c_str(), "%Y-%m-%dT%H:%M:%S", &parts)) return "-";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(SystemClock().now().time_since_epoch()).count() - ::timegm(&parts);
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m", seconds / 60);
  return seconds < 172800 ? fmt::format("{}h", seconds / 3600) : fmt::format("{}d", seconds / 86400);
}

}  // namespace slipway::cli
