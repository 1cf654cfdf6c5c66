// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "ci/dockerfile/arguments.h"
#include "ci/dockerfile/plan.h"
#include "ci/dockerfile/words.h"

namespace slipway::dockerfile {
namespace {

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid, std::move(what)); }

bool is_stage_name(std::string_view name) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && letter(name[0]) && std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; });
}

class Outliner final {
 public:
  Outliner(const File& file, const Options& options) : file_(file), options_(options), arguments_(options.arguments) {}

  Result<Outline> run() {
    for (std::size_t i = 0; i < file_.instructions.size(); ++i) TRY(at(take(i), place_of(file_.name, file_.instructions[i])));
    if (out_.stages.empty()) return wrong(fmt::format("{} has no FROM", file_.name));
    out_.stages.back().end = file_.instructions.size();
    for (StageOutline& stage : out_.stages) TRY(find_needs(stage));
    out_.target = TRY(target());
    need(out_.target);
    collect_images();
    out_.global_arguments = arguments_.values();
    return std::move(out_);
  }

 private:
  Result<> take(std::size_t index) {
    const Instruction& one = file_.instructions[index];
    if (one.keyword == "FROM") return from(index);
    if (!out_.stages.empty()) return {};
    if (one.keyword != "ARG") return wrong(fmt::format("no build stage in current context: {} stands before the first FROM", one.keyword));
    return arguments_.declare_global(one.rest, file_.escape);
  }

  Result<> from(std::size_t index) {
    const Instruction& one = file_.instructions[index];
    if (out_.stages.size() >= max_stages) return fail(ErrorCode::too_large, fmt::format("more than {} stages", max_stages));
    if (!out_.stages.empty()) out_.stages.back().end = index;
    const Lookup lookup = [&](std::string_view name) { return arguments_.global(name); };
    for (const Flag& flag : one.flags) {
      if (flag.name != "platform") return wrong(fmt::format("unknown flag of FROM: --{}", printable(flag.name)));
      const std::string platform = TRY(expand(flag.value, file_.escape, lookup));
      if (platform != "linux/amd64" && platform != "linux/x86_64") return wrong(fmt::format("platform {} is not supported; linux/amd64 is", printable(platform)));
    }
    const auto words = split_words(one.rest, file_.escape);
    if (words.size() != 1 && !(words.size() == 3 && equals_ignoring_case(words[1], "as"))) return wrong("FROM takes one name, or NAME AS STAGE");
    StageOutline stage{.first = index + 1, .from = index};
    const std::string name = TRY(expand(words[0], file_.escape, lookup));
    if (name.empty()) return wrong(fmt::format("base name ({}) should not be blank", words[0]));
    stage.base = origin_of(name);
    if (words.size() == 3) {
      stage.name = to_lower(words[2]);
      if (!is_stage_name(stage.name)) return wrong(fmt::format("invalid name for build stage: {}", printable(words[2])));
    }
    out_.stages.push_back(std::move(stage));
    return {};
  }

  // A name of an earlier stage hides an image of that name.
  Origin origin_of(const std::string& name) const {
    if (name == "scratch") return {Origin::Kind::scratch, {}, 0};
    if (const auto found = find_stage(name)) return {Origin::Kind::stage, {}, *found};
    return {Origin::Kind::image, name, 0};
  }

  std::optional<std::size_t> find_stage(std::string_view name) const {
    const std::string lower = to_lower(name);
    for (std::size_t i = out_.stages.size(); i-- > 0;)
      if (!lower.empty() && out_.stages[i].name == lower) return i;
    return std::nullopt;
  }

  Result<> find_needs(StageOutline& stage) {
    if (stage.base.kind == Origin::Kind::stage) stage.needs.push_back(stage.base.stage);
    const auto number = static_cast<std::size_t>(&stage - out_.stages.data());
    for (std::size_t i = stage.first; i < stage.end; ++i) {
      const Instruction& one = file_.instructions[i];
      for (const std::string& name : TRY(at(names_in(one), place_of(file_.name, one)))) {
        const Origin origin = TRY(at(source_origin(out_, number, name), place_of(file_.name, one)));
        if (origin.kind == Origin::Kind::stage && std::ranges::find(stage.needs, origin.stage) == stage.needs.end()) stage.needs.push_back(origin.stage);
      }
    }
    return {};
  }

  Result<std::size_t> target() const {
    if (options_.target.empty()) return out_.stages.size() - 1;
    if (const auto found = find_stage(options_.target)) return *found;
    if (const auto number = parse_int(options_.target); number && *number >= 0 && static_cast<std::size_t>(*number) < out_.stages.size()) return static_cast<std::size_t>(*number);
    return wrong(fmt::format("target stage \"{}\" could not be found", printable(options_.target)));
  }

  void need(std::size_t number) {  // a stage needs earlier ones only
    out_.stages[number].needed = true;
    for (std::size_t i = number + 1; i-- > 0;)
      if (out_.stages[i].needed)
        for (const std::size_t other : out_.stages[i].needs) out_.stages[other].needed = true;
  }

  void collect_images() {
    const auto add = [&](const Origin& origin) {
      if (origin.kind == Origin::Kind::image && std::ranges::find(out_.images, origin.image) == out_.images.end()) out_.images.push_back(origin.image);
    };
    for (std::size_t number = 0; number < out_.stages.size(); ++number) {
      const StageOutline& stage = out_.stages[number];
      if (!stage.needed) continue;
      add(stage.base);
      for (std::size_t i = stage.first; i < stage.end; ++i)
        for (const std::string& name : names_in(file_.instructions[i]).value_or(std::vector<std::string>{}))
          if (const auto origin = source_origin(out_, number, name)) add(*origin);
    }
  }

  const File& file_;
  const Options& options_;
  Arguments arguments_;
  Outline out_;
};

}  // namespace

Result<std::vector<std::string>> names_in(const Instruction& one) {
  std::vector<std::string> out;
  for (const Flag& flag : one.flags) {
    if (flag.name == "from") out.push_back(flag.value);
    if (flag.name != "mount") continue;
    for (const auto field : split(flag.value, ','))
      if (field.starts_with("from=")) out.emplace_back(field.substr(5));
  }
  for (const std::string& name : out)
    if (name.empty() || name.find('$') != name.npos)
      return wrong("variables are not expanded in a source stage; declare a stage with FROM that uses a global ARG");
  return out;
}

Result<Origin> source_origin(const Outline& outline, std::size_t before, std::string_view name) {
  if (name == "scratch") return Origin{Origin::Kind::scratch, {}, 0};
  const std::string lower = to_lower(name);
  for (std::size_t i = before; i-- > 0;)
    if (outline.stages[i].name == lower) return Origin{Origin::Kind::stage, {}, i};
  if (outline.stages[before].name == lower) return wrong(fmt::format("stage {} takes from itself", printable(name)));
  if (const auto number = parse_int(name)) {
    if (*number < 0 || static_cast<std::size_t>(*number) >= before) return wrong(fmt::format("invalid stage index {}: only earlier stages can be named", *number));
    return Origin{Origin::Kind::stage, {}, static_cast<std::size_t>(*number)};
  }
  return Origin{Origin::Kind::image, std::string(name), 0};
}

Result<Outline> outline(const File& file, const Options& options) { return Outliner(file, options).run(); }

}  // namespace slipway::dockerfile
