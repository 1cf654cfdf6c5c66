// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "ci/dockerfile/evaluate.h"

namespace slipway::dockerfile {
namespace {

using text::Json;

std::string name_of(const StageOutline& stage, std::size_t number) { return stage.name.empty() ? fmt::format("stage-{}", number) : stage.name; }

Result<StageState> begin(const StageOutline& stage, const std::map<std::size_t, StageState>& done, const std::map<std::string, BaseImage>& images) {
  if (stage.base.kind == Origin::Kind::stage) return done.at(stage.base.stage);
  StageState out;
  if (stage.base.kind == Origin::Kind::scratch) {
    out.defaults.environment = {default_path};
    return out;
  }
  const auto found = images.find(stage.base.image);
  if (found == images.end()) return fail(ErrorCode::internal, "the plan was made without the image " + stage.base.image);
  if (found->second.has_triggers) return fail(ErrorCode::invalid, fmt::format("{} has ONBUILD instructions, which are not supported", stage.base.image));
  out.defaults = found->second.configuration.defaults;
  return out;
}

Json pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<Json> out;
  for (const auto& [name, content] : pairs) out.push_back(Json::object({{"name", name}, {"content", content}}));
  return Json::array(std::move(out));
}

Json origin_json(const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::context: return "context";
    case Origin::Kind::scratch: return "scratch";
    case Origin::Kind::image: return Json::object({{"image", origin.image}});
    case Origin::Kind::stage: return Json::object({{"stage", std::uint64_t{origin.stage}}});
  }
  return {};
}

Json mount_json(const Mount& mount) {
  constexpr const char* kinds[] = {"bind", "cache", "tmpfs"};
  return Json::object({{"type", kinds[static_cast<std::size_t>(mount.kind)]}, {"from", origin_json(mount.from)}, {"source", mount.source}, {"target", mount.target}, {"id", mount.id},
                       {"readOnly", mount.access == Mount::Access::read_only}, {"mode", std::int64_t{mount.mode}}, {"user", std::int64_t{mount.user}},
                       {"group", std::int64_t{mount.group}}, {"size", mount.size}});
}

Json action_json(const Run& run) {
  std::vector<Json> mounts;
  for (const Mount& mount : run.mounts) mounts.push_back(mount_json(mount));
  return Json::object({{"run", Json::strings(run.arguments)}, {"environment", Json::strings(run.environment)}, {"user", run.user}, {"folder", run.folder},
                       {"network", run.network == Network::none ? "none" : "pod"}, {"mounts", Json::array(std::move(mounts))}, {"scripts", pairs_json(run.scripts)}});
}

Json action_json(const Copy& copy) {
  return Json::object({{"copy", Json::strings(copy.sources)}, {"from", origin_json(copy.from)}, {"inline", pairs_json(copy.inline_files)}, {"destination", copy.destination},
                       {"owner", copy.owner}, {"mode", copy.mode ? Json(std::int64_t{*copy.mode}) : Json()}, {"unpack", copy.archives == Copy::Archives::unpack}});
}

Json action_json(const MakeFolder& make) { return Json::object({{"folder", make.path}, {"owner", make.owner}}); }
Json action_json(const Configure&) { return Json::object(); }

}  // namespace

std::size_t Build::position_of(std::size_t number) const {
  return static_cast<std::size_t>(std::ranges::find(stages, number, &Stage::number) - stages.begin());
}

Result<Build> plan(const File& file, const Outline& outline, const Options& options, const std::map<std::string, BaseImage>& images) {
  Build out;
  std::map<std::size_t, StageState> done;
  std::set<std::string> used;
  for (const auto& [name, value] : outline.global_arguments) used.insert(name);
  for (std::size_t number = 0; number <= outline.target; ++number) {
    const StageOutline& stage = outline.stages[number];
    if (!stage.needed) continue;
    const Instruction& from = file.instructions[stage.from];
    StageEvaluator evaluator(file, outline, options, number, TRY(at(begin(stage, done, images), place_of(file.name, from))));
    Stage planned{.number = number, .name = name_of(stage, number), .base = stage.base, .place = place_of(file.name, from), .from_text = from.text()};
    planned.steps = TRY(evaluator.run());
    for (const std::size_t need : stage.needs) planned.needs.push_back(out.position_of(need));
    planned.defaults = evaluator.state().defaults;
    planned.author = evaluator.state().author;
    used.insert(evaluator.used_arguments().begin(), evaluator.used_arguments().end());
    done[number] = evaluator.state();
    out.stages.push_back(std::move(planned));
  }
  for (const auto& [name, value] : options.labels) out.stages.back().defaults.labels[name] = value;
  for (const auto& [name, value] : options.arguments)
    if (!used.contains(name) && !is_proxy_argument(name)) out.warnings.push_back(fmt::format("build argument {} is not used", printable(name)));
  return out;
}

Json to_json(const Step& step) {
  const Json action = std::visit([](const auto& one) { return action_json(one); }, step.action);
  return Json::object({{"text", step.text}, {"place", step.place}, {"action", action}});
}

Json to_json(const Build& build) {
  std::vector<Json> stages;
  for (const Stage& stage : build.stages) {
    std::vector<Json> steps, needs;
    for (const Step& step : stage.steps) steps.push_back(to_json(step));
    for (const std::size_t need : stage.needs) needs.emplace_back(std::uint64_t{need});
    stages.push_back(Json::object({{"name", stage.name}, {"number", std::uint64_t{stage.number}}, {"base", origin_json(stage.base)}, {"needs", Json::array(std::move(needs))},
                                   {"steps", Json::array(std::move(steps))}}));
  }
  return Json::object({{"stages", Json::array(std::move(stages))}, {"warnings", Json::strings(build.warnings)}});
}

}  // namespace slipway::dockerfile
