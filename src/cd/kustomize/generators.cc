// SPDX-License-Identifier: Apache-2.0
// ConfigMaps and Secrets made of files, env files and literals.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cd/kustomize/kustomization.h"
#include "cd/kustomize/transformers.h"
#include "text/utf8.h"

namespace slipway::cd::kustomize {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string_view without_leading_space(std::string_view text) {
  const auto at = text.find_first_not_of(" \t\v\f\r\n");
  return at == text.npos ? std::string_view() : text.substr(at);
}

Result<> read_env_file(std::string_view text, Pairs& out) {
  bool first = true;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (text::find_invalid_utf8(line) != line.npos) return fail(ErrorCode::invalid, fmt::format("line has invalid utf8 bytes : {}", printable(line)));
    if (std::exchange(first, false) && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    line = without_leading_space(line);
    if (line.empty() || line[0] == '#') continue;
    const auto equal = line.find('=');
    const std::string key(line.substr(0, equal));
    if (!key.empty()) out.emplace_back(key, equal == line.npos ? "" : line.substr(equal + 1));
  }
  return {};
}

Result<> read_literal(const std::string& source, Pairs& out) {
  const auto equal = source.find('=');
  if (equal == source.npos || equal == 0) return fail(ErrorCode::invalid, fmt::format("invalid literal source {}, expected key=value", source));
  std::string value = source.substr(equal + 1);
  if (value.size() > 1 && value.front() == value.back() && (value[0] == '"' || value[0] == '\'')) value = value.substr(1, value.size() - 2);
  out.emplace_back(source.substr(0, equal), value);
  return {};
}

// "name=path", or a path that gives the name.
Result<std::pair<std::string, std::string>> parse_file_source(const std::string& source) {
  const auto count = std::ranges::count(source, '=');
  const auto equal = source.find('=');
  if (count == 0) return std::pair{source.substr(source.rfind('/') == source.npos ? 0 : source.rfind('/') + 1), source};
  if (count > 1) return fail(ErrorCode::invalid, fmt::format("source \"{}\" key name or file path contains '='", source));
  if (equal == 0) return fail(ErrorCode::invalid, fmt::format("missing key name for file path \"{}\" in source \"{}\"", source.substr(1), source));
  if (equal + 1 == source.size()) return fail(ErrorCode::invalid, fmt::format("missing file path for key name \"{}\" in source \"{}\"", source.substr(0, equal), source));
  return std::pair{source.substr(0, equal), source.substr(equal + 1)};
}

std::string go_list(const Json& list) { return "[" + join(strings_of(list), " ") + "]"; }

Result<> read_sources(const Loader& loader, const Json& arguments, Pairs& out) {
  const auto prefixed = [](const Error& error, std::string_view what, const Json& list) { return fail(error.code, fmt::format("{} {}: {}", what, go_list(list), error.message)); };
  for (const std::string& path : strings_of(arguments["envs"])) {
    const auto text = loader.load(path);
    const auto done = text ? read_env_file(*text, out) : Result<>(std::unexpected(text.error()));
    if (!done) return prefixed(done.error(), "env source files:", arguments["envs"]);
  }
  for (const std::string& source : strings_of(arguments["literals"]))
    if (auto done = read_literal(source, out); !done) return prefixed(done.error(), "literal sources", arguments["literals"]);
  for (const std::string& source : strings_of(arguments["files"])) {
    const auto parsed = parse_file_source(source);
    if (!parsed) return prefixed(parsed.error(), "file sources:", arguments["files"]);
    auto text = loader.load(parsed->second);
    if (!text) return prefixed(text.error(), "file sources:", arguments["files"]);
    out.emplace_back(parsed->first, std::move(*text));
  }
  return {};
}

// Lines of 70, each ended, where there is more than one.
std::string wrapped_base64(std::string_view bytes) {
  const std::string text = to_base64(bytes);
  if (text.size() / 70 == 0) return text;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 70) (out += text.substr(i, 70)) += '\n';
  return out;
}

Result<> set_value(YamlPool& pool, YamlNode& object, Generated kind, const std::string& key, const std::string& value) {
  const bool is_text = text::find_invalid_utf8(value) == std::string::npos;
  const std::string stored = kind == Generated::secret || !is_text ? wrapped_base64(value) : value;
  YamlNode* map = field_or_new(pool, object, kind == Generated::secret || is_text ? "data" : "binaryData", YamlKind::mapping);
  return set_field(pool, *map, key, text_node(pool, stored));
}

Behavior behavior_of(std::string_view name) {
  return name == "create" ? Behavior::create : name == "replace" ? Behavior::replace : name == "merge" ? Behavior::merge : Behavior::unspecified;
}

Result<> set_options(YamlPool& pool, YamlNode& object, const Json& options) {
  YamlNode* metadata = field_or_new(pool, object, "metadata", YamlKind::mapping);
  for (const auto* name : {"labels", "annotations"}) {
    for (const auto& [key, value] : strings_map_of(options[name])) {
      YamlNode* made = text_node(pool, value);
      made->style = YamlStyle::single_quoted;
      TRY(set_field(pool, *field_or_new(pool, *metadata, name, YamlKind::mapping), key, made));
    }
  }
  if (options["immutable"].as_bool()) TRY(set_field(pool, object, "immutable", pool.scalar("true", YamlTag::boolean)));
  return {};
}

}  // namespace

Result<ResourcePtr> generate(Context& context, const Loader& loader, Generated kind, const Json& arguments) {
  YamlPool& pool = context.pool;
  const std::string name = arguments["name"].str();
  auto made = std::make_shared<Resource>();
  made->node = pool.make(YamlKind::mapping, YamlTag::mapping);
  if (name.empty()) return fail(ErrorCode::invalid, "a configmap must have a name");
  TRY(set_top(pool, *made->node, "apiVersion", "v1"));
  TRY(set_top(pool, *made->node, "kind", kind == Generated::secret ? "Secret" : "ConfigMap"));
  YamlNode* metadata = field_or_new(pool, *made->node, "metadata", YamlKind::mapping);
  TRY(set_field(pool, *metadata, "name", text_node(pool, name)));
  if (const std::string ns = arguments["namespace"].str(); !ns.empty()) TRY(set_field(pool, *metadata, "namespace", text_node(pool, ns)));
  if (kind == Generated::secret) {
    TRY(set_field(pool, *made->node, "type", text_node(pool, arguments["type"].str().empty() ? "Opaque" : arguments["type"].str())));
    field_or_new(pool, *made->node, "data", YamlKind::mapping);
  }
  Pairs pairs;
  if (auto done = read_sources(loader, arguments, pairs); !done) return fail(done.error().code, "loading KV pairs: " + done.error().message);
  StringMap values;
  for (auto& [key, value] : pairs)
    if (!values.emplace(key, std::move(value)).second) return fail(ErrorCode::invalid, fmt::format("configmap {} illegally repeats the key `{}`", name, key));
  for (const auto& [key, value] : values) TRY(set_value(pool, *made->node, kind, key, value));
  const Json& options = arguments["options"];
  TRY(set_options(pool, *made->node, options));
  made->needs_hash = !options["disableNameSuffixHash"].as_bool();
  made->behavior = behavior_of(arguments["behavior"].as_string());
  return made;
}

Result<ResourcePtr> generate_iam_policy(Context& context, const Json& config) {
  if (config["cloud"].as_string() != "gke") return fail(ErrorCode::invalid, fmt::format("cloud provider {} is not supported", config["cloud"].as_string()));
  const Json& service = config["kubernetesService"];
  const Json& account = config["serviceAccount"];
  Json metadata = Json::object({{"annotations", Json::object({{"iam.gke.io/gcp-service-account", fmt::format("{}@{}.iam.gserviceaccount.com", account["name"].as_string(), account["projectId"].as_string())}})},
                                {"name", service["name"]}});
  if (service["namespace"].is_string()) metadata = metadata.with("namespace", service["namespace"]);
  auto made = std::make_shared<Resource>();
  made->node = text::yaml_node_of(context.pool, Json::object({{"apiVersion", "v1"}, {"kind", "ServiceAccount"}, {"metadata", metadata}}));
  return made;
}

}  // namespace slipway::cd::kustomize
