// SPDX-License-Identifier: Apache-2.0
// Splits what templates wrote into documents, and puts them into the order in which Helm installs.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "cd/helm/render.h"
#include "text/yaml.h"

namespace slipway::cd::helm {
namespace {

constexpr std::string_view kOrder[] = {
    "PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodSecurityPolicy", "PodDisruptionBudget",
    "ServiceAccount", "Secret", "SecretList", "ConfigMap", "StorageClass", "PersistentVolume", "PersistentVolumeClaim",
    "CustomResourceDefinition", "ClusterRole", "ClusterRoleList", "ClusterRoleBinding", "ClusterRoleBindingList", "Role",
    "RoleList", "RoleBinding", "RoleBindingList", "Service", "DaemonSet", "Pod", "ReplicationController", "ReplicaSet",
    "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob", "IngressClass", "Ingress", "APIService",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"};

struct Document {
  std::string path, text, kind;
  std::size_t rank = std::size(kOrder);
  bool hook = false, test = false;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

// False where the annotation names no event or one that Helm does not know: Helm leaves such a manifest out.
bool read_events(std::string_view events, Document& document) {
  constexpr std::string_view known[] = {"pre-install", "post-install", "pre-delete", "post-delete", "pre-upgrade",
                                        "post-upgrade", "pre-rollback", "post-rollback", "test", "test-success"};
  document.hook = true;
  for (std::size_t at = 0; at <= events.size();) {
    const std::size_t comma = std::min(events.find(',', at), events.size());
    std::string event(trimmed(events.substr(at, comma - at)));
    for (char& c : event) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::find(std::begin(known), std::end(known), event) == std::end(known)) return false;
    document.test |= event.starts_with("test");
    at = comma + 1;
  }
  return true;
}

bool before(const Document& a, const Document& b) {
  if (a.rank != b.rank) return a.rank < b.rank;
  return a.rank == std::size(kOrder) && a.kind < b.kind;
}

}  // namespace

Result<std::string> print_manifests(const std::map<std::string, std::string>& files, const RenderOptions& options) {
  static const RE2 separator("(?:^|\\s*\n)---\\s*");
  std::vector<Document> plain, hooks;
  for (const auto& [path, whole] : files) {
    // Blank lines behind a file's last document are printed; those before its first one are not.
    std::string content = whole.substr(std::min(whole.find_first_not_of(" \t\r\n\v\f"), whole.size()));
    std::vector<std::string> parts;
    std::size_t at = 0, start = 0;
    re2::StringPiece found;
    while (at <= content.size() && separator.Match(content, at, content.size(), RE2::UNANCHORED, &found, 1)) {
      auto begin = static_cast<std::size_t>(found.data() - content.data());
      if (found.data()[0] == '-' && begin != 0) break;
      parts.push_back(content.substr(start, begin - start));
      at = start = begin + found.size();
    }
    parts.push_back(content.substr(start));
    for (std::string& part : parts) {
      if (trimmed(part).empty()) continue;
      Document document{path, part};
      auto parsed = text::parse_yaml(part, path);
      if (!parsed) return fail(ErrorCode::invalid, fmt::format("YAML parse error on {}: {}", path, parsed.error().message));
      document.kind = (*parsed)["kind"].str();
      document.rank = static_cast<std::size_t>(std::find(std::begin(kOrder), std::end(kOrder), document.kind) - std::begin(kOrder));
      const text::Json& hook = (*parsed)["metadata"]["annotations"]["helm.sh/hook"];
      if (hook.is_string() && !read_events(hook.as_string(), document)) continue;
      (document.hook ? hooks : plain).push_back(std::move(document));
    }
  }
  std::stable_sort(plain.begin(), plain.end(), before);
  std::stable_sort(hooks.begin(), hooks.end(), before);
  std::string out;
  for (const Document& document : plain) out += fmt::format("---\n# Source: {}\n{}\n", document.path, document.text);
  while (out.ends_with("\n")) out.pop_back();
  out += '\n';
  if (options.hooks)
    for (const Document& document : hooks)
      if (options.tests || !document.test) out += fmt::format("---\n# Source: {}\n{}\n", document.path, document.text);
  return out;
}

}  // namespace slipway::cd::helm
