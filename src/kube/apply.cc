// SPDX-License-Identifier: Apache-2.0
#include "kube/apply.h"

#include <fmt/format.h>

#include <algorithm>

namespace slipway::kube {
namespace {

constexpr std::string_view before_first_apply = "before-first-apply";

struct Manager {
  std::string name, operation, api_version, subresource, time;
  FieldSet fields;
};

std::vector<Manager> managers_of(const Json& object) {
  std::vector<Manager> out;
  for (const Json& entry : object["metadata"]["managedFields"].items())
    out.push_back({entry["manager"].str(), entry["operation"].str(), entry["apiVersion"].str(), entry["subresource"].str(), entry["time"].str(), FieldSet::parse(entry["fieldsV1"])});
  return out;
}

Json with_managers(const Json& object, const std::vector<Manager>& managers) {
  std::vector<Json> entries;
  for (const Manager& manager : managers) {
    if (manager.fields.empty()) continue;
    Json entry = Json::object({{"manager", manager.name}, {"operation", manager.operation}, {"apiVersion", manager.api_version}, {"time", manager.time},
                               {"fieldsType", "FieldsV1"}, {"fieldsV1", manager.fields.to_json()}});
    if (!manager.subresource.empty()) entry = entry.with("subresource", manager.subresource);
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return object.with_path({"metadata", "managedFields"}, nullptr).without_path({"metadata", "managedFields"});
  return object.with_path({"metadata", "managedFields"}, Json::array(std::move(entries)));
}

Json merge_keyed(const Json& live, const Json& applied, const ListKind& kind) {
  std::vector<Json> out(live.items().begin(), live.items().end());
  for (const Json& item : applied.items()) {
    const auto key = item_key(kind, item);
    const auto same = std::ranges::find_if(out, [&](const Json& one) { return item_key(kind, one) == key; });
    if (same == out.end()) out.push_back(item);
    else *same = merge_applied(*same, item);
  }
  return Json::array(std::move(out));
}

}  // namespace

Json merge_applied(const Json& live, const Json& applied, std::string_view field) {
  if (applied.is_object() && live.is_object() && !is_atomic_map(field, applied)) {
    Json out = live;
    for (const auto& member : applied.members()) out = out.with(member.key(), merge_applied(live[member.key()], member.value, member.key()));
    return out;
  }
  if (applied.is_array() && live.is_array()) {
    const ListKind kind = list_kind(field, applied);
    if (kind.kind != ListKind::Kind::atomic && (live.empty() || list_kind(field, live).kind == kind.kind)) return merge_keyed(live, applied, kind);
  }
  return applied;
}

namespace {

struct Conflict {
  std::string manager, api_version, path;
};

std::unexpected<Error> conflict_error(const std::vector<Conflict>& conflicts) {
  std::string text = fmt::format("Apply failed with {} conflict{}: ", conflicts.size(), conflicts.size() == 1 ? "" : "s");
  if (conflicts.size() == 1) {
    text += fmt::format("conflict with \"{}\" using {}: {}", conflicts[0].manager, conflicts[0].api_version, conflicts[0].path);
  } else {
    std::string last;
    for (const Conflict& conflict : conflicts) {
      const std::string who = fmt::format("conflicts with \"{}\" using {}:", conflict.manager, conflict.api_version);
      if (who != last) text += (last.empty() ? "" : "\n") + who;
      text += "\n- " + conflict.path;
      last = who;
    }
  }
  return fail(ErrorCode::conflict, std::move(text));
}

bool is_same_writer(const Manager& manager, const Applier& applier, std::string_view operation) {
  return manager.name == applier.manager && manager.operation == operation && manager.subresource == applier.subresource;
}

}  // namespace

Result<Json> apply(const Json& live, const Json& applied, const Applier& applier) {
  const FieldSet wanted = FieldSet::of(applied);
  std::vector<Manager> managers = managers_of(live);
  if (managers.empty() && !live.is_null())
    managers.push_back({std::string(before_first_apply), "Update", applier.api_version, "", applier.time, FieldSet::of(live.without("status"))});

  std::vector<Conflict> conflicts;
  FieldSet earlier;
  for (Manager& manager : managers) {
    if (is_same_writer(manager, applier, "Apply")) {
      earlier = manager.fields;
      continue;
    }
    FieldSet taken;
    wanted.common(manager.fields).each([&](const auto& path) {
      const auto now = value_at(live, path), then = value_at(applied, path);
      const bool is_item = path.back().starts_with("k:");
      if (is_item || now == then) return;  // the same value is shared, not fought over
      conflicts.push_back({manager.name, manager.api_version, describe_path(path)});
      taken.insert(path);
    });
    if (applier.force == Force::yes) manager.fields = manager.fields.without(taken);
  }
  if (!conflicts.empty() && applier.force == Force::no) return conflict_error(conflicts);

  Json result = live.is_null() ? applied : merge_applied(live, applied.without_path({"metadata", "managedFields"}));
  // What this manager applied before, does not any more, and nobody else owns, goes.
  FieldSet abandoned = earlier.without(wanted);
  for (const Manager& manager : managers)
    if (!is_same_writer(manager, applier, "Apply")) abandoned = abandoned.without(abandoned.common(manager.fields));
  std::vector<std::vector<std::string>> paths;
  abandoned.each([&](const auto& path) {
    if (!wanted.covers(path)) paths.push_back(path);
  });
  for (const auto& path : paths) result = without_path(result, path);

  std::erase_if(managers, [&](const Manager& manager) { return is_same_writer(manager, applier, "Apply"); });
  managers.push_back({applier.manager, "Apply", applier.api_version, applier.subresource, applier.time, wanted});
  // An entry whose fields did not change keeps its time, so that applying the same again changes nothing.
  for (const Manager& before : managers_of(live))
    if (is_same_writer(before, applier, "Apply") && before.fields.to_json() == wanted.to_json()) managers.back().time = before.time;
  return with_managers(result, managers);
}

Json track_update(const Json& before, const Json& after, const Applier& writer) {
  std::vector<Manager> managers = managers_of(before);
  if (managers.empty()) return after;
  const FieldSet old_fields = FieldSet::of(before), new_fields = FieldSet::of(after);
  FieldSet changed;
  new_fields.each([&](const auto& path) {
    if (!path.back().starts_with("k:") && value_at(before, path) != value_at(after, path)) changed.insert(path);
  });
  const FieldSet removed = old_fields.without(new_fields);
  if (changed.empty() && removed.empty()) return after.with_path({"metadata", "managedFields"}, before["metadata"]["managedFields"]);
  bool known = false;
  for (Manager& manager : managers) {
    const bool own = is_same_writer(manager, writer, "Update");
    manager.fields = manager.fields.without(removed);
    manager.fields = own ? manager.fields.united(changed) : manager.fields.without(changed);
    if (own) manager.time = writer.time;
    known |= own;
  }
  if (!known) managers.push_back({writer.manager, "Update", writer.api_version, writer.subresource, writer.time, changed});
  return with_managers(after, managers);
}

}  // namespace slipway::kube
