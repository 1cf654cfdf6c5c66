// SPDX-License-Identifier: Apache-2.0
#include "sandbox/user.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "sandbox/oci_spec.h"

namespace slipway::sandbox {
namespace {

template <class Range, class Value>
bool contains(const Range& range, const Value& value) {
  return std::ranges::find(range, value) != std::ranges::end(range);
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

Result<std::uint32_t> parse_id(std::string_view text) {
  const auto id = parse_int(text);
  if (!id || *id < 0 || *id > std::int64_t{max_id})
    return fail(ErrorCode::invalid, fmt::format("user or group id is out of range: {}", printable(text)));
  return static_cast<std::uint32_t>(*id);
}

std::optional<std::vector<std::string_view>> find_record(std::string_view file, std::size_t column, std::string_view value) {
  for (const std::string_view line : split_lines(file)) {
    auto fields = split(line, ':');
    if (fields.size() > column && fields.size() >= 3 && fields[column] == value) return fields;
  }
  return std::nullopt;
}

Result<std::uint32_t> group_id(std::string_view name, std::string_view group_file) {
  if (is_number(name)) return parse_id(name);
  const auto record = find_record(group_file, 0, name);
  if (!record) return fail(ErrorCode::invalid, fmt::format("unable to find group {}: no matching entries in group file", printable(name)));
  return parse_id((*record)[2]);
}

std::vector<std::uint32_t> memberships(std::string_view user_name, std::string_view group_file) {
  std::vector<std::uint32_t> ids;
  for (const std::string_view line : split_lines(group_file)) {
    const auto fields = split(line, ':');
    if (fields.size() < 4 || !contains(split(fields[3], ','), user_name)) continue;
    if (const auto id = parse_id(fields[2])) ids.push_back(*id);
  }
  return ids;
}

std::string read_or_empty(const Root& root, std::string_view path) {
  return root.read(path, max_passwd_bytes).value_or(std::string());
}

}  // namespace

Result<ResolvedUser> resolve_user(std::string_view image_user, std::string_view passwd, std::string_view group) {
  ResolvedUser result;
  const std::size_t colon = image_user.find(':');
  const std::string_view name = image_user.substr(0, colon);
  if (!name.empty()) {
    const auto record = find_record(passwd, is_number(name) ? 2 : 0, name);
    if (!record && !is_number(name))
      return fail(ErrorCode::invalid, fmt::format("unable to find user {}: no matching entries in passwd file", printable(name)));
    result.user = TRY(parse_id(record ? (*record)[2] : name));
    if (record && record->size() > 3) result.group = TRY(parse_id((*record)[3]));
    if (record) result.extra_groups = memberships((*record)[0], group);
  }
  if (colon != std::string_view::npos) {
    result.group = TRY(group_id(image_user.substr(colon + 1), group));
    result.extra_groups.clear();
  }
  return result;
}

Result<ResolvedUser> resolve_user_in(const std::string& root_folder, std::string_view image_user) {
  const Root root = TRY(Root::open(root_folder));
  return resolve_user(image_user, read_or_empty(root, "etc/passwd"), read_or_empty(root, "etc/group"));
}

}  // namespace slipway::sandbox
