// SPDX-License-Identifier: Apache-2.0
#include "cluster/node/references.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "base/strings.h"
#include "cluster/node/pod_status.h"

namespace slipway::cluster {
namespace {

class ApiReferences final : public References {
 public:
  ApiReferences(kube::Client& client, std::string ca) : client_(client), ca_(std::move(ca)) {}
  Result<Json> config_map(const std::string& ns, const std::string& name) override {
    return client_.get(kube::resources::config_maps, {ns, name});
  }
  Result<Json> secret(const std::string& ns, const std::string& name) override {
    return client_.get(kube::resources::secrets, {ns, name});
  }
  Result<std::string> token(const Json& pod, const std::string& audience, std::int64_t seconds) override {
    const Json& meta = pod["metadata"];
    const Json audiences = audience.empty() ? Json::array() : Json::array({Json(audience)});
    const Json bound = Json::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", meta["name"]}, {"uid", meta["uid"]}});
    const Json request = Json::object(
        {{"apiVersion", "authentication.k8s.io/v1"},
         {"kind", "TokenRequest"},
         {"metadata", Json::object({{"name", pod["spec"]["serviceAccountName"].as_string("default")}, {"namespace", meta["namespace"]}})},
         {"spec", Json::object({{"audiences", audiences}, {"expirationSeconds", seconds}, {"boundObjectRef", bound}})}});
    const Json answer = TRY(client_.create(kube::resources::service_accounts, request, "token"));
    return answer["status"]["token"].str();
  }
  Result<std::string> cluster_ca() override { return ca_; }

 private:
  kube::Client& client_;
  std::string ca_;
};

std::string subscript(std::string_view path, std::string_view prefix) {  // "metadata.labels['app']" -> "app"
  if (!path.starts_with(prefix) || !path.substr(prefix.size()).starts_with("['") || !path.ends_with("']")) return {};
  return std::string(path.substr(prefix.size() + 2, path.size() - prefix.size() - 4));
}

std::string map_lines(const Json& map) {
  std::map<std::string, std::string> sorted;
  for (const auto& member : map.members()) sorted.emplace(member.key(), member.value.str());
  std::string text;
  for (const auto& [key, value] : sorted) text += fmt::format("{}={}\n", key, text::to_json(Json(value)));
  return text;
}

bool is_optional(const Json& reference) { return reference["optional"].as_bool(); }

// The data of a ConfigMap or Secret as text by key; empty where it is optional and not there.
Result<std::map<std::string, std::string>> data_of(Result<Json> object, bool secret, bool optional, const std::string& name) {
  std::map<std::string, std::string> data;
  if (!object) {
    if (optional && object.error().code == ErrorCode::not_found) return data;
    return at(Result<std::map<std::string, std::string>>(std::unexpected(object.error())), name);
  }
  for (const auto& member : (*object)[secret ? "data" : "binaryData"].members())
    data[std::string(member.key())] = TRY(from_base64(member.value.as_string()));
  if (!secret)
    for (const auto& member : (*object)["data"].members()) data[std::string(member.key())] = member.value.str();
  return data;
}

class EnvironmentMaker {
 public:
  EnvironmentMaker(const PodFacts& facts, const Json& container, References& references)
      : facts_(facts), container_(container), references_(references), ns_(facts.pod["metadata"]["namespace"].str()) {}

  void set(const std::string& name, std::string value) {
    if (!out_.values.contains(name)) order_.push_back(name);
    out_.values[name] = std::move(value);
  }
  Result<> add_from(const Json& source) {
    const std::string prefix = source["prefix"].str();
    const bool secret = source.contains("secretRef");
    const Json& reference = source[secret ? "secretRef" : "configMapRef"];
    for (auto& [key, value] : TRY(load(reference, secret))) set(prefix + key, value);
    return {};
  }
  Result<> add(const Json& variable) {
    const std::string name = variable["name"].str();
    if (order_.size() >= max_environment) return fail(ErrorCode::too_large, "too many environment variables");
    const Json& from = variable["valueFrom"];
    if (from.is_null()) return set(name, expand(variable["value"].as_string(), out_.values)), Result<>();
    if (from.contains("fieldRef")) return set(name, TRY(field_value(facts_, from["fieldRef"]["fieldPath"].as_string()))), Result<>();
    if (from.contains("resourceFieldRef")) return set(name, TRY(resource_value(facts_.pod, container_, from["resourceFieldRef"]))), Result<>();
    const bool secret = from.contains("secretKeyRef");
    if (!secret && !from.contains("configMapKeyRef")) return fail(ErrorCode::invalid, "valueFrom of " + name + " is not supported");
    const Json& reference = from[secret ? "secretKeyRef" : "configMapKeyRef"];
    const auto data = TRY(load(reference, secret));
    const auto found = data.find(reference["key"].str());
    if (found != data.end()) return set(name, found->second), Result<>();
    if (is_optional(reference)) return {};
    return fail(ErrorCode::invalid, fmt::format("couldn't find key {} in {} {}/{}", reference["key"].as_string(),
                                                secret ? "Secret" : "ConfigMap", ns_, reference["name"].as_string()));
  }
  Environment finish() {
    for (const std::string& name : order_) out_.list.push_back(name + "=" + out_.values[name]);
    return std::move(out_);
  }

 private:
  Result<std::map<std::string, std::string>> load(const Json& reference, bool secret) {
    const std::string name = reference["name"].str();
    return data_of(secret ? references_.secret(ns_, name) : references_.config_map(ns_, name), secret, is_optional(reference), name);
  }
  const PodFacts& facts_;
  const Json& container_;
  References& references_;
  std::string ns_;
  Environment out_;
  std::vector<std::string> order_;
};

bool is_clean_path(std::string_view path) {
  if (path.empty() || path.starts_with('/')) return false;
  for (const std::string_view part : split(path, '/'))
    if (part.empty() || part.starts_with("..") || part == ".") return false;
  return true;
}

class FilesMaker {
 public:
  FilesMaker(const PodFacts& facts, References& references)
      : facts_(facts), references_(references), ns_(facts.pod["metadata"]["namespace"].str()) {}

  Result<> add_keys(const Json& source, bool secret, unsigned mode) {
    const std::string name = source[secret && source.contains("secretName") ? "secretName" : "name"].str();
    const auto data = TRY(data_of(secret ? references_.secret(ns_, name) : references_.config_map(ns_, name), secret, is_optional(source), name));
    if (source["items"].empty())
      for (const auto& [key, content] : data) TRY(put(key, content, mode));
    for (const Json& item : source["items"].items()) {
      const auto found = data.find(item["key"].str());
      if (found == data.end()) {
        if (is_optional(source)) continue;
        return fail(ErrorCode::invalid, fmt::format("references non-existent {} key: {}", secret ? "secret" : "config", item["key"].as_string()));
      }
      TRY(put(item["path"].str(), found->second, static_cast<unsigned>(item["mode"].as_int(mode))));
    }
    return {};
  }
  Result<> add_fields(const Json& source, unsigned mode) {
    for (const Json& item : source["items"].items()) {
      const std::string value = item.contains("fieldRef") ? TRY(field_value(facts_, item["fieldRef"]["fieldPath"].as_string()))
                                                          : TRY(resource_value(facts_.pod, Json(), item["resourceFieldRef"]));
      TRY(put(item["path"].str(), value, static_cast<unsigned>(item["mode"].as_int(mode))));
    }
    return {};
  }
  Result<> add_token(const Json& source, unsigned mode) {
    const std::string token = TRY(references_.token(facts_.pod, source["audience"].str(), source["expirationSeconds"].as_int(3607)));
    return put(source["path"].str(), token, mode);
  }
  Result<> add_source(const Json& source, unsigned mode) {
    if (source.contains("configMap")) {
      // Every pod's token volume names this one; a plane without its publisher has the CA from its own configuration.
      if (source["configMap"]["name"].as_string() == "kube-root-ca.crt")
        if (const std::string ca = TRY(references_.cluster_ca()); !ca.empty()) return put("ca.crt", ca, mode);
      return add_keys(source["configMap"], false, mode);
    }
    if (source.contains("secret")) return add_keys(source["secret"], true, mode);
    if (source.contains("downwardAPI")) return add_fields(source["downwardAPI"], mode);
    if (source.contains("serviceAccountToken")) return add_token(source["serviceAccountToken"], mode);
    return fail(ErrorCode::invalid, "a projected source of this kind is not supported");
  }
  VolumeFiles finish() { return std::move(files_); }

 private:
  Result<> put(const std::string& path, const std::string& content, unsigned mode) {
    if (!is_clean_path(path)) return fail(ErrorCode::invalid, "volume path is refused: " + printable(path));
    bytes_ += content.size();
    if (bytes_ > max_volume_bytes) return fail(ErrorCode::too_large, "volume is too large");
    files_[path] = {content, mode};
    return {};
  }
  const PodFacts& facts_;
  References& references_;
  std::string ns_;
  VolumeFiles files_;
  std::size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<References> api_references(kube::Client& client, std::string ca_pem) {
  return std::make_unique<ApiReferences>(client, std::move(ca_pem));
}

Result<std::string> field_value(const PodFacts& facts, std::string_view path) {
  const Json& meta = facts.pod["metadata"];
  const Json& spec = facts.pod["spec"];
  if (path == "metadata.name") return meta["name"].str();
  if (path == "metadata.namespace") return meta["namespace"].str();
  if (path == "metadata.uid") return meta["uid"].str();
  if (path == "metadata.labels") return map_lines(meta["labels"]);
  if (path == "metadata.annotations") return map_lines(meta["annotations"]);
  if (path.starts_with("metadata.labels[")) return meta["labels"][subscript(path, "metadata.labels")].str();
  if (path.starts_with("metadata.annotations[")) return meta["annotations"][subscript(path, "metadata.annotations")].str();
  if (path == "spec.nodeName") return spec["nodeName"].str();
  if (path == "spec.serviceAccountName") return spec["serviceAccountName"].str("default");
  if (path == "status.podIP" || path == "status.podIPs") return facts.pod_ip;
  if (path == "status.hostIP" || path == "status.hostIPs") return facts.host_ip;
  return fail(ErrorCode::invalid, fmt::format("fieldPath is not supported: {}", printable(path)));
}

Result<std::string> resource_value(const Json& pod, const Json& own, const Json& selector) {
  const Json* container = &own;
  for (const Json& candidate : pod["spec"]["containers"].items())
    if (!selector["containerName"].is_null() && candidate["name"] == selector["containerName"]) container = &candidate;
  const auto parts = split(selector["resource"].as_string(), '.');
  if (parts.size() != 2 || (parts[0] != "limits" && parts[0] != "requests")) return fail(ErrorCode::invalid, "resourceFieldRef is not supported: " + selector["resource"].str());
  const Json& value = (*container)["resources"][parts[0]][parts[1]];
  const double milli = value.is_null() ? 0 : static_cast<double>(TRY(parse_milli(value)));
  const double divisor = selector["divisor"].is_null() || selector["divisor"].as_string() == "0" ? 1000 : static_cast<double>(TRY(parse_milli(selector["divisor"])));
  return fmt::format("{}", static_cast<std::int64_t>(std::ceil(milli / divisor)));
}

std::string expand(std::string_view text, const std::map<std::string, std::string>& known) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) { out += text[i]; continue; }
    if (text[i + 1] == '$') { out += text[i++]; continue; }
    const std::size_t end = text[i + 1] == '(' ? text.find(')', i) : std::string_view::npos;
    const auto found = end == std::string_view::npos ? known.end() : known.find(std::string(text.substr(i + 2, end - i - 2)));
    if (found == known.end()) { out += text[i]; continue; }
    out += found->second;
    i = end;
  }
  return out;
}

Result<Environment> make_environment(const PodFacts& facts, const Json& container, const std::vector<std::string>& image,
                                     const std::map<std::string, std::string>& extra, References& references) {
  EnvironmentMaker maker(facts, container, references);
  maker.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  for (const std::string& entry : image)
    if (const std::size_t equals = entry.find('='); equals != std::string::npos) maker.set(entry.substr(0, equals), entry.substr(equals + 1));
  for (const auto& [name, value] : extra) maker.set(name, value);
  for (const Json& source : container["envFrom"].items()) TRY(maker.add_from(source));
  for (const Json& variable : container["env"].items()) TRY(maker.add(variable));
  return maker.finish();
}

Result<VolumeFiles> make_volume_files(const PodFacts& facts, const Json& volume, References& references) {
  FilesMaker maker(facts, references);
  for (const char* kind : {"configMap", "secret", "downwardAPI", "projected"}) {
    const Json& source = volume[kind];
    if (source.is_null()) continue;
    const auto mode = static_cast<unsigned>(source["defaultMode"].as_int(0644));
    if (std::string_view(kind) == "projected") {
      for (const Json& part : source["sources"].items()) TRY(maker.add_source(part, mode));
    } else if (std::string_view(kind) == "downwardAPI") {
      TRY(maker.add_fields(source, mode));
    } else {
      TRY(maker.add_keys(source, std::string_view(kind) == "secret", mode));
    }
  }
  return maker.finish();
}

}  // namespace slipway::cluster
