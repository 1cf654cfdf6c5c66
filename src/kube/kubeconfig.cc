// SPDX-License-Identifier: Apache-2.0
// kubeconfig files (k8s.io/client-go/tools/clientcmd/api/v1).
#include <fmt/format.h>

#include "base/files.h"
#include "base/strings.h"
#include "kube/client.h"
#include "text/yaml.h"

namespace slipway::kube {
namespace {

constexpr std::size_t max_file = 1024 * 1024;

const Json& named(const Json& list, std::string_view name) {
  static const Json none;
  for (const Json& one : list.items())
    if (one["name"].as_string() == name) return one;
  return none;
}

class Reader final {
 public:
  Reader(std::string path, Json file) : path_(std::move(path)), file_(std::move(file)) {}

  Result<ClientConfig> read(std::string_view wanted) {
    const std::string context_name = wanted.empty() ? file_["current-context"].str() : std::string(wanted);
    const Json context = TRY(section("contexts", context_name, "context"));
    const Json cluster = TRY(section("clusters", context["cluster"].str(), "cluster"));
    const Json user = TRY(section("users", context["user"].str(), "user"));
    ClientConfig config;
    config.origin = TRY(net::Origin::parse(cluster["server"].as_string()));
    config.tls.insecure = cluster["insecure-skip-tls-verify"].as_bool();
    config.tls.server_name = cluster["tls-server-name"].str();
    config.tls.ca_pem = TRY(data(cluster, "certificate-authority"));
    config.tls.certificate_pem = TRY(data(user, "client-certificate"));
    config.tls.private_key_pem = TRY(data(user, "client-key"));
    TRY(read_user(user, config));
    return config;
  }

 private:
  Result<Json> section(const char* list, const std::string& name, const char* field) const {
    const Json& found = named(file_[list], name);
    if (found.is_null()) return fail(ErrorCode::invalid, fmt::format("{} has no {} named \"{}\"", path_, field, name));
    return found[field];
  }

  // "x-data" in base64, or the file "x" relative to the kubeconfig.
  Result<std::string> data(const Json& section, const std::string& name) const {
    if (const Json& inline_data = section[name + "-data"]; !inline_data.is_null()) return at(from_base64(inline_data.as_string()), name + "-data");
    const std::string file = section[name].str();
    return file.empty() ? Result<std::string>("") : read_file(beside(file), max_file);
  }

  std::string beside(const std::string& file) const { return file.starts_with('/') ? file : parent_path(path_) + "/" + file; }

  // Running a program because a file says so is not for a server (T8).
  Result<> read_user(const Json& user, ClientConfig& config) const {
    for (const char* refused : {"exec", "auth-provider"})
      if (!user[refused].is_null())
        return fail(ErrorCode::invalid, fmt::format("{} uses {}, which would run a program; use a token or a client certificate", path_, refused));
    config.bearer_token = user["token"].str();
    if (const std::string file = user["tokenFile"].str(); !file.empty()) config.bearer_token = std::string(trim(TRY(read_file(beside(file), max_file))));
    return {};
  }

  const std::string path_;
  const Json file_;
};

}  // namespace

Result<ClientConfig> load_kubeconfig(const std::string& path, std::string_view context) {
  return Reader(path, TRY(text::parse_yaml(TRY(read_file(path, max_file)), path))).read(context);
}

std::string write_kubeconfig(const ClientConfig& config) {
  Json cluster = Json::object({{"server", config.origin.to_string()}});
  if (config.tls.insecure) cluster = cluster.with("insecure-skip-tls-verify", true);
  if (!config.tls.server_name.empty()) cluster = cluster.with("tls-server-name", config.tls.server_name);
  if (!config.tls.ca_pem.empty()) cluster = cluster.with("certificate-authority-data", to_base64(config.tls.ca_pem));
  Json user = Json::object();
  if (!config.tls.certificate_pem.empty()) user = user.with("client-certificate-data", to_base64(config.tls.certificate_pem));
  if (!config.tls.private_key_pem.empty()) user = user.with("client-key-data", to_base64(config.tls.private_key_pem));
  if (!config.bearer_token.empty()) user = user.with("token", config.bearer_token);
  const auto entry = [](const char* field, const Json& value) { return Json::array({Json::object({{"name", "plane"}, {field, value}})}); };
  return text::to_json(Json::object({{"apiVersion", "v1"}, {"kind", "Config"}, {"current-context", "plane"}, {"clusters", entry("cluster", cluster)}, {"users", entry("user", user)},
                                     {"contexts", entry("context", Json::object({{"cluster", "plane"}, {"user", "plane"}}))}})) + "\n";
}

}  // namespace slipway::kube
