// SPDX-License-Identifier: Apache-2.0
#include "oci/credentials.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>

#include "base/files.h"
#include "base/process.h"
#include "base/strings.h"
#include "text/json.h"

namespace slipway::oci {
namespace {

using text::Json;

constexpr std::size_t max_auths = 1000;
constexpr std::chrono::seconds helper_limit{20};
constexpr const char* token_user = "<token>";  // a helper's word for: the secret is an identity token

// "https://index.docker.io/v1/" -> "docker.io"; "https://reg.example:5000/v2/team/" -> "reg.example:5000/team".
std::string plain_key(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  while (key.ends_with('/')) key.remove_suffix(1);
  const auto slash = key.find('/');
  std::string host = to_lower(key.substr(0, slash));
  std::string path = slash == key.npos ? "" : std::string(key.substr(slash + 1));
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  for (const std::string_view version : {"v1", "v2"})
    if (path == version || path.starts_with(std::string(version) + "/")) path.erase(0, path.size() == 2 ? 2 : 3);
  return path.empty() ? host : host + "/" + path;
}

Result<Credential> credential_of(const Json& entry) {
  Credential out{entry["username"].str(), entry["password"].str(), entry["identitytoken"].str(), entry["registrytoken"].str()};
  if (const auto auth = entry["auth"].as_string(); !auth.empty()) {
    const auto decoded = from_base64(auth);
    const auto colon = decoded ? decoded->find(':') : std::string::npos;
    if (colon == std::string::npos) return fail(ErrorCode::invalid, "`auth` is not the base64 of user:password");
    out.user = decoded->substr(0, colon);
    out.secret = decoded->substr(colon + 1);
  }
  // What a login with a token leaves: a user without meaning and no password.
  if (!out.identity_token.empty()) out.secret.clear();
  return out;
}

bool is_program_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; });
}

// Nothing where the helper does not know the host.
Result<Credential> ask_helper(const std::string& helper, const std::string& host) {
  if (!is_program_name(helper)) return fail(ErrorCode::invalid, fmt::format("{} is not the name of a credential helper", printable(helper)));
  const std::string program = "docker-credential-" + helper;
  const std::string server = host == "docker.io" ? "https://index.docker.io/v1/" : host;
  const auto done = TRY(at(run({.arguments = {program, "get"}, .input = server, .timeout = helper_limit, .output_limit = max_docker_config}), program));
  if (!done.ok()) {
    if (done.output.find("credentials not found") != std::string::npos) return Credential{};
    return fail(ErrorCode::unauthenticated, fmt::format("{} did not answer for {} (exit code {})", program, host, done.exit_code));
  }
  const auto answer = text::parse_json(done.output);
  if (!answer || !answer->is_object()) return fail(ErrorCode::invalid, fmt::format("the answer of {} is not JSON", program));
  Credential out{(*answer)["Username"].str(), (*answer)["Secret"].str(), "", ""};
  if (out.user == token_user) out = {"", "", out.secret, ""};
  return out;
}

// "*.example.com" fits one more word before it, as the kubelet has it.
bool host_fits(std::string_view pattern, std::string_view host) {
  const auto wanted = split(pattern, '.'), parts = split(host, '.');
  if (wanted.size() != parts.size()) return false;
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (wanted[i] != "*" && wanted[i] != parts[i]) return false;
  return true;
}

std::string environment(const char* name) {
  const char* value = ::getenv(name);
  return value ? value : "";
}

}  // namespace

Result<DockerConfig> DockerConfig::parse(std::string_view text, Helpers helpers) {
  if (text.size() > max_docker_config) return fail(ErrorCode::too_large, "a docker configuration of more than 1 MiB");
  const auto parsed = text::parse_json(text);
  // The parser's own words could quote the secret.
  if (!parsed || !parsed->is_object()) return fail(ErrorCode::invalid, "the docker configuration is not a JSON object");
  const Json& json = *parsed;
  const bool wrapped = json.contains("auths") || json.contains("credHelpers") || json.contains("credsStore") || json.size() == 0;
  const Json& auths = wrapped ? json["auths"] : json;
  if (auths.size() > max_auths) return fail(ErrorCode::too_large, fmt::format("a docker configuration of more than {} registries", max_auths));
  DockerConfig out;
  for (const auto& member : auths.members()) {
    if (!member.value.is_object()) continue;  // "HttpHeaders" and other settings beside the auths
    Credential one = TRY(at(credential_of(member.value), printable(member.key())));
    if (!one.empty()) out.auths_[plain_key(member.key())] = std::move(one);
  }
  if (helpers == Helpers::refuse) return out;
  for (const auto& member : json["credHelpers"].members()) out.helpers_[plain_key(member.key())] = member.value.str();
  out.store_ = json["credsStore"].str();
  return out;
}

Result<DockerConfig> DockerConfig::of_user() {
  std::string path = environment("DOCKER_CONFIG");
  if (path.empty()) path = environment("HOME") + "/.docker";
  path += "/config.json";
  if (!exists(path)) path = environment("REGISTRY_AUTH_FILE");
  if (path.empty() || !exists(path)) return DockerConfig();
  return at(parse(TRY(read_file(path, max_docker_config)), Helpers::run), path);
}

Result<std::vector<Credential>> DockerConfig::find_path(const std::string& host, const std::string& repository) const {
  std::vector<std::pair<std::size_t, Credential>> found;
  for (const auto& [key, credential] : auths_) {
    const auto slash = key.find('/');
    const std::string path = slash == key.npos ? "" : key.substr(slash + 1);
    if (!host_fits(key.substr(0, slash), host)) continue;
    if (path.empty() || repository == path || repository.starts_with(path + "/")) found.emplace_back(path.size(), credential);
  }
  std::ranges::stable_sort(found, std::ranges::greater{}, [](const auto& one) { return one.first; });
  std::vector<Credential> out;
  for (auto& one : found) out.push_back(std::move(one.second));
  const auto helper = helpers_.find(host);
  const std::string name = helper != helpers_.end() ? helper->second : out.empty() ? store_ : "";
  if (!name.empty())
    if (Credential one = TRY(ask_helper(name, host)); !one.empty()) out.insert(out.begin(), std::move(one));
  return out;
}

Result<std::vector<Credential>> DockerConfig::find(const Reference& reference) const { return find_path(to_lower(reference.registry), reference.repository); }

Result<std::vector<Credential>> DockerConfig::find_host(const std::string& host) const { return find_path(to_lower(host), ""); }

}  // namespace slipway::oci
