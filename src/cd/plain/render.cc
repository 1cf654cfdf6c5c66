// SPDX-License-Identifier: Apache-2.0
#include "cd/plain/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/yaml.h"

namespace slipway::cd {
namespace {

using desired::ObjectId;
using text::Json;

constexpr std::array<std::string_view, 16> cluster_kinds{
    "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "StorageClass", "PriorityClass",
    "IngressClass", "RuntimeClass", "APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "CSIDriver",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"};

bool is_manifest(std::string_view path) { return path.ends_with(".yaml") || path.ends_with(".yml") || path.ends_with(".json"); }

class Renderer final {
 public:
  explicit Renderer(const PlainOptions& options) : options_(options) {}

  Result<desired::Set> render(const Files& files) {
    for (const auto& [path, content] : files) {
      if (!is_manifest(path)) continue;
      for (const auto& document : TRY(text::parse_yaml_documents(content, path))) TRY(add_document(document.value, path, document.line));
    }
    desired::sort_for_apply(set_);
    return std::move(set_);
  }

 private:
  Result<> add_document(const Json& value, const std::string& path, std::size_t line) {
    const std::string source = fmt::format("{}:{}", path, line);
    if (value.is_null()) return {};
    if (value["kind"].as_string().ends_with("List") && value["items"].is_array()) {
      for (const Json& item : value["items"].items()) TRY(add(item, source));
      return {};
    }
    return add(value, source);
  }

  Result<> add(Json object, const std::string& source) {
    const auto wrong = [&](std::string_view why) { return fail(ErrorCode::invalid, fmt::format("{}:1: {}", source, why)); };
    if (!object.is_object()) return wrong("a manifest must be an object with apiVersion, kind and metadata.name");
    for (const char* field : {"apiVersion", "kind"})
      if (object[field].as_string().empty()) return wrong(fmt::format("{} is missing", field));
    if (object["metadata"]["name"].as_string().empty())
      return wrong(object["metadata"].contains("generateName") ? "generateName cannot be synchronised; give the object a name" : "metadata.name is missing");
    object = TRY(in_namespace(std::move(object)));
    const ObjectId id = desired::id_of(object);
    const auto [known, is_new] = places_.try_emplace(id, source);
    if (!is_new) return wrong(fmt::format("{} stands at {} too", id.to_string(), known->second));
    if (places_.size() > max_objects) return fail(ErrorCode::too_large, fmt::format("more than {} objects", max_objects));
    set_.objects.push_back({std::move(object), source});
    return {};
  }

  Result<Json> in_namespace(Json object) const {
    const std::string kind = object["kind"].str();
    const bool cluster = std::ranges::find(cluster_kinds, kind) != cluster_kinds.end() ||
                         (options_.is_cluster_scoped && options_.is_cluster_scoped(object["apiVersion"].str(), kind));
    if (cluster) return object.without_path({"metadata", "namespace"});
    if (!object["metadata"]["namespace"].as_string().empty()) return object;
    return object.with_path({"metadata", "namespace"}, options_.ns);
  }

  const PlainOptions& options_;
  desired::Set set_;
  std::map<ObjectId, std::string> places_;
};

}  // namespace

Result<desired::Set> render_plain(const Files& files, const PlainOptions& options) { return Renderer(options).render(files); }

}  // namespace slipway::cd
