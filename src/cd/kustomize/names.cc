// SPDX-License-Identifier: Apache-2.0
// Suffixes made of a content's hash, and references to objects whose names changed.
#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"
#include "cd/kustomize/transformers.h"
#include "text/yaml.h"

namespace slipway::cd::kustomize {
namespace {

// As Go's encoding/json writes strings: signs of HTML and two line separators are escaped.
std::string escaped_for_html(std::string text) {
  text = replace_all(std::move(text), "<", "\\u003c");
  text = replace_all(std::move(text), ">", "\\u003e");
  text = replace_all(std::move(text), "&", "\\u0026");
  text = replace_all(std::move(text), "\xe2\x80\xa8", "\\u2028");
  return replace_all(std::move(text), "\xe2\x80\xa9", "\\u2029");
}

Result<Json> part(const YamlNode& object, std::string_view name) {
  const YamlNode* found = object.find(name);
  if (found == nullptr) return Json("");
  return found->is_scalar() ? Json(found->value) : TRY(text::to_json(*found));
}

// Vowels and look-alikes are replaced, so that no word comes about.
std::string readable(std::string hex) {
  hex.resize(10);
  for (char& c : hex) {
    static constexpr std::string_view from = "013ae", to = "ghkmt";
    if (const auto at = from.find(c); at != from.npos) c = to[at];
  }
  return hex;
}

Result<std::string> hash_of(const Resource& resource) {
  const bool secret = resource.kind() == "Secret";
  if (!secret && resource.kind() != "ConfigMap")
    return fail(ErrorCode::invalid, fmt::format("a hash suffix is made for ConfigMaps and Secrets only, not for {}", resource.id().to_string()));
  const YamlNode& node = *resource.node;
  Json value = Json::object({{"kind", resource.kind()}, {"name", ""}, {"data", TRY(part(node, "data"))}});
  if (secret) value = value.with("type", TRY(part(node, "type")));
  const std::string_view extra = secret ? "stringData" : "binaryData";
  if (const Json more = TRY(part(node, extra)); more.is_object()) value = value.with(extra, more);
  return readable(sha256_hex(escaped_for_html(text::to_canonical_json(value))));
}

bool same_ending(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto& shorter = a.size() < b.size() ? a : b;
  const auto& longer = a.size() < b.size() ? b : a;
  if (shorter.empty()) return longer.empty();
  return std::equal(shorter.rbegin(), shorter.rend(), longer.rbegin());
}

bool same_affixes(const Resource& a, const Resource& b, bool allow_empty) {
  const auto agree = [allow_empty](const auto& left, const auto& right) { return (allow_empty && (left.empty() || right.empty())) || same_ending(left, right); };
  return agree(a.prefixes, b.prefixes) && agree(a.suffixes, b.suffixes);
}

class References {
 public:
  References(Context& context, ResourceMap& map, const std::vector<NameReference>& references) : context_(context), map_(map), references_(references) {
    for (const ResourcePtr& one : map_.all()) {
      for (const auto& former : one->former) {
        auto& at = by_name_[former.name];
        if (at.empty() || at.back() != one.get()) at.push_back(one.get());
      }
    }
  }

  Result<> fix() {
    for (const ResourcePtr& one : map_.all()) {
      referrer_ = one.get();
      referrer_id_ = one->id();
      account_namespaces_ = TRY(namespaces_of_accounts());
      for (const auto& [target, spec] : fields_of(one->original_id().gvk)) TRY(fix_field(target, spec));
    }
    return {};
  }

 private:
  using Fields = std::vector<std::pair<Gvk, FieldSpec>>;

  // The fields of a kind that may hold names, found once a kind.
  const Fields& fields_of(const Gvk& gvk) {
    const auto [at, fresh] = fields_.try_emplace(gvk);
    if (!fresh) return at->second;
    for (const NameReference& reference : references_) {
      for (FieldSpec spec : reference.referrers) {
        if (!gvk.is_selected(spec.gvk)) continue;
        spec.gvk = {};
        at->second.emplace_back(reference.gvk, std::move(spec));
      }
    }
    return at->second;
  }

  Result<> fix_field(const Gvk& target, const FieldSpec& spec) {
    target_ = &target;
    is_role_ = spec.path.ends_with("roleRef/name");
    auto done = visit(context_.pool, *referrer_->node, spec, {}, [this](YamlNode& node) { return set(node, true); });
    if (done) return {};
    return fail(done.error().code, fmt::format("updating name reference in '{}' field of '{}': {}", spec.path, referrer_id_.to_string(), done.error().message));
  }

  Result<> set(YamlNode& node, bool lists) {
    if (is_missing(&node)) return {};
    if (node.is_scalar()) return set_scalar_name(node);
    if (node.is_mapping()) return set_mapping(node);
    if (!lists) return fail(ErrorCode::invalid, "a name is expected to be either a string or a map of string");
    for (YamlNode* item : node.content) TRY(set(*item, false));
    return {};
  }

  Result<> set_scalar_name(YamlNode& node) {
    const Resource* found = TRY(choose(node.value, nullptr, false));
    if (found == nullptr || found->name() == node.value) return {};
    return set_scalar(node, *context_.pool.scalar(found->name()));
  }

  Result<> set_mapping(YamlNode& node) {
    const YamlNode* name = node.find("name");
    if (name == nullptr) return fail(ErrorCode::invalid, "path config error; no 'name' field in node");
    const std::string old = name->value;
    const YamlNode* ns = node.find("namespace");
    const Resource* found = TRY(choose(old, ns == nullptr ? nullptr : &ns->value, true));
    if (found == nullptr || (found->name() == old && found->ns().empty())) return {};
    TRY(set_field(context_.pool, node, "name", context_.pool.scalar(found->name())));
    if (found->ns().empty()) return {};
    return set_field(context_.pool, node, "namespace", context_.pool.scalar(found->ns()));
  }

  // A binding may name accounts of other namespaces.
  Result<std::set<std::string>> namespaces_of_accounts() const {
    std::set<std::string> out;
    const YamlNode* subjects = referrer_->kind() == "RoleBinding" ? field(referrer_->node, "subjects") : nullptr;
    if (subjects == nullptr || !subjects->is_sequence()) return out;
    for (const YamlNode* subject : subjects->content) {
      const YamlNode* ns = field(subject, "namespace");
      if (ns == nullptr || text_of(field(subject, "kind")) != "ServiceAccount") continue;
      if (ns->is_null()) return fail(ErrorCode::invalid, fmt::format("Invalid Input: namespace is blank for resource \"{}\"\n", referrer_id_.to_string()));
      out.insert(ns->value);
    }
    return out;
  }

  bool could_be_referred(const Resource& candidate, const ResId& id) const {
    return referrer_id_.cluster_scoped || id.cluster_scoped || id.effective_namespace() == referrer_id_.effective_namespace() ||
           account_namespaces_.contains(std::string(candidate.ns()));
  }

  bool is_in_reach(const Resource& candidate, const ResId& id) const {
    return referrer_id_.cluster_scoped || id.cluster_scoped || candidate.kind() == "ServiceAccount" || id.effective_namespace() == referrer_id_.effective_namespace();
  }

  static bool was(const Resource& candidate, const Gvk& gvk) {
    return std::ranges::any_of(candidate.former_ids(), [&](const ResId& id) { return id.gvk.is_selected(gvk); });
  }

  std::optional<Gvk> role_gvk() const {
    if (!is_role_) return std::nullopt;
    const YamlNode* group = lookup(referrer_->node, {"roleRef", "apiGroup"});
    const YamlNode* kind = lookup(referrer_->node, {"roleRef", "kind"});
    if (group == nullptr || kind == nullptr) return std::nullopt;
    return Gvk{group->value, "", kind->value};
  }

  // Those of the namespace that a reference names: first by where they came from, else by where they are.
  static void keep_namespace(std::vector<const Resource*>& candidates, const std::string& ns, const std::vector<ResourcePtr>& all) {
    const auto from = [&](const Resource* one) { return one->original_id().effective_namespace() == ns; };
    const auto now = [&](const Resource* one) { return one->id().effective_namespace() == ns; };
    const bool any = std::ranges::any_of(all, [&](const ResourcePtr& one) { return from(one.get()); });
    std::erase_if(candidates, [&](const Resource* one) { return ns == no_namespace || !(any ? from(one) : now(one)); });
  }

  Result<const Resource*> choose(const std::string& old, const std::string* ns, bool compare_namespaces) {
    const auto named = by_name_.find(old);
    if (named == by_name_.end()) return nullptr;
    const auto role = role_gvk();
    std::vector<const Resource*> candidates;
    for (const Resource* one : named->second) {
      if (!was(*one, *target_) || (role && !was(*one, *role))) continue;
      const ResId id = one->id();
      if (could_be_referred(*one, id) && is_in_reach(*one, id)) candidates.push_back(one);
    }
    if (ns != nullptr && !candidates.empty()) keep_namespace(candidates, *ns, map_.all());
    if (candidates.size() == 1) return candidates[0];
    std::erase_if(candidates, [&](const Resource* one) { return !same_affixes(*one, *referrer_, true); });
    if (candidates.size() > 1) std::erase_if(candidates, [&](const Resource* one) { return !same_affixes(*one, *referrer_, false); });
    if (candidates.empty()) return nullptr;
    const bool same = std::ranges::all_of(candidates, [&](const Resource* one) { return one->name() == candidates[0]->name() && (!compare_namespaces || one->ns() == candidates[0]->ns()); });
    if (same) return candidates[0];
    std::vector<std::string> ids;
    for (const Resource* one : candidates) ids.push_back(one->id().to_string());
    return fail(ErrorCode::invalid, fmt::format("found multiple possible referrals: {}", join(ids, ", ")));
  }

  Context& context_;
  ResourceMap& map_;
  const std::vector<NameReference>& references_;
  std::unordered_map<std::string, std::vector<const Resource*>> by_name_;
  std::map<Gvk, Fields> fields_;
  Resource* referrer_ = nullptr;
  ResId referrer_id_;
  std::set<std::string> account_namespaces_;
  const Gvk* target_ = nullptr;
  bool is_role_ = false;
};

}  // namespace

Result<> add_hashes(Context& context, ResourceMap& map) {
  for (const ResourcePtr& one : map.edit()) {
    if (!one->needs_hash) continue;
    const std::string hash = TRY(hash_of(*one));
    one->store_id();
    TRY(set_name(context.pool, *one->node, fmt::format("{}-{}", one->name(), hash)));
  }
  return {};
}

Result<> fix_references(Context& context, ResourceMap& map, const std::vector<NameReference>& references) {
  const auto done = References(context, map, references).fix();
  map.touched();
  return done;
}

}  // namespace slipway::cd::kustomize
