// SPDX-License-Identifier: Apache-2.0
#include "ci/dockerfile/evaluate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "ci/dockerfile/ignore.h"

namespace slipway::dockerfile {
namespace {

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid, std::move(what)); }

Result<> no_flags(const Instruction& one) {
  if (one.flags.empty()) return {};
  return wrong(fmt::format("unknown flag of {}: --{}", one.keyword, printable(one.flags[0].name)));
}

void set_variable(std::vector<std::string>& list, const std::string& name, const std::string& value) {
  for (std::string& entry : list)
    if (entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name)) {
      entry = name + "=" + value;
      return;
    }
  list.push_back(name + "=" + value);
}

void add_once(std::vector<std::string>& list, const std::string& item) {
  if (std::ranges::find(list, item) == list.end()) list.push_back(item);
}

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

Lookup StageEvaluator::lookup() const {
  return [this](std::string_view name) -> std::optional<std::string> {
    for (const std::string& entry : state_.defaults.environment)
      if (entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name)) return entry.substr(name.size() + 1);
    if (const auto found = state_.arguments.find(std::string(name)); found != state_.arguments.end()) return found->second;
    return std::nullopt;
  };
}

std::string StageEvaluator::absolute(std::string_view path) const {
  if (path.starts_with('/')) return clean_path(path);
  const std::string folder = state_.defaults.working_folder.empty() ? "/" : state_.defaults.working_folder;
  return clean_path((folder.starts_with('/') ? folder : "/" + folder) + "/" + std::string(path));
}

std::vector<std::string> StageEvaluator::shell() const {
  return state_.defaults.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : state_.defaults.shell;
}

std::vector<std::string> StageEvaluator::environment() const {
  std::vector<std::string> out = state_.defaults.environment;
  const auto known = lookup();
  if (!known("PATH")) out.insert(out.begin(), default_path);
  for (const auto& [name, value] : state_.arguments)
    if (!is_proxy_argument(name) && std::ranges::none_of(out, [&](const auto& e) { return e.starts_with(name + "="); })) out.push_back(name + "=" + value);
  return out;
}

Result<std::vector<Step>> StageEvaluator::run() {
  std::vector<Step> out;
  const StageOutline& stage = outline_.stages[number_];
  for (std::size_t i = stage.first; i < stage.end; ++i) {
    const Instruction& one = file_.instructions[i];
    const std::string place = place_of(file_.name, one);
    Step step = TRY(at(evaluate(one), place));
    step.text = one.text();
    step.place = place;
    out.push_back(std::move(step));
    std::size_t size = 0;
    for (const std::string& entry : state_.defaults.environment) size += entry.size();
    for (const auto& [name, value] : state_.arguments) size += name.size() + value.size();
    if (size > max_environment) return at(Result<std::vector<Step>>(fail(ErrorCode::too_large, fmt::format("the environment takes more than {} bytes", max_environment))), place);
  }
  return out;
}

Result<Step> StageEvaluator::evaluate(const Instruction& one) {
  const std::string& k = one.keyword;
  oci::ContainerDefaults& d = state_.defaults;
  if (k == "RUN") return run_step(one);
  if (k == "COPY" || k == "ADD") return add_or_copy(one);
  if (k == "WORKDIR") return working_folder(one);
  if (k == "HEALTHCHECK") {
    TRY(health_check(one));
    return Step{};
  }
  TRY(no_flags(one));
  if (k == "ENV") TRY(set_environment(one));
  else if (k == "LABEL") TRY(set_labels(one));
  else if (k == "ARG") TRY(declare(one));
  else if (k == "EXPOSE") TRY(expose(one));
  else if (k == "VOLUME") TRY(volumes(one));
  else if (k == "USER") d.user = TRY(word(one.rest));
  else if (k == "STOPSIGNAL") d.stop_signal = TRY(word(one.rest));
  else if (k == "MAINTAINER") state_.author = one.rest;
  else if (k == "SHELL") {
    const auto words = TRY(json_form(one.rest));
    if (!words || words->empty()) return wrong("SHELL requires the arguments to be in JSON form");
    d.shell = *words;
  } else if (k == "CMD") {
    d.command = TRY(command_of(one));
    command_set_ = true;
  } else if (k == "ENTRYPOINT") {
    d.entrypoint = TRY(command_of(one));
    if (!command_set_) d.command.clear();  // what the base image meant for its own entrypoint
  } else if (k == "ONBUILD") {
    return wrong("ONBUILD is not supported: write the instruction into the file that builds on this image");
  }
  return Step{};
}

Result<std::vector<std::string>> StageEvaluator::command_of(const Instruction& one) const {
  if (auto words = TRY(json_form(one.rest))) return *words;
  if (one.rest.empty()) return std::vector<std::string>{};
  return joined(shell(), {one.rest});
}

// ---- ENV, LABEL, ARG

Result<std::vector<std::pair<std::string, std::string>>> StageEvaluator::pairs(const Instruction& one) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto words = split_words(one.rest, file_.escape);
  if (words[0].find('=') == std::string::npos) {  // "ENV name all the rest"
    const std::string_view rest = trim(std::string_view(one.rest).substr(words[0].size()));
    if (rest.empty()) return wrong(fmt::format("{} needs a name and a value", one.keyword));
    out.emplace_back(TRY(word(words[0])), TRY(word(rest)));
  } else {
    for (const std::string& text : words) {
      const auto equal = text.find('=');
      if (equal == text.npos) return wrong(fmt::format("can't find = in \"{}\"; must be of the form name=value", printable(text)));
      out.emplace_back(TRY(word(text.substr(0, equal))), TRY(word(std::string_view(text).substr(equal + 1))));
    }
  }
  for (const auto& [name, value] : out)
    if (name.empty()) return wrong(fmt::format("{} names can not be blank", one.keyword));
  return out;
}

Result<> StageEvaluator::set_environment(const Instruction& one) {
  for (const auto& [name, value] : TRY(pairs(one))) set_variable(state_.defaults.environment, name, value);
  return {};
}

Result<> StageEvaluator::set_labels(const Instruction& one) {
  for (const auto& [name, value] : TRY(pairs(one))) state_.defaults.labels[name] = value;
  return {};
}

Result<> StageEvaluator::declare(const Instruction& one) {
  for (const Declared& argument : TRY(declarations(one.rest, file_.escape, lookup()))) {
    const std::string& name = argument.name;
    used_.insert(name);
    if (const auto given = options_.arguments.find(name); given != options_.arguments.end()) state_.arguments[name] = given->second;
    else if (argument.fallback) state_.arguments[name] = *argument.fallback;
    else if (const auto global = outline_.global_arguments.find(name); global != outline_.global_arguments.end()) state_.arguments[name] = global->second;
    else if (const auto platform = platform_argument(name)) state_.arguments[name] = *platform;
  }
  return {};
}

// ---- WORKDIR, EXPOSE, VOLUME, HEALTHCHECK

Result<Step> StageEvaluator::working_folder(const Instruction& one) {
  TRY(no_flags(one));
  const std::string path = TRY(word(one.rest));
  if (path.empty()) return wrong("WORKDIR needs a path");
  state_.defaults.working_folder = absolute(path);
  return Step{.action = MakeFolder{state_.defaults.working_folder, state_.defaults.user}};
}

Result<> StageEvaluator::expose(const Instruction& one) {
  for (const std::string& text : TRY(expand_words(one.rest, file_.escape, lookup())))
    for (const std::string& port : TRY(parse_ports(text))) add_once(state_.defaults.exposed_ports, port);
  return {};
}

Result<> StageEvaluator::volumes(const Instruction& one) {
  std::vector<std::string> words = split_words(one.rest, file_.escape);
  if (auto list = TRY(json_form(one.rest))) words = *list;
  if (words.empty()) return wrong("VOLUME needs a path");
  for (const std::string& text : words) {
    const std::string path = TRY(word(text));
    if (trim(path).empty()) return wrong("VOLUME specified can not be an empty string");
    add_once(state_.defaults.volumes, path);
  }
  return {};
}

Result<> StageEvaluator::health_check(const Instruction& one) {
  using text::Json;
  const auto words = split_words(one.rest, file_.escape);
  if (equals_ignoring_case(words[0], "NONE")) {
    if (words.size() > 1 || !one.flags.empty()) return wrong("HEALTHCHECK NONE takes no arguments");
    state_.defaults.health_check = Json::object({{"Test", Json::array({"NONE"})}});
    return {};
  }
  if (!equals_ignoring_case(words[0], "CMD")) return wrong(fmt::format("unknown type in HEALTHCHECK: {}", printable(words[0])));
  const std::string rest(trim(std::string_view(one.rest).substr(words[0].size())));
  if (rest.empty()) return wrong("missing command after HEALTHCHECK CMD");
  const auto list = TRY(json_form(rest));
  std::vector<std::string> test{list ? "CMD" : "CMD-SHELL"};
  Json check = Json::object({{"Test", Json::strings(list ? joined(test, *list) : joined(test, {rest}))}});
  for (const Flag& flag : one.flags) {
    if (flag.name == "retries") {
      const auto count = parse_int(flag.value);
      if (!count || *count < 0) return wrong("--retries must be a number that is not negative");
      check = check.with("Retries", *count);
      continue;
    }
    const char* field = flag.name == "interval" ? "Interval" : flag.name == "timeout" ? "Timeout" : flag.name == "start-period" ? "StartPeriod" : flag.name == "start-interval" ? "StartInterval" : nullptr;
    if (!field) return wrong(fmt::format("unknown flag of HEALTHCHECK: --{}", printable(flag.name)));
    check = check.with(field, TRY(parse_duration(flag.value)));
  }
  state_.defaults.health_check = check;
  return {};
}

// ---- RUN

Result<Step> StageEvaluator::run_step(const Instruction& one) {
  Run out{.environment = environment(), .user = state_.defaults.user, .folder = absolute(".")};
  for (const auto& [name, value] : options_.arguments)
    if (is_proxy_argument(name)) out.proxies.push_back(name + "=" + value), used_.insert(name);
  for (const Flag& flag : one.flags) {
    if (flag.name == "network") {
      const std::string network = TRY(word(flag.value));
      if (network != "default" && network != "none") return wrong(fmt::format("RUN --network={} is not supported; default and none are", printable(network)));
      out.network = network == "none" ? Network::none : Network::pod;
    } else if (flag.name == "mount") {
      out.mounts.push_back(TRY(mount(flag.value)));
    } else if (flag.name == "security" && flag.value == "sandbox") {
      // what it is anyway
    } else {
      return wrong(fmt::format("RUN --{}{}{} is not supported", printable(flag.name), flag.value.empty() ? "" : "=", printable(flag.value)));
    }
  }
  if (one.documents.empty()) {
    const auto words = TRY(json_form(one.rest));
    if (words && words->empty()) return wrong("RUN needs a command");
    out.arguments = words ? *words : joined(shell(), {one.rest});
    return Step{.action = std::move(out)};
  }
  const HereDocument& first = one.documents[0];
  const bool alone = split_words(one.rest, file_.escape).size() == 1;
  if (alone && first.content.starts_with("#!")) {
    const std::string path = "/dev/pipes/" + first.name;
    out.scripts.emplace_back(first.name, first.content);
    out.arguments = {path};
  } else if (alone) {
    out.arguments = joined(shell(), {first.content});
  } else {
    std::string script = one.rest;  // the shell reads the documents itself
    for (const HereDocument& document : one.documents) script += "\n" + document.content + document.name;
    out.arguments = joined(shell(), {script + "\n"});
  }
  return Step{.action = std::move(out)};
}

Result<Mount> StageEvaluator::mount(std::string_view text) {
  Mount out;
  const std::string value = TRY(word(text));
  for (const auto field : split(value, ','))
    if (field.starts_with("type=")) {
      if (field == "type=cache") out.kind = Mount::Kind::cache;
      else if (field == "type=tmpfs") out.kind = Mount::Kind::tmpfs;
      else if (field != "type=bind") return wrong(fmt::format("RUN --mount={} is not supported; bind, cache and tmpfs are", printable(field)));
    }
  out.from.kind = out.kind == Mount::Kind::bind ? Origin::Kind::context : Origin::Kind::scratch;
  if (out.kind != Mount::Kind::bind) out.access = Mount::Access::read_write;
  for (const auto field : split(value, ',')) TRY(mount_field(out, field));
  if (out.target.empty()) return wrong("RUN --mount needs a target");
  out.target = absolute(out.target);
  if (out.target == "/") return wrong("RUN --mount cannot cover /");
  if (out.kind == Mount::Kind::cache && out.id.empty()) out.id = out.target;
  if (out.kind == Mount::Kind::cache && !out.source.empty() && out.from.kind == Origin::Kind::scratch) return wrong("source of a cache mount needs from");
  return out;
}

Result<> StageEvaluator::mount_field(Mount& out, std::string_view field) {
  const auto equal = field.find('=');
  const std::string_view name = field.substr(0, equal);
  const std::string value(equal == field.npos ? "" : field.substr(equal + 1));
  const auto number = [&](int base) -> Result<std::uint32_t> {
    std::uint32_t sum = 0;
    for (const char c : value) {
      if (c < '0' || c >= '0' + base || sum > 200'000'000) return wrong(fmt::format("{} is not a number", printable(field)));
      sum = sum * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(c - '0');
    }
    return sum;
  };
  const bool is_true = value.empty() || value == "true" || value == "1";
  if (name == "type") return {};
  if (name == "target" || name == "dst" || name == "destination") return out.target = value, Result<>{};
  if (name == "source" || name == "src") return out.source = value, Result<>{};
  if (name == "from") return out.from = TRY(source_origin(outline_, number_, value)), Result<>{};
  if (name == "id") return out.id = value, Result<>{};
  if (name == "rw" || name == "readwrite") return out.access = is_true ? Mount::Access::read_write : Mount::Access::read_only, Result<>{};
  if (name == "ro" || name == "readonly") return out.access = is_true ? Mount::Access::read_only : Mount::Access::read_write, Result<>{};
  if (name == "sharing") return value == "shared" || value == "locked" || value == "private" ? Result<>{} : wrong("sharing is shared, private or locked");
  if (name == "mode") return out.mode = TRY(number(8)), Result<>{};
  if (name == "uid") return out.user = TRY(number(10)), Result<>{};
  if (name == "gid") return out.group = TRY(number(10)), Result<>{};
  if (name == "size") return out.size = TRY(number(10)), Result<>{};
  return wrong(fmt::format("RUN --mount={} is not supported", printable(field)));
}

// ---- COPY, ADD

Result<Step> StageEvaluator::add_or_copy(const Instruction& one) {
  Copy out{.from = {Origin::Kind::context, {}, 0}};
  if (one.keyword == "ADD") out.archives = Copy::Archives::unpack;
  for (const Flag& flag : one.flags) {
    if (flag.name == "from" && one.keyword == "COPY") out.from = TRY(source_origin(outline_, number_, flag.value));
    else if (flag.name == "chown") out.owner = TRY(word(flag.value));
    else if (flag.name == "chmod") {
      const std::string text = TRY(word(flag.value));
      std::uint32_t mode = 0;
      if (text.empty() || text.size() > 5 || text.find_first_not_of("01234567") != text.npos) return wrong(fmt::format("--chmod={} is not supported: an octal number is", printable(text)));
      for (const char c : text) mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
      out.mode = mode & 07777;
    } else if (flag.name == "link" && (flag.value.empty() || flag.value == "true" || flag.value == "false")) {
      // every COPY is a layer of its own
    } else {
      return wrong(fmt::format("{} --{} is not supported", one.keyword, printable(flag.name)));
    }
  }
  std::vector<std::string> words = split_words(one.rest, file_.escape);
  if (auto list = TRY(json_form(one.rest))) words = *list;
  if (words.size() < 2) return wrong(fmt::format("{} requires at least two arguments: a source and the destination", one.keyword));
  const std::string destination = TRY(word(words.back()));
  words.pop_back();
  if (destination.empty()) return wrong(fmt::format("{} needs a destination", one.keyword));
  std::size_t document = 0;
  for (const std::string& text : words) {
    if (document < one.documents.size() && text.find("<<") != text.npos) {
      const HereDocument& here = one.documents[document++];
      const std::string content = here.variables == Variables::keep ? here.content : TRY(expand(here.content, file_.escape, lookup(), Quotes::keep));
      out.inline_files.emplace_back(here.name, content);
      continue;
    }
    const std::string source = TRY(word(text));
    if (source.empty()) return wrong(fmt::format("{} has an empty source", one.keyword));
    const bool remote = source.starts_with("http://") || source.starts_with("https://") || source.starts_with("git@") || source.starts_with("git://") || source.starts_with("ssh://");
    if (remote && one.keyword == "ADD") return wrong(fmt::format("ADD of {} is not supported: bring it into the context, or fetch it in a RUN", printable(source)));
    out.sources.push_back(source);
  }
  if (words.size() > 1 && !destination.ends_with('/') && destination != "." && !destination.ends_with("/."))
    return wrong(fmt::format("when {} has more than one source file, the destination must be a directory and end with a /", one.keyword));
  const bool folder = destination.ends_with('/') || destination == "." || destination.ends_with("/.") || destination == ".." || destination.ends_with("/..");
  out.destination = absolute(destination);
  if (folder && out.destination != "/") out.destination += "/";
  return Step{.action = std::move(out)};
}

}  // namespace slipway::dockerfile
