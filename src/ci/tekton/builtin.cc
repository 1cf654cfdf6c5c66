// SPDX-License-Identifier: Apache-2.0
#include "ci/tekton/builtin.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "hub/trees.h"
#include "source/repositories.h"

namespace slipway::tekton {
namespace {

Json param(std::string_view name, Json fallback) { return Json::object({{"name", name}, {"default", std::move(fallback)}}); }
Json required(std::string_view name) { return Json::object({{"name", name}}); }
Json workspace(std::string_view name, bool optional = false) { return Json::object({{"name", name}, {"optional", optional}}); }
Json results(std::initializer_list<const char*> names) {
  std::vector<Json> out;
  for (const char* name : names) out.push_back(Json::object({{"name", name}}));
  return Json::array(std::move(out));
}

Json git_clone_spec() {
  return Json::object({{"params", Json::array({required("url"), param("revision", ""), param("refspec", ""), param("submodules", "true"), param("depth", "1"), param("sslVerify", "true"),
                                               param("crtFileName", "ca-bundle.crt"), param("subdirectory", ""), param("sparseCheckoutDirectories", ""), param("deleteExisting", "true"),
                                               param("httpProxy", ""), param("httpsProxy", ""), param("noProxy", ""), param("verbose", "true"), param("gitInitImage", ""), param("userHome", "/home/git")})},
                       {"workspaces", Json::array({workspace("output"), workspace("ssh-directory", true), workspace("basic-auth", true), workspace("ssl-ca-directory", true)})},
                       {"results", results({"commit", "url", "committer-date"})}});
}

Json buildah_spec() {
  return Json::object({{"params", Json::array({required("IMAGE"), param("BUILDER_IMAGE", ""), param("STORAGE_DRIVER", "overlay"), param("DOCKERFILE", "./Dockerfile"), param("CONTEXT", "."),
                                               param("TLSVERIFY", "true"), param("FORMAT", "oci"), param("BUILD_EXTRA_ARGS", ""), param("PUSH_EXTRA_ARGS", ""), param("SKIP_PUSH", "false"),
                                               param("VERBOSE", "false"), param("BUILD_ARGS", Json::array())})},
                       {"workspaces", Json::array({workspace("source"), workspace("sslcertdir", true), workspace("dockerconfig", true), workspace("rhel-entitlement", true)})},
                       {"results", results({"IMAGE_DIGEST", "IMAGE_URL"})}});
}

Json kaniko_spec() {
  return Json::object({{"params", Json::array({required("IMAGE"), param("DOCKERFILE", "./Dockerfile"), param("CONTEXT", "./"), param("EXTRA_ARGS", Json::array()), param("BUILDER_IMAGE", "")})},
                       {"workspaces", Json::array({workspace("source"), workspace("dockerconfig", true)})},
                       {"results", results({"IMAGE_DIGEST", "IMAGE_URL"})}});
}

// "https://HOST/git/NS/NAME.git" of this system -> the repository; NS may be left out where it is the run's own.
Result<source::RepositoryName> repository_of(const std::string& base_url, const std::string& ns, const std::string& url) {
  std::string_view rest = url;
  if (!rest.starts_with(base_url + "/git/"))
    return fail(ErrorCode::invalid, fmt::format("git-clone: {} is not a repository of this system ({}/git/…); connect it with `slipway repo connect`", printable(url), base_url));
  rest.remove_prefix(base_url.size() + 5);
  if (rest.ends_with(".git")) rest.remove_suffix(4);
  const auto slash = rest.find('/');
  const std::string owner(slash == rest.npos ? std::string_view(ns) : rest.substr(0, slash));
  // A namespace is a tenant: its runs see its own repositories.
  if (owner != ns) return fail(ErrorCode::forbidden, fmt::format("git-clone: a run of the namespace {} may not read {}", ns, printable(url)));
  return source::RepositoryName::parse(owner, slash == rest.npos ? rest : rest.substr(slash + 1));
}

std::string folder_of(std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path.empty() ? "." : std::string(path);
}

struct BuildFlags {
  std::vector<Json> arguments;
  Json labels = Json::object();
  std::string target;
};

Result<> take_flag(BuildFlags& flags, std::string_view name, const std::string& value) {
  const auto equals = value.find('=');
  if (name == "--build-arg") {
    if (equals == value.npos) return fail(ErrorCode::invalid, fmt::format("--build-arg {}: a value is needed", printable(value)));
    flags.arguments.push_back(Json::object({{"name", value.substr(0, equals)}, {"value", value.substr(equals + 1)}}));
  } else if (name == "--label") {
    flags.labels = flags.labels.with(value.substr(0, equals), equals == value.npos ? "" : value.substr(equals + 1));
  } else {
    flags.target = value;
  }
  return {};
}

Result<BuildFlags> parse_flags(const std::vector<std::string>& words) {
  constexpr std::string_view known[] = {"--build-arg", "--label", "--target"};
  // What changes nothing here: these concern the builder that is not used.
  constexpr std::string_view harmless[] = {"--skip-tls-verify", "--insecure", "--cache", "--cache-ttl", "--snapshot-mode", "--verbosity", "--layers", "--no-cache=false", "--skip-unused-stages"};
  BuildFlags out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto equals = words[i].find('=');
    const std::string name = words[i].substr(0, equals);
    if (std::ranges::find(harmless, name) != std::end(harmless)) continue;
    if (std::ranges::find(known, name) == std::end(known)) return fail(ErrorCode::invalid, fmt::format("the argument {} of the image build is not supported; --build-arg, --label and --target are", printable(name)));
    if (equals == words[i].npos && i + 1 >= words.size()) return fail(ErrorCode::invalid, name + " needs a value");
    TRY(take_flag(out, name, equals == words[i].npos ? words[++i] : words[i].substr(equals + 1)));
  }
  return out;
}

Result<std::vector<std::string>> extra_words(std::string_view task, const Json& params) {
  std::vector<std::string> words;
  if (task == "kaniko") {
    for (const Json& word : params["EXTRA_ARGS"].items()) words.push_back(word.str());
    return words;
  }
  words = TRY(shell_words(params["BUILD_EXTRA_ARGS"].as_string()));
  for (const Json& argument : params["BUILD_ARGS"].items()) words.insert(words.end(), {"--build-arg", argument.str()});
  return words;
}

// The secret that the workspace dockerconfig is bound to; empty where there is none.
Result<std::string> docker_config_secret(const Json& task_run) {
  for (const Json& one : task_run["spec"]["workspaces"].items()) {
    if (one["name"].as_string() != "dockerconfig" || one.contains("emptyDir")) continue;
    if (!one.contains("secret")) return fail(ErrorCode::invalid, "the workspace dockerconfig of an image build must be a secret");
    return one["secret"]["secretName"].str();
  }
  return std::string();
}

}  // namespace

Json builtin_spec(std::string_view name) {
  if (name == "git-clone") return git_clone_spec();
  if (name == "buildah") return buildah_spec();
  return name == "kaniko" ? kaniko_spec() : Json();
}

Result<Clone> clone(const RunDependencies& dependencies, const std::string& ns, const Json& params) {
  for (const char* unsupported : {"refspec", "sparseCheckoutDirectories"})
    if (!params[unsupported].as_string().empty()) return fail(ErrorCode::invalid, fmt::format("git-clone: the param {} is not supported", unsupported));
  const auto repository = TRY(repository_of(dependencies.base_url, ns, params["url"].str()));
  std::string revision = params["revision"].str();
  if (!source::is_commit_id(revision)) {
    const std::string branch = revision.empty() ? "main" : revision.starts_with("refs/heads/") ? revision.substr(11) : revision;
    revision = TRY(at(dependencies.repositories.head(repository, branch), "git-clone"));
  }
  store::Digest tree = TRY(dependencies.repositories.tree(repository, revision, dependencies.blobs));
  if (const std::string folder = folder_of(params["subdirectory"].as_string()); folder != ".") tree = TRY(hub::moved_below(dependencies.blobs, tree, folder));
  Clone out{{{"commit", revision}, {"url", params["url"].str()}}, tree};
  const auto date = dependencies.repositories.committer_date(repository, revision);
  out.results["committer-date"] = date ? *date : "";
  return out;
}

Result<Json> image_build(std::string_view task, const Json& task_run, const Json& params, const store::Digest& context) {
  const BuildFlags flags = TRY(parse_flags(TRY(extra_words(task, params))));
  const Json& metadata = task_run["metadata"];
  Json labels = Json::object();
  for (const auto& member : metadata["labels"].members()) labels = labels.with(member.key(), member.value);
  Json spec = Json::object({{"context", Json::object({{"blob", context.value}})}, {"subPath", folder_of(params["CONTEXT"].as_string("."))},
                            {"dockerfile", folder_of(params["DOCKERFILE"].as_string("Dockerfile"))}, {"image", params["IMAGE"]}, {"push", params["SKIP_PUSH"].as_string() != "true"},
                            {"buildArgs", Json::array(flags.arguments)}, {"labels", flags.labels}});
  if (!flags.target.empty()) spec = spec.with("target", flags.target);
  if (const std::string secret = TRY(docker_config_secret(task_run)); !secret.empty()) spec = spec.with("dockerConfigSecret", secret);
  if (const std::string account = task_run["spec"]["serviceAccountName"].str(); !account.empty()) spec = spec.with("serviceAccountName", account);
  return Json::object({{"apiVersion", "slipway.dev/v1alpha1"}, {"kind", "ImageBuild"},
                       {"metadata", Json::object({{"name", metadata["name"]}, {"namespace", metadata["namespace"]}, {"labels", labels.with("tekton.dev/taskRun", metadata["name"])},
                                                  {"ownerReferences", Json::array({kube::controller_reference(kube::resources::task_runs, task_run)})}})},
                       {"spec", spec}});
}

Result<std::vector<std::string>> shell_words(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
      else if (c == '\\' && quote == '"' && i + 1 < text.size()) word += text[++i];
      else word += c;
    } else if (c == '\'' || c == '"') {
      quote = c, in_word = true;
    } else if (c == '\\' && i + 1 < text.size()) {
      word += text[++i], in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) out.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c, in_word = true;
    }
  }
  if (quote != 0) return fail(ErrorCode::invalid, fmt::format("unterminated quote in {}", printable(text)));
  if (in_word) out.push_back(word);
  return out;
}

}  // namespace slipway::tekton
